"""The policy evaluated in Python: the oracle that the machine's own evaluation is compared with.

It reads the conditions as they are written (`Every`, `Either`, `Test`), not what is rendered from them
(`alternatives`, `data`, `jsonata`), so a mistake in the rendering shows as a difference.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import cast

from workflows.policy.decisions import HERE, TABLE, Next, Pause, Rung
from workflows.policy.outcomes import OUTCOMES, Outcome
from workflows.policy.rules import PLACEHOLDER, Condition, Either, Every, RuleTable, Test, Value
from workflows.policy.tally import TALLY, Count

Facts = Mapping[str, Value]


@dataclass(frozen=True)
class Decision:
    """What is done after an attempt: branch, rung of the ladder, pause, and the reason."""

    next: Next
    rung: Rung
    pause: Pause
    why: str


def holds(condition: Condition, facts: Facts) -> bool:
    """Whether a condition holds for these facts."""
    if isinstance(condition, Every):
        return all(holds(part, facts) for part in condition.parts)
    if isinstance(condition, Either):
        return any(holds(part, facts) for part in condition.parts)
    assert isinstance(condition, Test)
    return _asked(condition, facts) != condition.no


def classify(facts: Facts) -> Outcome:
    """The outcome of an attempt.

    `facts`: status, secondary, reason, error, held (strings, "" where absent), whole, trained, watched,
    redriven (booleans).
    """
    return Outcome(first_answer(OUTCOMES, facts)["outcome"])


def tally(facts: Facts) -> dict[str, int]:
    """The counters after an attempt, from its facts and the counters before it."""
    return {count.name: _counted(count, facts) for count in TALLY}


def decide(facts: Facts) -> Decision:
    """The decision after an attempt; `facts` hold the counters as `tally` left them."""
    answer = first_answer(TABLE, facts)
    return Decision(
        Next(str(facts["market"]) if answer["next"] == HERE else answer["next"]),
        cast(Rung, answer["rung"]),
        cast(Pause, answer["pause"]),
        answer["why"],
    )


def first_answer(table: RuleTable, facts: Facts) -> dict[str, str]:
    """The answer of the first rule that holds, its texts filled in."""
    for rule in table.rules:
        if holds(rule.when, facts):
            return {
                key: PLACEHOLDER.sub(lambda match: str(facts[match[1]]), text)
                for key, text in rule.then.items()
            }
    raise LookupError(f"no rule covers {dict(facts)!r}; the last rule must always hold")


def _asked(test: Test, facts: Facts) -> bool:
    value = facts[test.fact]
    if test.how == "is":
        return value in test.values
    if test.how == "least":
        [bound] = test.values
        return int(value) >= int(facts[bound] if isinstance(bound, str) else bound)
    if test.how == "starts":
        return any(str(value).startswith(str(start)) for start in test.values)
    return any(str(part) in str(value) for part in test.values)


def _counted(count: Count, facts: Facts) -> int:
    start = 0 if holds(count.reset_when, facts) else int(facts[count.name])
    if not holds(count.raise_when, facts):
        return start
    return start + (1 if count.floor is None else max(int(facts["seen"]), int(holds(count.floor, facts))))
