"""Rules side by side on the same draws of capacity: the machine's own, and the published ones.

What the machine can follow (budgets, and spot until the deadline says otherwise) runs in the machine. What it
cannot (Uniform Progress goes back from on-demand to spot; the optimum knows the future) is replayed on the
yardstick of `replay.py`, which takes the stages on spot for one task. `greedy` stands in both: what differs
between its two rows is what the yardstick leaves out.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from workflows.planning import questions as ask
from workflows.planning.outlook import HistoryCapacity
from workflows.planning.plan import Summary
from workflows.planning.study.optimum import optimal_cost
from workflows.planning.study.peers import RULES
from workflows.planning.study.replay import Task, replay
from workflows.planning.virtual_runs import Scene, Variant
from workflows.specification.pipeline import Pipeline
from workflows.specification.settings import laid_over

IN_THE_MACHINE = (1, 3, 10)
REPLAYED = ("greedy", "uniform progress")
USUAL_ROOM = 1.5  # times what on-demand takes: the deadline, where there is none


@dataclass(frozen=True)
class Compared:
    """One rule: its mean cost over that of on-demand from the start, and how often it is late."""

    rule: str
    where: str  # "machine" or "replayed"
    of_on_demand: float
    late: float
    runs: int


def variants(pipeline: Pipeline, base: Mapping[str, Any], deadline: str) -> list[Variant]:
    """What runs in the machine."""
    timed = laid_over(dict(base), {"deadline": deadline})
    counted = [
        Variant(
            f"compare budget {count}", laid_over(timed, ask.said_of_spot(pipeline, {"retry_budget": count}))
        )
        for count in IN_THE_MACHINE
    ]
    return [*counted, Variant("compare greedy", ask.greedy(pipeline, timed).run_input)]


def of_machine(found: Sequence[Summary], without: Summary) -> Iterator[Compared]:
    """The rows of what ran in the machine."""
    for each in found:
        rule = each.name.removeprefix("compare ")
        yield Compared(rule, "machine", each.usd_mean / without.usd_mean, each.late or 0.0, each.runs)


def replayed(
    pipeline: Pipeline, scene: Scene, deadline: float, spot_share: float, runs: int
) -> list[Compared]:
    """The rows of the yardstick; `deadline` in seconds. None when the stages leave it no room."""
    stages = ask.spot_stages(pipeline)
    rung = stages[0].spot_rungs()[0]
    kind, count = rung.type, rung.count
    models = [scene.models[stage.name] for stage in stages]
    others = sum(m.seconds + m.download for n, m in scene.models.items() if n not in {s.name for s in stages})
    task = Task(
        work=float(round(sum(model.seconds for model in models))),
        deadline=deadline - others,
        changeover=float(round(max(model.download for model in models) + scene.launch)),
        spot_price=spot_share,
    )
    if task.deadline < task.work + 2 * task.changeover:
        return []
    costs: dict[str, list[float]] = {}
    late: dict[str, list[bool]] = {}
    for number in range(runs):
        up, tick = pooled(scene.draw(number), kind, count, task.deadline)
        for rule in REPLAYED:
            done = replay(RULES[rule], up, tick, task)
            costs.setdefault(rule, []).append(done.cost)
            late.setdefault(rule, []).append(done.finish is None)
        costs.setdefault("optimum", []).append(optimal_cost(up, tick, task))
    always = (task.work + task.changeover) / 3600
    return [
        Compared(
            rule, "replayed", float(np.mean(values)) / always, float(np.mean(late.get(rule, [False]))), runs
        )
        for rule, values in costs.items()
    ]


def pooled(capacity: HistoryCapacity, kind: str, count: int, seconds: float) -> tuple[list[bool], float]:
    """Says at which ticks one of the type's zones had room, and how long a tick is (seconds)."""
    up, tick = capacity.pooled(kind, count)
    times = -(-int(seconds / tick + 1) // len(up))
    return np.tile(up, times)[: int(seconds / tick + 1e-9)].tolist(), tick
