"""Conditions and ordered rule tables that are written once and used twice.

A rule is data: Python evaluates it (planner, tests), and the machine carries the same table in a variable and
evaluates it with one short expression. `tests/unit/test_rules.py` proves on random facts that both agree.

Facts are a flat mapping of names to strings, integers and booleans; a fact is never missing and never null,
because JSONata answers a comparison with nothing by nothing.
"""

from __future__ import annotations

import itertools
import json
import re
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

Value = str | int | bool
Facts = Mapping[str, Value]
Data = Any  # what json.dumps takes

_PLACEHOLDER = re.compile(r"\{(\w+)\}")


How = Literal["is", "least", "starts", "has"]


class Condition(ABC):
    """A predicate over facts; combine with `&`, `|` and `~`."""

    @abstractmethod
    def holds(self, facts: Facts) -> bool:
        """Whether it holds for these facts."""

    @property
    @abstractmethod
    def jsonata(self) -> str:
        """The same as an expression over `$f`, for the few that stand in a machine's text by themselves."""

    @abstractmethod
    def given(self, fact: str, value: Value) -> Condition:
        """What is left to ask when that fact is known."""

    @abstractmethod
    def negated(self) -> Condition:
        """The opposite."""

    @abstractmethod
    def alternatives(self) -> list[list[Test]]:
        """Tests that must hold together, in groups of which one is enough; no group: never."""

    def __and__(self, other: Condition) -> Condition:
        return _All((self, other))

    def __or__(self, other: Condition) -> Condition:
        return _Any((self, other))

    def __invert__(self) -> Condition:
        return self.negated()


@dataclass(frozen=True)
class _All(Condition):
    """Every one of them; none at all holds always."""

    parts: tuple[Condition, ...]

    def holds(self, facts: Facts) -> bool:
        return all(part.holds(facts) for part in self.parts)

    @property
    def jsonata(self) -> str:
        return "(" + " and ".join(part.jsonata for part in self.parts) + ")" if self.parts else "true"

    def given(self, fact: str, value: Value) -> Condition:
        return _All(tuple(part.given(fact, value) for part in self.parts))

    def negated(self) -> Condition:
        return _Any(tuple(part.negated() for part in self.parts))

    def alternatives(self) -> list[list[Test]]:
        chosen = itertools.product(*(part.alternatives() for part in self.parts))
        return [[test for group in groups for test in group] for groups in chosen]


@dataclass(frozen=True)
class _Any(Condition):
    """One of them; none at all holds never."""

    parts: tuple[Condition, ...]

    def holds(self, facts: Facts) -> bool:
        return any(part.holds(facts) for part in self.parts)

    @property
    def jsonata(self) -> str:
        return "(" + " or ".join(part.jsonata for part in self.parts) + ")" if self.parts else "false"

    def given(self, fact: str, value: Value) -> Condition:
        return _Any(tuple(part.given(fact, value) for part in self.parts))

    def negated(self) -> Condition:
        return _All(tuple(part.negated() for part in self.parts))

    def alternatives(self) -> list[list[Test]]:
        return [group for part in self.parts for group in part.alternatives()]


ALWAYS: Condition = _All(())
NEVER: Condition = _Any(())


@dataclass(frozen=True)
class Test(Condition):
    """One question about one fact.

    `is`: it is one of the values. `least`: it is at least the value, or the fact of that name. `starts`,
    `has`: it begins with, or contains, one of the values.
    """

    __test__ = False  # pytest takes the name for a test's

    fact: str
    how: How
    values: tuple[Value, ...]
    no: bool = False

    def holds(self, facts: Facts) -> bool:
        return _answer(self.how, facts[self.fact], self.values, facts) != self.no

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
        return ALWAYS if self.holds({fact: value}) else NEVER

    def negated(self) -> Condition:
        return replace(self, no=not self.no)

    def alternatives(self) -> list[list[Test]]:
        return [[self]]

    def data(self) -> Data:
        """The test as the machine carries it."""
        if self.how == "is" and self.values == (True,):
            return {"f": self.fact, "holds": not self.no}
        value = self.values[0] if self.how == "least" else list(self.values)
        return {"f": self.fact, self.how: value, **({"no": True} if self.no else {})}


