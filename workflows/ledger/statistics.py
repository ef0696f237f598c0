"""What the attempts of past runs teach: how often capacity goes, how long it is waited for, how fast work is.

Pure: rows of `attempts.py` in, numbers out, each with the count that it rests on. Rates are those of jobs: of
eight instances any one that goes takes the whole job.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise, starmap
from typing import TypeVar

from workflows.ledger.attempts import Attempt
from workflows.ledger.receipt import lines
from workflows.ledger.stage_view import Activity
from workflows.policy.prices import PriceBook

HOUR = 3600.0
Key = TypeVar("Key")


@dataclass(frozen=True)
class Spread:
    """Seconds of `count` cases; None without any."""

    count: int
    median: float | None
    p95: float | None  # the smallest value that 95 % of the cases do not exceed


@dataclass(frozen=True)
class Rate:
    """Interruptions in the hours during which spot jobs held their instances."""

    interruptions: float
    spot_hours: float

    @property
    def per_hour(self) -> float | None:
        """Interruptions an hour; None where no spot job has held an instance."""
        return self.interruptions / self.spot_hours if self.spot_hours else None


@dataclass(frozen=True)
class OfType:
    """Spot jobs on one instance type."""

    instance_type: str
    attempts: int
    without_capacity: int  # never got an instance
    rate: Rate
    queued: Spread  # to the instances' start; of those without capacity, to their end


@dataclass(frozen=True)
class Speed:
    """How fast a stage's work goes in a place: all its steps over all its seconds with instances, what they
    took to load included."""

    stage: str
    instance_type: str
    instance_count: int
    attempts: int
    steps_per_second: float


@dataclass(frozen=True)
class Statistics:
    """What the given attempts tell."""

    attempts: int
    runs: int
    places: int  # stages and trials that were run
    completed: int  # of them
    outcomes: dict[str, int]
    by_type: tuple[OfType, ...]
    by_hour: tuple[tuple[int, Rate], ...]  # hour of the day in UTC, those with spot jobs
    changeover: Spread
    speeds: tuple[Speed, ...]
    usd: float | None  # None: the price of an attempt is not known
    on_demand_usd: float | None  # the work that was kept, on on-demand without interruptions

    @property
    def saved_usd(self) -> float | None:
        """What was saved against on-demand without interruptions; below 0 for work lost again and again."""
        return None if self.usd is None or self.on_demand_usd is None else self.on_demand_usd - self.usd


def statistics(attempts: Iterable[Attempt], prices: PriceBook) -> Statistics:
    """The statistics of these attempts, in any order. `prices`: for what on-demand would have cost."""
    everything = sorted(attempts, key=lambda each: (each.series, each.created, each.attempt))
    places = [list(group) for group in _grouped(everything, lambda each: each.series).values()]
    spot = [each for each in everything if each.market == "spot"]
    return Statistics(
        attempts=len(everything),
        runs=len({each.run_key for each in everything}),
        places=len(places),
        completed=sum(any(each.outcome == "completed" for each in place) for place in places),
        outcomes=dict(Counter(each.outcome for each in everything).most_common()),
        by_type=tuple(starmap(_of_type, sorted(_grouped(spot, lambda each: each.instance_type).items()))),
        by_hour=tuple(sorted(_by_hour(spot).items())),
        changeover=_spread([seconds for place in places for seconds in _changeovers(place)]),
        speeds=tuple(speeds_of(everything)),
        usd=_sum(each.usd for each in everything),
        on_demand_usd=_sum(usd for place in places for usd in _undisturbed(place, prices)),
    )


def speeds_of(attempts: Iterable[Attempt]) -> Iterator[Speed]:
    """Speeds by stage and place, of the attempts that moved their checkpoint."""
    moved = [each for each in attempts if each.reached_step > each.resumed_step and each.trained_seconds]
    groups = _grouped(moved, lambda each: (each.stage, each.instance_type, each.instance_count))
    for (stage, kind, count), group in sorted(groups.items()):
        steps = sum(each.reached_step - each.resumed_step for each in group)
        yield Speed(stage, kind, count, len(group), steps / sum(each.trained_seconds for each in group))


def _undisturbed(place: Sequence[Attempt], prices: PriceBook) -> Iterator[float | None]:
    """As on the receipt: when an attempt's row was written, nobody knew yet where the next would begin."""
    return (line.undisturbed for line in lines(Activity(attempts=list(place)), prices))


def _of_type(instance_type: str, attempts: Sequence[Attempt]) -> OfType:
    hours = sum(each.trained_seconds for each in attempts) / HOUR
    return OfType(
        instance_type,
        len(attempts),
        sum(not each.trained_seconds for each in attempts),
        Rate(sum(each.interruptions for each in attempts), hours),
        _spread([each.queued_seconds for each in attempts]),
    )


def _by_hour(spot: Sequence[Attempt]) -> dict[int, Rate]:
    """An attempt's hours and interruptions fall on the hours of its life, as much on each as it lasted there:
    when inside a job it was interrupted is not written down."""
    hours: defaultdict[int, float] = defaultdict(float)
    interruptions: defaultdict[int, float] = defaultdict(float)
    for each in spot:
        for hour, share in _shares(each.created, each.ended):
            hours[hour] += share * each.trained_seconds / HOUR
            interruptions[hour] += share * each.interruptions
    return {hour: Rate(interruptions[hour], seconds) for hour, seconds in hours.items() if seconds}


def _shares(start: datetime, end: datetime) -> Iterator[tuple[int, float]]:
    """(hour of the day in UTC, share of the time from start to end that lies in it)."""
    start, end = start.astimezone(UTC), end.astimezone(UTC)
    whole = (end - start).total_seconds()
    if whole <= 0:
        yield start.hour, 1.0
    while start < end:
        following = start.replace(minute=0, second=0, microsecond=0) + timedelta(hours=1)
        yield start.hour, (min(following, end) - start).total_seconds() / whole
        start = following


def _changeovers(place: Sequence[Attempt]) -> Iterator[float]:
    """Seconds from each attempt's end to the next one's new work: the pause, the launch, the work redone."""
    ran = [each for each in place if each.trained_seconds]
    for before, after in pairwise(ran):
        launch = (after.created - before.ended).total_seconds() + after.queued_seconds
        steps = after.reached_step - after.resumed_step
        redone = max(0, min(before.reached_step, after.reached_step) - after.resumed_step)
        yield launch + (redone * after.trained_seconds / steps if steps > 0 else 0.0)


def _spread(values: Sequence[float]) -> Spread:
    ordered, count = sorted(values), len(values)
    if not count:
        return Spread(0, None, None)
    middle = (ordered[(count - 1) // 2] + ordered[count // 2]) / 2
    return Spread(count, middle, ordered[math.ceil(0.95 * count) - 1])


def _sum(values: Iterable[float | None]) -> float | None:
    total = 0.0
    for value in values:
        if value is None:
            return None
        total += value
    return round(total, 6)


def _grouped(attempts: Iterable[Attempt], key: Callable[[Attempt], Key]) -> dict[Key, list[Attempt]]:
    found: dict[Key, list[Attempt]] = {}
    for each in attempts:
        found.setdefault(key(each), []).append(each)
    return found
