"""What spot capacity may do to a run that is planned: draws from histories, pooled as a ladder uses them.

    outlook.draw(run) -> a region -> its zones, cut into blocks and put together anew -> one Capacity

SageMaker takes whatever zone of the region has room (without a network of your own, all of them), so an
instance type can be had while any of its zones has capacity; an instance goes when its own zone runs dry.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import simpy
from numpy.typing import NDArray

from workflows.errors import RelayError
from workflows.local.capacity import Demand, ScriptedSupply, Supply
from workflows.local.events import Later
from workflows.local.sagemaker.workload import Work
from workflows.local.scenario import Entry
from workflows.planning.histories import History, resampled, together
from workflows.planning.synthetic import climate, generated

ZONE = re.compile(r"^(?P<region>.+\d)-?[a-z]$")  # us-east-1a, us-central1-b
GENERATED_HOURS = 24 * 45
GENERATED_ZONES = 3
MANY = 64  # instances: the most that a rung may ask for


@dataclass(frozen=True)
class Outlook:
    """Histories by region, and by instance type within it; `""` stands for every other type."""

    regions: Mapping[str, Mapping[str, tuple[History, ...]]]
    told: str  # where they come from, for people

    def share(self, instance_type: str, count: int) -> float:
        """The share of time in which so many instances could be had in one of the zones; mean of regions."""
        found = []
        for pools in self.regions.values():
            up = [history.up(count) for history in together(_of(pools, instance_type))]
            found.append(float(np.any(up, axis=0).mean()))
        return float(np.mean(found))

    def draw(self, types: Sequence[str], seconds: float, rng: np.random.Generator) -> HistoryCapacity:
        """Capacity for one run that lasts about that long; what lasts longer sees it again."""
        names = list(self.regions)
        pools = self.regions[names[int(rng.integers(len(names)))]]
        return HistoryCapacity(
            {
                kind: tuple(Zone(history) for history in resampled(_of(pools, kind), seconds, rng))
                for kind in types
            },
            rng,
        )


def from_histories(histories: Sequence[History], types: Sequence[str], told: str) -> Outlook:
    """Zones by their region (the zone's name without its last letter).

    Histories of a type on the ladder (`p3.2xlarge` is `ml.p3.2xlarge`) stand for that type; when there are
    none, all of them stand for every type.
    """
    regions: dict[str, dict[str, list[History]]] = {}
    for history in histories:
        match = ZONE.match(history.name)
        kind = f"ml.{history.instance_type.removeprefix('ml.')}"
        pools = regions.setdefault(match["region"] if match else history.name, {})
        pools.setdefault(kind if kind in types else "", []).append(history)
    return Outlook(
        {name: {kind: tuple(zones) for kind, zones in pools.items()} for name, pools in regions.items()}, told
    )


def synthetic(name: str, types: Sequence[str], seed: int) -> Outlook:
    """Generated histories of that climate: three zones, each with every type."""
    zones = "abc"[:GENERATED_ZONES]
    keys = [(kind, zone) for kind in types for zone in zones]
    rng = np.random.default_rng([seed, 0xC11])
    made = generated(
        climate(name),
        pools=[f"{kind}/{zone}" for kind, zone in keys],
        hours=GENERATED_HOURS,
        rng=rng,
        instances=MANY,
    )
    pools: dict[str, tuple[History, ...]] = {}
    for (kind, _), history in zip(keys, made, strict=True):
        pools[kind] = (*pools.get(kind, ()), replace(history, instance_type=kind))
    return Outlook({"generated": pools}, f"generated histories ({name}), {len(zones)} zones")


def _of(pools: Mapping[str, tuple[History, ...]], kind: str) -> tuple[History, ...]:
    if kind in pools:
        return pools[kind]
    if "" in pools:
        return pools[""]
    # Only other types are known here: all of them say something about the region.
    return tuple(history for zones in pools.values() for history in zones)


class Zone:
    """One zone's drawn history; begins again at its end."""

    def __init__(self, history: History) -> None:
        self.history = history
        self._edges: dict[int, tuple[bool, list[float]]] = {}

    def next(self, there: bool, now: float, need: int) -> float | None:
        """The first second, `now` or later, at which `need` instances are (or are not) there; None: never."""
        first, edges = self._known(need)
        period = self.history.seconds
        cycle = now // period
        # A change belongs to what follows it, even where the clock's float fell short of it.
        index = bisect_right(edges, now - cycle * period + 1e-6)
        if (first ^ (index % 2 == 1)) == there:
            return now
        if index < len(edges):
            return max(now, cycle * period + edges[index])
        if first == there:
            return max(now, (cycle + 1) * period)
        return (cycle + 1) * period + edges[0] if edges else None

    def _known(self, need: int) -> tuple[bool, list[float]]:
        if need not in self._edges:
            up = self.history.up(need)
            changes = (np.flatnonzero(up[1:] != up[:-1]) + 1) * self.history.tick
            self._edges[need] = (bool(up[0]), changes.tolist())
        return self._edges[need]


class HistoryCapacity:
    """Spot capacity of each instance type in its zones; on-demand is always there."""

    def __init__(self, pools: Mapping[str, Sequence[Zone]], rng: np.random.Generator) -> None:
        self._pools = pools
        self._rng = rng

    def pooled(self, kind: str, count: int) -> tuple[NDArray[np.bool_], float]:
        """Says at which ticks a zone of the type has room for so many; with the tick in seconds."""
        zones = [zone.history for zone in self._pools[kind]]
        found: NDArray[np.bool_] = np.any([history.up(count) for history in zones], axis=0)
        return found, zones[0].tick

    def supply(self, env: simpy.Environment, demand: Demand) -> Supply:
        """Raises RelayError for a type that nothing is known of."""
        if demand.market == "on-demand":
            return ScriptedSupply(env, Entry())
        if demand.instance_type not in self._pools:
            raise RelayError(f"no history of {demand.instance_type} was drawn")
        return _ZoneSupply(env, self._pools[demand.instance_type], demand.instance_count, self._rng)


class _ZoneSupply:
    """One job's view: it gets what zone has room first, and stays there until that zone has none."""

    def __init__(
        self, env: simpy.Environment, zones: Sequence[Zone], need: int, rng: np.random.Generator
    ) -> None:
        self._env, self._zones, self._need, self._rng = env, zones, need, rng
        self._at: Zone | None = None

    def granted(self) -> simpy.Event:
        """When the first zone has room; never when none ever has."""
        now = float(self._env.now)
        times = [(zone.next(True, now, self._need), zone) for zone in self._zones]
        known = [(when, zone) for when, zone in times if when is not None]
        if not known:
            return self._env.event()
        soonest = min(when for when, _ in known)
        nearest = [zone for when, zone in known if when == soonest]
        self._at = nearest[int(self._rng.integers(len(nearest)))] if len(nearest) > 1 else nearest[0]
        return Later(self._env, soonest - now)

    def taken(self, work: Work) -> simpy.Event:
        """When the job's zone has no room any more, whatever the job is doing then."""
        assert self._at is not None
        now = float(self._env.now)
        when = self._at.next(False, now, self._need)
        return self._env.event() if when is None else Later(self._env, when - now, 0.0)