def _answer(how: How, value: Value, values: Sequence[Value], facts: Facts) -> bool:
    """Whether a fact with that value is what is asked for; `facts` are those that a bound may name."""
    if how == "is":
        return value in values
    if how == "least":
        [bound] = values
        return int(value) >= int(facts[bound] if isinstance(bound, str) else bound)
    if how == "starts":
        return str(value).startswith(tuple(map(str, values)))
    return any(str(part) in str(value) for part in values)


@dataclass(frozen=True)
class Fact:
    """The name of one fact; its methods make conditions."""

    name: str

    def is_(self, *values: Value) -> Condition:
        """Equal to one of `values`."""
        return Test(self.name, "is", values)

    def holds(self) -> Condition:
        """For a boolean fact: true."""
        return Test(self.name, "is", (True,))

    def starts_with(self, *prefixes: str) -> Condition:
        """Anchored at the first character: the rest of a FailureReason is text that users control."""
        return Test(self.name, "starts", prefixes)

    def contains(self, *parts: str) -> Condition:
        """Only for text that AWS alone writes (errors of a create call), never for a FailureReason."""
        return Test(self.name, "has", parts)

    def at_least(self, other: Fact | int) -> Condition:
        """For a number: at least so many, or as many as another fact says."""
        return Test(self.name, "least", (other.name if isinstance(other, Fact) else other,))


@dataclass(frozen=True)
class Rule:
    """When the condition holds, the answer is `then`; texts may name facts as `{fact}`."""

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
"""What the expressions over rules call: `$rule(rules, facts)` is the first rule that holds, `$met(groups,
facts)` whether a condition does. Assignments, to stand once in the block where the expression stands."""


def met(groups: Data, facts: Facts) -> bool:
    """`$met` in Python, over the same data: whether one of the groups of tests holds."""
    for group in groups:
        for test in group:
            if not _asked(test, facts):
                break
        else:
            return True
    return False


def first_rule(rules: Data, facts: Facts) -> Data:
    """`$rule` in Python, over the same data: the first rule that holds, None when none does."""
    for rule in rules:
        if "when" not in rule or met(rule["when"], facts):
            return rule
    return None


def _asked(test: Data, facts: Facts) -> bool:
    value, no = facts.get(test["f"]), test.get("no") is True
    if "holds" in test:
        return bool(value == test["holds"])
    # As JSONata takes what is not there: it is nothing that one could ask for.
    if value is None:
        return no
    if "least" in test:
        bound = test["least"]
        unknown = isinstance(bound, str) and bound not in facts
        return no if unknown else _answer("least", value, (bound,), facts) != no
    how: How = "is" if "is" in test else "starts" if "starts" in test else "has"
    return _answer(how, value, test[how], facts) != no


@dataclass(frozen=True)
class RuleTable:
    """Ordered rules: the first that holds gives the answer; the last one must always hold.

    `key` is the fact that the machine looks up first: it carries for each of its `values`, and for any other,
    only the rules that can then hold, and of these only what is left to ask.
    """

    rules: tuple[Rule, ...]
    key: Fact
    values: tuple[str, ...]

    def decide(self, facts: Facts) -> dict[str, str]:
        """The answer for these facts, its texts filled in."""
        for rule in self.rules:
            if rule.when.holds(facts):
                return {key: _fill(text, facts) for key, text in rule.then.items()}
        raise LookupError(f"no rule covers {dict(facts)!r}; the last rule must always hold")

    def data(self) -> Data:
        """The table as the machine carries it: value of the key fact -> rules, in order."""
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
        """The first rule that holds, its texts not filled in, as an expression over `$f` (after `FUNCTIONS`).

        `table` is the expression of `data()` in the machine.
        """
        rules = f'$lookup({table}, "is " & $f.{self.key.name})'
        return f"($known := {rules}; $rule($exists($known) ? $known : {table}.other, $f))"

    def fill_jsonata(self, text: str) -> str:
        """The expression `text`, a string, with each `{fact}` in it replaced by the fact."""
        texts = "".join(value for rule in self.rules for value in rule.then.values())
        names = json.dumps(sorted(set(_PLACEHOLDER.findall(texts))))
        replaced = '$replace($text, "{" & $name & "}", $string($lookup($f, $name)))'
        return f"$reduce({names}, function($text, $name) {{ {replaced} }}, {text})"


def groups_data(groups: list[list[Test]]) -> Data:
    """A condition's alternatives as the machine carries them."""
    return [[test.data() for test in dict.fromkeys(group)] for group in groups]


def _fill(text: str, facts: Facts) -> str:
    return _PLACEHOLDER.sub(lambda match: str(facts[match[1]]), text)
