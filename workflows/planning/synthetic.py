"""Histories for whoever has none: the hazards of real spot capacity, without anybody's data.

Two things of recorded histories matter to a rule, and both are here. **Hazards fall with age**: capacity
that came minutes ago goes again soon, capacity that has lasted hours lasts on; the same for its absence.
**Zones of a region are tight together**: a state of the whole region makes losses likelier and returns rarer
in all of them.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from workflows.errors import RelayError, unknown
from workflows.planning.histories import History

HOUR = 3600.0
TICK = 300.0  # seconds; launches take minutes, so nothing shorter can be seen


@dataclass(frozen=True)
class Hazard:
    """Changes an hour, by age in hours: `late + early / (1 + age / turn)`."""

    early: float
    late: float
    turn: float

    def chance(self, age: np.ndarray, tick: float, factor: float) -> np.ndarray:
        """The chance that the change falls into the next tick, for each age (both in seconds)."""
        rate = self.late + self.early / (1.0 + age / HOUR / self.turn)
        found: np.ndarray = -np.expm1(-rate * factor * tick / HOUR)
        return found


@dataclass(frozen=True)
class Climate:
    """How capacity comes and goes in a region.

    `lost`, `found`: hazards of going and of coming. `calm`, `tight`: mean hours of the region's two states;
    while it is tight, losses are `pull` times as likely and returns as many times rarer.
    """

    lost: Hazard = field(default_factory=lambda: Hazard(early=3.0, late=0.05, turn=0.17))
    found: Hazard = field(default_factory=lambda: Hazard(early=5.0, late=0.2, turn=0.17))
    calm: float = 18.0
    tight: float = 8.0
    pull: float = 3.0


# Shares of time with capacity in one zone: about 0.85, 0.55 and 0.15, and the times between as recorded
# histories of p3 (2023) and a3 (2025) instances have them.
CLIMATES: dict[str, Climate] = {
    "plentiful": Climate(lost=Hazard(1.5, 0.03, 0.17), found=Hazard(8.0, 0.6, 0.17)),
    "usual": Climate(),
    "scarce": Climate(lost=Hazard(5.0, 0.1, 0.17), found=Hazard(3.0, 0.06, 0.17)),
}


def climate(name: str) -> Climate:
    """One of the climates by its name. Raises RelayError for another name."""
    if name not in CLIMATES:
        raise RelayError(unknown("climate", name, list(CLIMATES)))
    return CLIMATES[name]


def generated(
    weather: Climate, *, pools: list[str], hours: float, rng: np.random.Generator, instances: int = 1
) -> tuple[History, ...]:
    """A history of each pool (a zone, or a type in a zone) of one region; the same for the same `rng`.

    A pool holds `instances` or none: in recorded histories, capacity for many is there when it is there for
    one, nineteen times of twenty.
    """
    ticks, count = max(1, round(hours * HOUR / TICK)), len(pools)
    region = _region(weather, ticks, rng)
    draws = rng.random((ticks, count))
    up = rng.random(count) < 0.5
    age = rng.exponential(HOUR, count)
    there = np.empty((ticks, count), dtype=bool)
    for at in range(ticks):
        factor = weather.pull if region[at] else 1.0
        lost = weather.lost.chance(age, TICK, factor)
        found = weather.found.chance(age, TICK, 1.0 / factor)
        changed = draws[at] < np.where(up, lost, found)
        up = up ^ changed
        age = np.where(changed, 0.0, age + TICK)
        there[at] = up
    return tuple(
        History(name, there[:, index].astype(np.int64) * instances, TICK) for index, name in enumerate(pools)
    )


def _region(weather: Climate, ticks: int, rng: np.random.Generator) -> np.ndarray:
    """Draws at which ticks the region is short of capacity."""
    found = np.empty(ticks, dtype=bool)
    tight = bool(rng.random() < weather.tight / (weather.calm + weather.tight))
    at = 0
    while at < ticks:
        mean = weather.tight if tight else weather.calm
        last = at + max(1, round(rng.exponential(mean) * HOUR / TICK))
        found[at:last] = tight
        at, tight = last, not tight
    return found
