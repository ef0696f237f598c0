"""Conditions and ordered rule tables: written once in Python, evaluated by the machine.

    Rule(condition, answer), ... -> RuleTable -> data in the machine's variable `$policy` + one expression

The machine carries the table as data and asks it with the functions of `FUNCTIONS`; the local world runs the
same text. No product code evaluates a condition in Python. The tests have an evaluation of their own
(`tests/oracle/policy.py`), and `tests/unit/test_rules.py` compares it with the machine's on random facts.

Facts are a flat mapping of names to strings, integers and booleans. No fact is missing and none is null:
JSONata answers a comparison with an undefined value by an undefined value.
"""

from __future__ import annotations

import itertools
import json
import re
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

Value = str | int | bool
Data = Any  # what json.dumps takes
How = Literal["is", "least", "starts", "has"]

PLACEHOLDER = re.compile(r"\{(\w+)\}")
"""`{fact}` in the text of an answer, which the value of the fact replaces."""


class Condition(ABC):
    """A predicate over facts; combine with `&`, `|` and `~`."""

    @property
    @abstractmethod
    def jsonata(self) -> str:
        """The condition as an expression over `$f`, for a machine's text that asks it outside a table."""

    @abstractmethod
    def given(self, fact: str, value: Value) -> Condition:
        """Returns the condition that remains to be asked when that fact is known."""

    @abstractmethod
    def negated(self) -> Condition:
        """Returns the opposite condition."""

    @abstractmethod
    def alternatives(self) -> list[list[Test]]:
        """Returns groups of tests: the condition holds when all tests of one group hold; no group: never."""

    def __and__(self, other: Condition) -> Condition:
        return Every((self, other))

    def __or__(self, other: Condition) -> Condition:
        return Either((self, other))

    def __invert__(self) -> Condition:
        return self.negated()


@dataclass(frozen=True)
class Every(Condition):
    """A condition that holds when each of its parts does; without parts it always holds."""

    parts: tuple[Condition, ...]

    @property
    def jsonata(self) -> str:
        return "(" + " and ".join(part.jsonata for part in self.parts) + ")" if self.parts else "true"

    def given(self, fact: str, value: Value) -> Condition:
        return Every(tuple(part.given(fact, value) for part in self.parts))

    def negated(self) -> Condition:
        return Either(tuple(part.negated() for part in self.parts))

    def alternatives(self) -> list[list[Test]]:
        chosen = itertools.product(*(part.alternatives() for part in self.parts))
        return [[test for group in groups for test in group] for groups in chosen]


@dataclass(frozen=True)
class Either(Condition):
    """A condition that holds when one of its parts does; without parts it never holds."""

    parts: tuple[Condition, ...]

    @property
    def jsonata(self) -> str:
        return "(" + " or ".join(part.jsonata for part in self.parts) + ")" if self.parts else "false"

    def given(self, fact: str, value: Value) -> Condition:
        return Either(tuple(part.given(fact, value) for part in self.parts))

    def negated(self) -> Condition:
        return Every(tuple(part.negated() for part in self.parts))

    def alternatives(self) -> list[list[Test]]:
        return [group for part in self.parts for group in part.alternatives()]


ALWAYS: Condition = Every(())
NEVER: Condition = Either(())


@dataclass(frozen=True)
class Test(Condition):
    """A condition that asks one question about one fact; `no` turns the answer round.

    `is`: the fact is one of the values. `least`: it is at least the value, or at least the fact of that name.
    `starts`, `has`: it begins with, or contains, one of the values.
    """

    __test__ = False  # pytest takes the name for a test's

    fact: str
    how: How
    values: tuple[Value, ...]
    no: bool = False

    @property
    def jsonata(self) -> str:
        value, values = f"$f.{self.fact}", [json.dumps(each) for each in self.values]
        if self.how == "is":
            text = f"{value} = {values[0]}" if len(values) == 1 else f"{value} in [{', '.join(values)}]"
        elif self.how == "least":
            bound = self.values[0]
            text = f"{value} >= {f'$f.{bound}' if isinstance(bound, str) else bound}"
        elif self.how == "starts":
            starts = [f"$substring({value}, 0, {len(str(v))}) = {json.dumps(v)}" for v in self.values]
            text = f"({' or '.join(starts)})"
        else:
            text = f"({' or '.join(f'$contains({value}, {each})' for each in values)})"
        return f"$not({text})" if self.no else text

    def given(self, fact: str, value: Value) -> Condition:
        if fact != self.fact or self.how == "least":
            return self
        return ALWAYS if self._asked_of(value) != self.no else NEVER

    def negated(self) -> Condition:
        return replace(self, no=not self.no)

    def alternatives(self) -> list[list[Test]]:
        return [[self]]

    def data(self) -> Data:
        """Returns the test as the machine carries it."""
        if self.how == "is" and self.values == (True,):
            return {"f": self.fact, "holds": not self.no}
        value = self.values[0] if self.how == "least" else list(self.values)
        return {"f": self.fact, self.how: value, **({"no": True} if self.no else {})}

    def _asked_of(self, value: Value) -> bool:
        """Whether a value that is known when the machine is compiled is one that `is`, `starts` or `has`."""
        if self.how == "is":
            return value in self.values
        if self.how == "starts":
            return str(value).startswith(tuple(map(str, self.values)))
        return any(str(part) in str(value) for part in self.values)


