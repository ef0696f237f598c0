"""What a plan asks: the ways to run that are compared, as inputs of the same machine.

A retry budget, a patience, a ladder and a deadline are what a run's input may say; so every variant runs the
very machine that will be deployed, and whatever is recommended can be said at its start.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from workflows.planning.virtual_runs import Variant
from workflows.specification.pipeline import Pipeline
from workflows.specification.settings import laid_over
from workflows.specification.stages import JobStage

BUDGETS = (1, 3, 5, 10, 20, 50, 200)
PATIENCES = ("5m", "15m", "45m", "2h", "6h")
DEADLINES = (1.1, 1.25, 1.5, 2.0, 3.0)  # times what on-demand takes
INTERVALS = (0.25, 4.0)  # times what is assumed
WITHOUT_END = {"retry_budget": 200, "no_progress_limit": 50}  # the most that the input allows
LONGEST_PATIENCE = "14d"

AS_WRITTEN, ON_DEMAND, GREEDY, RECOMMENDED = "as written", "on-demand", "greedy", "recommended"
BUDGET, PATIENCE, LADDER = "retry budget", "patience", "ladder"
INTERVAL, DEADLINE = "checkpoint interval", "deadline"
CLOCK = "count"  # no count at all: the deadline alone decides
SETTINGS = (BUDGET, PATIENCE, LADDER, CLOCK)  # what may be recommended, because a run's input may say it
Input = Mapping[str, Any]


def spot_stages(pipeline: Pipeline) -> list[JobStage]:
    """The stages that would run on spot."""
    return [stage for stage in pipeline.jobs if stage.on_spot]


def spot_types(pipeline: Pipeline) -> tuple[str, ...]:
    """Every instance type that they may ask for."""
    return tuple(sorted({rung.type for stage in spot_stages(pipeline) for rung in stage.spot_rungs()}))


def said_of_spot(pipeline: Pipeline, values: Mapping[str, Any]) -> dict[str, Any]:
    """The run input that says the same of every stage on spot."""
    return {"spot": {stage.name: dict(values) for stage in spot_stages(pipeline)}}


def on_demand(pipeline: Pipeline, base: Input) -> Variant | None:
    """The run without spot; None where a stage could not run, or nothing would change."""
    stages = spot_stages(pipeline)
    if not stages or not all(stage.on_demand.enabled for stage in stages):
        return None
    return _with(ON_DEMAND, base, said_of_spot(pipeline, {"retry_budget": 0}))


def greedy(pipeline: Pipeline, base: Input) -> Variant:
    """Spot for as long as the deadline allows: no count ends it."""
    return _with(GREEDY, base, said_of_spot(pipeline, {**WITHOUT_END, "patience": LONGEST_PATIENCE}))


def budgets(pipeline: Pipeline, base: Input) -> list[Variant]:
    """Retry budgets of every stage on spot."""
    return [
        _with(f"budget {count}", base, said_of_spot(pipeline, {"retry_budget": count})) for count in BUDGETS
    ]


def patiences(pipeline: Pipeline, base: Input) -> list[Variant]:
    """How long a stage waits for capacity."""
    return [_with(f"patience {text}", base, said_of_spot(pipeline, {"patience": text})) for text in PATIENCES]


def ladders(pipeline: Pipeline, base: Input) -> list[Variant]:
    """Each type of the ladders alone, where there are several."""
    types = spot_types(pipeline)
    return [_with(f"only {kind}", base, _only(pipeline, kind)) for kind in types] if len(types) > 1 else []


def deadlines(pipeline: Pipeline, hours: float, base: Input) -> list[Variant]:
    """Around what on-demand takes (hours); the clock alone decides: a count would hide what it does."""
    clock = greedy(pipeline, base).run_input
    return [
        _with(f"deadline {hours * times:.3g} h", clock, {"deadline": f"{round(hours * times * 3600)}s"})
        for times in DEADLINES
    ]


def intervals(base: Input, every: float) -> Iterator[Variant]:
    """Saving more often and more rarely than every so many seconds."""
    for times in INTERVALS:
        yield Variant(f"saves every {every * times:.0f} s", base, every * times)


def combined(base: Input, name: str, chosen: Iterable[Variant]) -> Variant:
    """All that was chosen, in one."""
    together = dict(base)
    for variant in chosen:
        together = laid_over(together, dict(variant.run_input))
    return Variant(name, together)


def _only(pipeline: Pipeline, kind: str) -> dict[str, Any]:
    having = [stage for stage in spot_stages(pipeline) if kind in {rung.type for rung in stage.spot_rungs()}]
    return {"spot": {stage.name: {"ladder": [{"type": kind}]} for stage in having}}


def _with(name: str, base: Input, values: Mapping[str, Any]) -> Variant:
    return Variant(name, laid_over(dict(base), dict(values)))
