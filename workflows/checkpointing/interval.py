"""When the next checkpoint is due: often while an interruption is likely, seldom later.

    interval = max(latency, sqrt(2 * stall * mean time to interruption))

which is Young's rule (1974) with the stall, the time that training really stands still, in the
place of the save's duration (CheckFreq, FAST'21); the latency bounds it because one save at a
time is in flight. The mean time to interruption is 1 / hazard at the instance's present age.

The prior: spot instances die young. Measured hazards per hour by age; 0.5-1 h and 4-16 h are
interpolated between the measured 1.1 / 0.4 and 0.2 / 0.04.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, field

HOUR = 3600.0
# (age in hours from which it holds, interruptions per hour)
HAZARD_BY_AGE: tuple[tuple[float, float], ...] = (
    (0.0, 1.1),
    (0.5, 0.7),
    (1.0, 0.4),
    (2.0, 0.2),
    (4.0, 0.1),
    (16.0, 0.04),
)
PRIOR_WEIGHT = 2.0  # the prior counts as much as this many interruptions seen


@dataclass(frozen=True)
class Prior:
    """A hazard of interruption that is constant between the ages given.

    From the environment (RELAY_INTERRUPTION_PRIOR), one of
      "7200"                                   mean seconds to an interruption, at any age
      [[0, 1.1], [1, 0.4]]                     [age in hours, interruptions per hour], ascending
      {"hazard": [[0, 1.1]], "weight": 5}      the same, and how many observations it is worth
    """

    hazard: tuple[tuple[float, float], ...] = HAZARD_BY_AGE
    weight: float = PRIOR_WEIGHT

    @classmethod
    def parse(cls, text: str) -> Prior:
        """The prior that a text says; raises ValueError with what is allowed."""
        try:
            value = json.loads(text)
            weight = PRIOR_WEIGHT
            if isinstance(value, dict):
                weight, value = float(value.get("weight", PRIOR_WEIGHT)), value["hazard"]
            if isinstance(value, (int, float)):
                value = [[0, HOUR / value]]
            return cls(_checked([(float(age), float(rate)) for age, rate in value]), weight)
        except (ValueError, TypeError, KeyError, ZeroDivisionError) as error:
            raise ValueError(
                f"RELAY_INTERRUPTION_PRIOR is {text!r}, which is neither a number of seconds nor"
                f" a list of [age in hours, interruptions per hour] from age 0 on ({error})"
            ) from None

    def at(self, age: float) -> float:
        """Interruptions per second at an age in seconds."""
        rate = self.hazard[0][1]
        for start, value in self.hazard:
            if start * HOUR <= age:
                rate = value
        return rate / HOUR

    def expected(self, age: float) -> float:
        """How many interruptions the prior expects of an instance from birth to an age."""
        total = 0.0
        ends = [start * HOUR for start, _ in self.hazard[1:]] + [math.inf]
        for (start, rate), end in zip(self.hazard, ends, strict=True):
            if age > start * HOUR:
                total += (min(age, end) - start * HOUR) * rate / HOUR
        return total


def _checked(hazard: Sequence[tuple[float, float]]) -> tuple[tuple[float, float], ...]:
    ages = [age for age, _ in hazard]
    if not hazard or ages[0] != 0 or ages != sorted(set(ages)):
        raise ValueError("ages start at 0 and ascend")
    if any(not (0 < rate < math.inf) for _, rate in hazard):
        raise ValueError("every hazard is above 0")
    return tuple(hazard)


@dataclass
class Interval:
    """The interval between two saves, in seconds, from what has been seen so far.

    `seen` counts the interruptions of earlier attempts and `exposure` how many the prior had
    expected of them: together they scale the prior (the mean of a gamma posterior).
    """

    shortest: float
    longest: float
    prior: Prior = field(default_factory=Prior)
    seen: int = 0
    exposure: float = 0.0
    stall: float | None = None
    latency: float | None = None

    def observe(self, *, stall: float | None = None, latency: float | None = None) -> None:
        """Takes in a measured save: moves half of the way, so that one outlier passes."""
        if stall is not None:
            self.stall = stall if self.stall is None else (self.stall + stall) / 2
        if latency is not None:
            self.latency = latency if self.latency is None else (self.latency + latency) / 2

    def mean_time_to_interruption(self, age: float) -> float:
        """Seconds to the next interruption of an instance of this age, were its hazard to stay."""
        weight = self.prior.weight
        scale = (weight + self.seen) / (weight + self.exposure + self.prior.expected(age))
        return 1.0 / (self.prior.at(age) * scale)

    def seconds(self, age: float) -> float:
        """How long to wait from one save to the next at this age of the instance."""
        latency = self.latency or 0.0
        best = math.sqrt(2 * (self.stall or 0.0) * self.mean_time_to_interruption(age))
        return max(latency, self.shortest, min(best, self.longest))
