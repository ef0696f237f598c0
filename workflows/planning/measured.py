"""What past runs teach a plan: how long a stage takes, and how fast each instance type is.

From the table that the machines write (`attempts.py`). How long: the steps of the newest attempt that
completed, at the speed of the type on which most attempts were made. That includes loading, so it errs on the
long side.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from workflows.ledger.attempts import Attempt
from workflows.ledger.statistics import Speed, speeds_of


@dataclass(frozen=True)
class Measured:
    """A stage: `seconds` undisturbed, where `speeds` says 1; instance type -> how many times as fast."""

    seconds: float
    speeds: Mapping[str, float]
    attempts: int


def measured(attempts: Iterable[Attempt]) -> dict[str, Measured]:
    """Measures each stage, except those that never completed or whose scripts report no steps."""
    known = list(attempts)
    by_stage: dict[str, list[Speed]] = {}
    for speed in speeds_of(known):
        by_stage.setdefault(speed.stage, []).append(speed)
    found = {}
    for stage, speeds in by_stage.items():
        steps = _steps(each for each in known if each.stage == stage)
        if steps:
            usual = max(speeds, key=lambda each: each.attempts)
            found[stage] = Measured(
                steps / usual.steps_per_second,
                {each.instance_type: each.steps_per_second / usual.steps_per_second for each in speeds},
                sum(each.attempts for each in speeds),
            )
    return found


def _steps(attempts: Iterable[Attempt]) -> int:
    """The steps of the newest attempt that completed."""
    completed = [each for each in attempts if each.outcome == "completed"]
    return max(completed, key=lambda each: each.ended).reached_step if completed else 0
