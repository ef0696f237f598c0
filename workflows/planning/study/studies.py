"""The table by which rules are judged: cost over the optimum, on many starts in many histories.

    for each history and start: the optimum of every deadline (one pass), then each rule's replay
    -> ratio of the mean costs, with an interval from resampling histories and their starts

Windows of one history overlap and zones differ more than starts do: so the interval draws histories first
(a cluster bootstrap). Nine zones stay nine zones, however many starts are taken.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from workflows.errors import RelayError
from workflows.planning.histories import History, windows
from workflows.planning.study.optimum import optimal_costs
from workflows.planning.study.peers import RULES
from workflows.planning.study.replay import SECONDS_PER_HOUR, Task, replay

DRAWS = 1000  # of the bootstrap
OPTIMUM = "optimum"


@dataclass(frozen=True)
class Question:
    """What is asked of the rules; hours. `spot_price` is a share of the on-demand price."""

    work: float = 48.0
    deadlines: tuple[float, ...] = (52.0, 60.0, 70.0, 92.0)
    changeovers: tuple[float, ...] = (0.02, 0.2, 0.5)
    spot_price: float = 0.3
    need: int = 1  # instances at once

    def __post_init__(self) -> None:
        if not (self.work > 0 and self.deadlines and self.changeovers and self.spot_price > 0):
            raise RelayError("a study needs work, deadlines, changeovers and a spot price above 0")
        hasty = [d for d in self.deadlines for c in self.changeovers if d < self.work + 2 * c]
        if hasty or min(self.changeovers) < 0:
            raise RelayError(
                f"deadlines must leave room for the work ({self.work:g} h) and two changeovers, "
                f"found {', '.join(f'{d:g} h' for d in sorted(set(hasty)))}"
            )


@dataclass(frozen=True)
class Cell:
    """One figure of the table: a rule at a changeover and a deadline (hours)."""

    changeover: float
    deadline: float
    rule: str
    ratio: float  # mean cost over the optimum's; of the optimum itself over on-demand's
    low: float  # 95 % interval
    high: float
    missed: float  # share of the starts that were not done in time
    starts: int


@dataclass(frozen=True)
class _Start:
    """One window: the end of every deadline, in which the longest begins first."""

    history: int
    up: NDArray[np.bool_]
    tick: float


# (history, changeover, deadline) -> rule -> (cost, missed); "optimum" among the rules
_Result = dict[tuple[float, float], dict[str, tuple[float, bool]]]


def study(
    histories: Sequence[History],
    question: Question,
    *,
    starts: int = 24,
    seed: int = 0,
    workers: int | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> list[Cell]:
    """The cells, changeover by changeover; the same for the same seed, whatever the number of workers.

    `starts` of each history. Raises RelayError when none is as long as the longest deadline.
    """
    chosen = list(_chosen(histories, question, starts, np.random.default_rng(seed)))
    if not chosen:
        longest = max((history.seconds for history in histories), default=0) / SECONDS_PER_HOUR
        raise RelayError(
            f"no history is as long as the longest deadline ({max(question.deadlines):g} h); "
            f"the longest has {longest:.0f} h"
        )
    results: list[_Result] = []
    for result in _spread(partial(_judge, question), chosen, workers or os.cpu_count() or 1):
        results.append(result)
        progress(len(results), len(chosen))
    return list(_cells(question, [start.history for start in chosen], results, seed))


def _chosen(
    histories: Sequence[History], question: Question, starts: int, rng: np.random.Generator
) -> Iterator[_Start]:
    for number, history in enumerate(histories):
        wanted = _ticks(max(question.deadlines), history.tick)
        up = history.up(question.need)
        for first in windows(len(up), wanted, starts, rng):
            yield _Start(number, up[first : first + wanted], history.tick)


def _spread(work: Callable[[_Start], _Result], items: Sequence[_Start], workers: int) -> Iterable[_Result]:
    if workers == 1:
        yield from map(work, items)
        return
    with ProcessPoolExecutor(workers) as pool:
        yield from pool.map(work, items, chunksize=4)


def _ticks(hours: float, tick: float) -> int:
    return int(hours * SECONDS_PER_HOUR / tick + 1e-9)


def _judge(question: Question, start: _Start) -> _Result:
    """Every rule on one window. All deadlines end together, so that one pass gives all their optima."""
    found: _Result = {}
    rooms = {deadline: _ticks(deadline, start.tick) for deadline in question.deadlines}
    for changeover in question.changeovers:
        work, wait = question.work * SECONDS_PER_HOUR, changeover * SECONDS_PER_HOUR
        base = Task(work, 0.0, wait, question.spot_price)
        floor = optimal_costs(start.up, start.tick, base, rooms.values())
        for deadline, room in rooms.items():
            up = start.up[len(start.up) - room :].tolist()
            task = Task(work, room * start.tick, wait, question.spot_price)
            judged = {name: replay(rule, up, start.tick, task) for name, rule in RULES.items()}
            found[changeover, deadline] = {
                **{name: (each.cost, each.finish is None) for name, each in judged.items()},
                OPTIMUM: (floor[room], False),
            }
    return found


def _cells(
    question: Question, groups: Sequence[int], results: Sequence[_Result], seed: int
) -> Iterator[Cell]:
    drawn = _drawn(np.asarray(groups), np.random.default_rng(seed))
    for changeover in question.changeovers:
        for deadline in question.deadlines:
            here = [result[changeover, deadline] for result in results]
            floor = np.array([each[OPTIMUM][0] for each in here])
            always = np.full(len(here), question.work + changeover)  # on-demand from the start
            for rule in (*RULES, OPTIMUM):
                cost = np.array([each[rule][0] for each in here])
                base = always if rule == OPTIMUM else floor
                ratios = np.array([cost[index].sum() / base[index].sum() for index in drawn])
                low, high = np.percentile(ratios, [2.5, 97.5])
                missed = float(np.mean([each[rule][1] for each in here]))
                ratio = float(cost.sum() / base.sum())
                yield Cell(changeover, deadline, rule, ratio, float(low), float(high), missed, len(here))


def _drawn(groups: NDArray[np.int64], rng: np.random.Generator) -> list[NDArray[np.int64]]:
    """Indices of the bootstrap's draws: histories with replacement, then starts within each."""
    members = [np.flatnonzero(groups == group) for group in np.unique(groups)]
    found = []
    for _ in range(DRAWS):
        picked = rng.integers(0, len(members), len(members))
        found.append(np.concatenate([rng.choice(members[each], len(members[each])) for each in picked]))
    return found
