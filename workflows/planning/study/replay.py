"""A rule replayed tick by tick over one history: the yardstick of the field, fast and without a machine.

    tick: taken away? -> the rule looks and chooses -> the tick passes: changeover, then work, then done

This is how published rules are compared ("Can't Be Late", NSDI'24): one job, one zone, one price for each
market, work that is never lost but delayed by a changeover at each start. `virtual_runs.py` replays the
compiled machine itself.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from workflows.policy.decisions import reserve

SECONDS_PER_HOUR = 3600.0
DONE = 1e-6  # seconds of work that are none


class Mode(StrEnum):
    """What is paid for during a tick."""

    IDLE = "idle"
    SPOT = "spot"
    ON_DEMAND = "on-demand"


@dataclass(frozen=True)
class Task:
    """What is to be done: seconds of work, until the deadline (seconds from the start).

    `changeover`: seconds at each start without progress; `spot_price`: dollars an hour where on-demand
    costs 1.
    """

    work: float
    deadline: float
    changeover: float
    spot_price: float = 0.3


@dataclass
class Situation:
    """What a rule sees at the beginning of a tick; seconds."""

    task: Task
    tick: float
    now: float = 0.0
    left: float = 0.0  # work
    mode: Mode = Mode.IDLE
    spot: bool = False  # capacity is there
    interruptions: int = 0

    @property
    def room(self) -> float:
        """Time left."""
        return self.task.deadline - self.now

    def must_run(self) -> bool:
        """The safety net of the machine (`decisions.RESERVE`); a tick of waiting must have room in it."""
        changeover = self.task.changeover
        return self.room < self.left + max(changeover * reserve(self.left), changeover + self.tick)


Rule = Callable[[Situation], Mode]


@dataclass(frozen=True)
class Replayed:
    """How it went: dollars (an hour on-demand costs 1), seconds until the end (None: not done in time)."""

    cost: float
    finish: float | None
    interruptions: int
    on_demand_seconds: float


def replay(rule: Rule, up: Sequence[bool], tick: float, task: Task) -> Replayed:
    """The rule on a history that begins when the task does; stops at the deadline.

    `up`: at which ticks spot capacity is there; it must reach to the deadline.
    """
    seen = Situation(task, tick, left=task.work)
    cost = on_demand = to_change = 0.0
    for spot in up[: int(task.deadline / tick + 1e-9)]:
        seen.spot = bool(spot)
        if seen.mode is Mode.SPOT and not spot:
            seen.mode, seen.interruptions = Mode.IDLE, seen.interruptions + 1
        mode = rule(seen)
        if mode is not seen.mode and mode is not Mode.IDLE:
            to_change = task.changeover
        seen.mode = mode
        if mode is not Mode.IDLE:
            used = min(tick, to_change + seen.left)
            worked = max(0.0, used - to_change)
            to_change = max(0.0, to_change - used)
            seen.left -= worked
            on_demand += used if mode is Mode.ON_DEMAND else 0.0
            cost += used * (task.spot_price if mode is Mode.SPOT else 1.0) / SECONDS_PER_HOUR
            if seen.left <= DONE:
                return Replayed(cost, seen.now + used, seen.interruptions, on_demand)
        seen.now += tick
    return Replayed(cost, None, seen.interruptions, on_demand)
