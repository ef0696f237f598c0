"""The floor: what somebody would pay who knew the whole history beforehand.

An exact dynamic program, backwards over the ticks, for every amount of work left on a grid that holds the
tick, the changeover and the work without rounding. One pass over a history answers for every start in it that
has the same end.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from workflows.planning.study.replay import SECONDS_PER_HOUR, Task

Costs = NDArray[np.float64]


def optimal_cost(up: Sequence[bool], tick: float, task: Task) -> float:
    """Dollars (an hour on-demand costs 1) of the cheapest way to be done by the deadline; inf: there is none.

    Same rules as `replay`: decisions fall at ticks, each start costs a changeover, spot ends when it is gone.
    """
    ticks = int(task.deadline / tick + 1e-9)
    return optimal_costs(np.asarray(up[:ticks], dtype=bool), tick, task, [ticks])[ticks]


def optimal_costs(up: NDArray[np.bool_], tick: float, task: Task, rooms: Iterable[int]) -> dict[int, float]:
    """The same for several starts before one end: ticks before the end of `up` -> dollars.

    `task.deadline` is not looked at.
    """
    wanted = set(rooms)
    program = _Program(tick, task)
    found = {0: program.idle[-1]} if 0 in wanted else {}
    for room in range(1, max(wanted, default=0) + 1):
        at = len(up) - room
        program.step(bool(up[at]), bool(up[at : at + max(1, program.start_ticks)].all()))
        if room in wanted:
            found[room] = program.idle[-1]
    return {room: float(cost) for room, cost in found.items()}


class _Program:
    """The values one tick earlier at each step: cost to the end, by work left, of three modes.

    Who knows the future starts no spot instance that is taken away during its changeover, so a start is one
    move of `start_ticks` ticks, and no state has to remember how far a changeover is.
    """

    def __init__(self, tick: float, task: Task) -> None:
        unit = _common_unit(tick, task.changeover, task.work)
        self._per_tick, works = round(tick / unit), round(task.work / unit)
        self.start_ticks = math.ceil(task.changeover / tick - 1e-9)
        # Units of work that are done in the last tick of a start.
        self._head = self.start_ticks * self._per_tick - round(task.changeover / unit)
        self._hour = {"spot": task.spot_price, "on-demand": 1.0}
        self._unit, self._changeover = unit / SECONDS_PER_HOUR, task.changeover / SECONDS_PER_HOUR
        end = np.full(works + 1, np.inf)
        end[0] = 0.0
        self.idle = end
        # Values of running at the next `start_ticks` ticks, the nearest first.
        self._running = {market: deque([end], maxlen=max(1, self.start_ticks)) for market in self._hour}

    def step(self, spot: bool, spot_lasts: bool) -> None:
        """One tick back: is spot there in this tick, and does it last for a whole changeover?"""
        there = {"spot": spot, "on-demand": True}
        lasts = {"spot": spot_lasts, "on-demand": True}
        goes_on = {
            market: self._move(self._running[market][0], market, self._per_tick, 0.0)
            for market in self._hour
            if there[market]
        }
        idle = self.idle
        for market in self._hour:
            if lasts[market]:
                idle = np.minimum(idle, self._begun(market, goes_on))
        for market, values in self._running.items():
            values.appendleft(np.minimum(goes_on[market], idle) if market in goes_on else idle)
        self.idle = idle

    def _begun(self, market: str, goes_on: dict[str, Costs]) -> Costs:
        """The value of a start at this tick; infinite when the end is too near for one."""
        if self.start_ticks == 0:
            return goes_on[market]
        after = self._running[market]
        if len(after) < self.start_ticks:
            return _unreachable(after[0])
        return self._move(after[self.start_ticks - 1], market, self._head, self._changeover)

    def _move(self, after: Costs, market: str, units: int, hours: float) -> Costs:
        """`hours` without and then `units` with progress, in which the work may be done earlier."""
        price = self._hour[market]
        found = np.empty_like(after)
        few = min(units, len(after) - 1)
        found[: few + 1] = (hours + np.arange(few + 1) * self._unit) * price
        found[few + 1 :] = (hours + units * self._unit) * price + after[1 : len(after) - few]
        found[0] = 0.0
        return found


def _unreachable(values: Costs) -> Costs:
    found = np.full_like(values, np.inf)
    found[0] = 0.0
    return found


def _common_unit(*seconds: float) -> float:
    """The longest time in milliseconds that all of them are multiples of, in seconds."""
    whole = [round(value * 1000) for value in seconds]
    return math.gcd(*whole) / 1000


def whole_ticks(task: Task, tick: float) -> Task:
    """The task with a deadline at a tick, no later than its own."""
    return replace(task, deadline=int(task.deadline / tick + 1e-9) * tick)