@dataclass(frozen=True)
class Fact:
    """The name of one fact, with methods that make conditions about it."""

    name: str

    def is_(self, *values: Value) -> Condition:
        """Makes the condition that the fact equals one of `values`."""
        return Test(self.name, "is", values)

    def holds(self) -> Condition:
        """Makes the condition that a boolean fact is true."""
        return Test(self.name, "is", (True,))

    def starts_with(self, *prefixes: str) -> Condition:
        """Makes the condition that the fact begins with one of `prefixes`.

        For a FailureReason use this and never `contains`: its end may be text of the user's script.
        """
        return Test(self.name, "starts", prefixes)

    def contains(self, *parts: str) -> Condition:
        """Makes the condition that the fact contains one of `parts`.

        Use it only for text that AWS alone writes (errors of a create call), never for a FailureReason.
        """
        return Test(self.name, "has", parts)

    def at_least(self, other: Fact | int) -> Condition:
        """Makes the condition that a number is at least `other`, which is a number or the name of a fact."""
        return Test(self.name, "least", (other.name if isinstance(other, Fact) else other,))


@dataclass(frozen=True)
class Rule:
    """A condition and the answer `then` when it holds, whose texts may name facts as `{fact}`."""

    when: Condition
    then: Mapping[str, str]


_FUNCTIONS = """
$holds := function($t, $f) { ($v := $lookup($f, $t.f);
$r := $exists($t.holds) ? $v = $t.holds
: $exists($t.is) ? $v in $t.is
: $exists($t.least) ? $exists($v) and $v >= ($type($t.least) = "string" ? $lookup($f, $t.least) : $t.least)
: $exists($t.starts) ? $count($t.starts[$substring($v, 0, $length($)) = $]) > 0
: $count($t.has[$contains($v, $)]) > 0;
$t.no = true ? $not($r) : $r) };
$met := function($groups, $f) { $count($filter($groups, function($a) {
$count($filter($a, function($t) { $not($holds($t, $f)) })) = 0 })) > 0 };
$rule := function($rules, $f) {
$filter($rules, function($r) { $not($exists($r.when)) or $met($r.when, $f) })[0] };
"""

FUNCTIONS = " ".join(_FUNCTIONS.split())
"""Functions that the expressions over rules call, as assignments that stand once in the block around them.

`$rule(rules, facts)` returns the first rule that holds, `$met(groups, facts)` whether a condition holds."""


@dataclass(frozen=True)
class RuleTable:
    """An ordered list of rules, of which the first that holds gives the answer; the last must always hold.

    `key` is the fact that the machine looks up first. For each of its `values`, and for any other value, the
    machine carries only the rules that can still hold, and of their conditions only what remains to be asked.
    """

    rules: tuple[Rule, ...]
    key: Fact
    values: tuple[str, ...]

    def data(self) -> Data:
        """Returns the table as the machine carries it: value of the key fact -> rules, in order."""
        other = "\0"  # no value of the fact
        tables = {f"is {value}": self._rules_given(value) for value in self.values}
        return {**tables, "other": self._rules_given(other)}

    def _rules_given(self, value: str) -> list[Data]:
        found: list[Data] = []
        for rule in self.rules:
            groups = rule.when.given(self.key.name, value).alternatives()
            if not groups:
                continue
            always = any(not group for group in groups)
            found.append({**({} if always else {"when": groups_data(groups)}), **rule.then})
            if always:
                break
        return found

    def jsonata(self, table: str) -> str:
        """Returns an expression over `$f` for the first rule that holds; its texts are not filled in.

        `FUNCTIONS` must stand before it. `table` is the expression of `data()` in the machine.
        """
        rules = f'$lookup({table}, "is " & $f.{self.key.name})'
        return f"($known := {rules}; $rule($exists($known) ? $known : {table}.other, $f))"

    def fill_jsonata(self, text: str) -> str:
        """Returns an expression that replaces each `{fact}` in `text`, itself an expression, by the fact."""
        texts = "".join(value for rule in self.rules for value in rule.then.values())
        names = json.dumps(sorted(set(PLACEHOLDER.findall(texts))))
        replaced = '$replace($text, "{" & $name & "}", $string($lookup($f, $name)))'
        return f"$reduce({names}, function($text, $name) {{ {replaced} }}, {text})"


def groups_data(groups: list[list[Test]]) -> Data:
    """Returns a condition's alternatives as the machine carries them."""
    return [[test.data() for test in dict.fromkeys(group)] for group in groups]
