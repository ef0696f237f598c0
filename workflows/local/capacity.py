"""Models of capacity that comes and goes: always there, scripted, random with a seed, or from a trace.

asked -> granted -> [taken away -> granted again]*      one Supply is one attempt's view of it
"""

from __future__ import annotations

import json
import random
from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

import simpy

from workflows.errors import RelayError
from workflows.local.events import Later
from workflows.local.sagemaker.workload import Work, said_of
from workflows.local.scenario import Entry, Random, Scenario, Trace

CAPACITY_ERROR = (
    "CapacityError: Unable to provision requested ML compute capacity. "
    "Please retry using a different ML instance type."
)

Market = Literal["spot", "on-demand"]
Events = Generator[simpy.Event, Any, None]


@dataclass(frozen=True)
class Demand:
    """The instances that one job asks for."""

    stage: str
    market: Market
    instance_type: str
    instance_count: int
    trial: str = ""  # of a sweep


class Supply(Protocol):
    """One job's capacity, from its first instance to its last."""

    def granted(self) -> simpy.Event:
        """Happens when there is capacity; its value is None, or the job's FailureReason.

        Has happened already when capacity is there at once. Asked again after each interruption.
        """
        ...

    def taken(self, work: Work) -> simpy.Event:
        """Happens when the capacity is taken away; its value is the notice given, in seconds."""
        ...


class Capacity(Protocol):
    """The source from which jobs get their instances."""

    def supply(self, env: simpy.Environment, demand: Demand) -> Supply:
        """Called once for each job, when it is created."""
        ...


class Always:
    """Every job gets its instances at once and keeps them."""

    def supply(self, env: simpy.Environment, demand: Demand) -> Supply:
        """A supply that grants at once and takes nothing back."""
        return ScriptedSupply(env, Entry())


class Scripted:
    """A list of entries for each stage, one for each of its attempts on that market.

    The trials of a sweep run side by side: each goes through the stage's list, or its own (`tune/3`), alone.
    """

    def __init__(
        self,
        spot: dict[str, list[Entry]] | None = None,
        on_demand: dict[str, list[Entry]] | None = None,
    ) -> None:
        self._entries = {"spot": spot or {}, "on-demand": on_demand or {}}
        self._used: Counter[tuple[str, str, str]] = Counter()

    def supply(self, env: simpy.Environment, demand: Demand) -> Supply:
        """Takes the next entry of the stage or trial; after the last one capacity has no end."""
        entries = said_of(self._entries[demand.market], demand.stage, demand.trial) or []
        attempts = (demand.market, demand.stage, demand.trial)
        place = self._used[attempts]
        self._used[attempts] += 1
        return ScriptedSupply(env, entries[place] if place < len(entries) else Entry())


class ScriptedSupply:
    """One attempt's capacity, as one entry of a scenario describes it."""

    def __init__(self, env: simpy.Environment, entry: Entry) -> None:
        self._env = env
        self._entry = entry
        self._interruptions = list(entry.interrupt)
        self._asked = 0

    def granted(self) -> simpy.Event:
        """Happens at once, after `wait` or `back`, or never."""
        first = self._asked == 0
        self._asked += 1
        delay = self._entry.wait if first else self._entry.back
        if first and self._entry.error:
            return Later(self._env, 0, CAPACITY_ERROR)
        if delay is None or (first and self._entry.capacity == "none"):
            return self._env.event()
        return Later(self._env, delay)

    def taken(self, work: Work) -> simpy.Event:
        """Happens when the stage's progress, or the time of training, reaches what the entry says."""
        event = self._env.event()
        if self._interruptions:
            self._env.process(self._take(self._interruptions.pop(0), work, event))
        return event

    def _take(self, when: tuple[str, float], work: Work, event: simpy.Event) -> Events:
        kind, value = when
        yield work.started
        yield work.reached(value) if kind == "fraction" else self._env.timeout(value)
        event.succeed(self._entry.notice)


