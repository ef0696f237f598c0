"""Conditions and ordered rule tables that are written once and used twice.

A rule is data: Python evaluates it (planner, tests), and the compiler renders the same object as a JSONata
expression into the state machine. `tests/unit/test_rules.py` proves on random facts that both agree.

Facts are a flat mapping of names to strings, integers and booleans; a fact is never missing and never null,
because JSONata answers a comparison with nothing by nothing.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

Value = str | int | bool
Facts = Mapping[str, Value]

_PLACEHOLDER = re.compile(r"\{(\w+)\}")


@dataclass(frozen=True)
class Condition:
    """A predicate over facts, with its JSONata text; combine with `&`, `|` and `~`."""

    holds: Callable[[Facts], bool]
    jsonata: str

    def __and__(self, other: Condition) -> Condition:
        return Condition(lambda f: self.holds(f) and other.holds(f), f"({self.jsonata} and {other.jsonata})")

    def __or__(self, other: Condition) -> Condition:
        return Condition(lambda f: self.holds(f) or other.holds(f), f"({self.jsonata} or {other.jsonata})")

    def __invert__(self) -> Condition:
        return Condition(lambda f: not self.holds(f), f"$not({self.jsonata})")


ALWAYS = Condition(lambda f: True, "true")


@dataclass(frozen=True)
class Fact:
    """The name of one fact; its methods make conditions. Rendered as a field of the variable `$f`."""

    name: str

    @property
    def jsonata(self) -> str:
        return f"$f.{self.name}"

    def is_(self, *values: Value) -> Condition:
        """Equal to one of `values`."""
        one = len(values) == 1
        text = (
            f"{self.jsonata} = {json.dumps(values[0])}" if one else f"{self.jsonata} in {json.dumps(values)}"
        )
        return Condition(lambda f: f[self.name] in values, text)

    def holds(self) -> Condition:
        """For a boolean fact: true."""
        return Condition(lambda f: f[self.name] is True, self.jsonata)

    def starts_with(self, *prefixes: str) -> Condition:
        """Anchored at the first character: the rest of a FailureReason is text that users control."""
        tests = [
            f"$substring({self.jsonata}, 0, {len(prefix)}) = {json.dumps(prefix)}" for prefix in prefixes
        ]
        text = tests[0] if len(tests) == 1 else f"({' or '.join(tests)})"
        return Condition(lambda f: str(f[self.name]).startswith(prefixes), text)

    def contains(self, *parts: str) -> Condition:
        """Only for text that AWS alone writes (errors of a create call), never for a FailureReason."""
        tests = [f"$contains({self.jsonata}, {json.dumps(part)})" for part in parts]
        text = tests[0] if len(tests) == 1 else f"({' or '.join(tests)})"
        return Condition(lambda f: any(part in str(f[self.name]) for part in parts), text)

    def at_least(self, other: Fact | int) -> Condition:
        if isinstance(other, Fact):
            return Condition(
                lambda f: int(f[self.name]) >= int(f[other.name]),
                f"{self.jsonata} >= {other.jsonata}",
            )
        return Condition(lambda f: int(f[self.name]) >= other, f"{self.jsonata} >= {other}")


@dataclass(frozen=True)
class Rule:
    """When the condition holds, the answer is `then`; texts may name facts as `{fact}`."""

    when: Condition
    then: Mapping[str, str]


@dataclass(frozen=True)
class RuleTable:
    """Ordered rules: the first that holds gives the answer; the last one must always hold."""

    rules: tuple[Rule, ...]

    def decide(self, facts: Facts) -> dict[str, str]:
        """The answer for these facts, its texts filled in."""
        for rule in self.rules:
            if rule.when.holds(facts):
                return {key: _fill(text, facts) for key, text in rule.then.items()}
        raise LookupError(f"no rule covers {dict(facts)!r}; the last rule must always hold")

    def jsonata(self) -> str:
        """The table as one expression over `$f`, the same order, the same texts."""
        return self._chain([_object(rule.then) for rule in self.rules])

    def index_jsonata(self) -> str:
        """The index of the first rule that holds; `answers()[index]`, filled, is what `decide` returns.

        A table that is rendered many times is kept as data in one variable of the machine, and only its
        conditions are repeated.
        """
        return self._chain([str(index) for index in range(len(self.rules))])

    def answers(self) -> list[dict[str, str]]:
        """The answers in order, their texts not filled in."""
        return [{key: str(text) for key, text in rule.then.items()} for rule in self.rules]

    def fill_jsonata(self, text: str) -> str:
        """The expression `text`, a string, with each `{fact}` in it replaced by the fact."""
        texts = "".join(value for rule in self.rules for value in rule.then.values())
        names = json.dumps(sorted(set(_PLACEHOLDER.findall(texts))))
        replaced = '$replace($text, "{" & $name & "}", $string($lookup($f, $name)))'
        return f"$reduce({names}, function($text, $name) {{ {replaced} }}, {text})"

    def _chain(self, answers: list[str]) -> str:
        text = answers[-1]
        for rule, answer in zip(reversed(self.rules[:-1]), reversed(answers[:-1]), strict=True):
            text = f"{rule.when.jsonata} ? {answer} : {text}"
        return text


def _fill(text: str, facts: Facts) -> str:
    return _PLACEHOLDER.sub(lambda match: str(facts[match[1]]), text)


def _object(answer: Mapping[str, str]) -> str:
    return "{" + ", ".join(f"{json.dumps(k)}: {_text(v)}" for k, v in answer.items()) + "}"


def _text(text: str) -> str:
    parts = _PLACEHOLDER.split(text)  # literal, fact, literal, fact, ..., literal
    rendered = [
        f"$f.{part}" if index % 2 else json.dumps(part, ensure_ascii=False)
        for index, part in enumerate(parts)
        if index % 2 or part
    ]
    return " & ".join(rendered) or '""'