class Timeline:
    """Capacity that is the same for everybody: a history of times when it comes and goes.

    `changes` are the seconds at which it changes, in order, starting with how it is at 0; a
    generator, so that a random history can be without end. `notice` as in a scenario.
    """

    def __init__(
        self, available: bool, changes: Iterator[float], *, notice: float = 0.0, start: float = 0.0
    ) -> None:
        self._available_at_zero = available
        self._changes = changes
        self._known: list[float] = []
        self._ended = False
        self._notice = notice
        self._start = start

    def supply(self, env: simpy.Environment, demand: Demand) -> Supply:
        """On-demand capacity has no history: it is always there."""
        if demand.market == "on-demand":
            return ScriptedSupply(env, Entry())
        return TimelineSupply(env, self, self._notice)

    def next(self, available: bool, now: float) -> float | None:
        """Returns the first second, `now` or later, at which capacity is (or is not) there."""
        now += self._start
        index = self._changes_until(now)
        if (self._available_at_zero ^ (index % 2 == 1)) == available:
            return now - self._start
        return self._known[index] - self._start if index < len(self._known) else None

    def _changes_until(self, now: float) -> int:
        while not self._ended and (not self._known or self._known[-1] <= now):
            change = next(self._changes, None)
            if change is None:
                self._ended = True
            else:
                self._known.append(change)
        return bisect_right(self._known, now)


class TimelineSupply:
    """One attempt's capacity on a timeline."""

    def __init__(self, env: simpy.Environment, timeline: Timeline, notice: float) -> None:
        self._env = env
        self._timeline = timeline
        self._notice = notice

    def granted(self) -> simpy.Event:
        """Happens when the timeline has capacity."""
        return self._at(self._timeline.next(True, self._env.now), None)

    def taken(self, work: Work) -> simpy.Event:
        """Happens when the timeline has no capacity left, whatever the job is doing then."""
        return self._at(self._timeline.next(False, self._env.now), self._notice)

    def _at(self, when: float | None, value: object) -> simpy.Event:
        return self._env.event() if when is None else Later(self._env, when - self._env.now, value)


class Pools:
    """Capacity with a timeline of its own for each instance type, independent of the others."""

    def __init__(self, make: Callable[[Demand], Timeline]) -> None:
        self._make = make
        self._timelines: dict[object, Timeline] = {}

    def supply(self, env: simpy.Environment, demand: Demand) -> Supply:
        """The supply of this instance type's timeline."""
        key = (demand.instance_type, demand.instance_count)
        if key not in self._timelines:
            self._timelines[key] = self._make(demand)
        return self._timelines[key].supply(env, demand)


def from_scenario(scenario: Scenario, *, seed: int = 0, folder: Path | None = None) -> Capacity:
    """The capacity that a scenario describes; `folder` is where a trace's path starts."""
    if scenario.random is not None:
        means = scenario.random
        return Pools(lambda demand: random_timeline(means, f"{seed}/{demand.instance_type}"))
    if scenario.trace is not None:
        trace = scenario.trace
        return Pools(lambda demand: trace_timeline(trace, demand.instance_count, folder))
    return Scripted(scenario.spot, scenario.on_demand)


def random_timeline(means: Random, seed: int | str) -> Timeline:
    """Makes a timeline of exponential times with and without capacity; a seed repeats it."""
    rng = random.Random(seed)  # a text seeds by its bytes, the same in every process
    first = rng.random() < means.up / (means.up + means.down)

    def changes() -> Iterator[float]:
        now, up = 0.0, first
        while True:
            # An hour's mean never gives 0, but a float may: two changes at one time would cancel.
            now += max(rng.expovariate(1 / (means.up if up else means.down)), 1e-3)
            yield now
            up = not up

    return Timeline(first, changes(), notice=means.notice)


def trace_timeline(trace: Trace, count: int = 1, folder: Path | None = None) -> Timeline:
    """A recorded history; `need` or the job's own instance count must have been available.

    After its last tick the recording starts again.
    """
    path = (folder or Path()) / trace.file
    data, tick = read_trace(path)
    have = [value >= max(trace.need, count) for value in data]

    def changes() -> Iterator[float]:
        if all(have) or not any(have):
            return
        index = 1
        while True:
            if have[index % len(have)] != have[(index - 1) % len(have)]:
                yield index * tick
            index += 1

    return Timeline(have[0], changes(), notice=trace.notice, start=trace.start)


def read_trace(path: Path) -> tuple[Sequence[int], float]:
    """The counts of a trace file and the seconds between them (format of shared/traces)."""
    try:
        content = json.loads(path.read_text("utf-8"))
        data, tick = content["data"], float(content["metadata"]["gap_seconds"])
    except OSError as error:
        raise RelayError(f"{path}: cannot be read: {error.strerror}") from None
    except (ValueError, KeyError, TypeError) as error:
        raise RelayError(
            f'{path}: not a trace; expected {{"metadata": {{"gap_seconds": s}}, "data": [counts]}}'
        ) from error
    if not data or tick <= 0 or not all(isinstance(count, int | float) for count in data):
        raise RelayError(f"{path}: not a trace; data must be numbers and gap_seconds positive")
    return data, tick
