"""Whether a compiled pipeline fits into what Step Functions takes, in the worst case; and our own lints.

    definition 1 MiB   |   history 25,000 events   |   a variable, a payload 256 KiB

A run that hits one of these limits fails in its middle, after days, and cannot be redriven past it: so what
cannot fit is refused before it starts.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from workflows.specification.aws_limits import MOST_DEFINITION, MOST_EVENTS, MOST_VALUE
from workflows.specification.pipeline import Pipeline
from workflows.state_machine import worst_case
from workflows.state_machine.lint import INNER, inside, problems_in

SHOWN = 3  # of what a limit is spent on


def problems_of(pipeline: Pipeline, definition: Mapping[str, Any]) -> list[str]:
    """A line for everything that keeps this machine from being run; none for one that is fine."""
    sizes = sizes_of(pipeline, definition)
    return [
        *_definition(pipeline, definition, sizes.definition_bytes),
        *_history(pipeline, sizes.worst_events),
        *_results(pipeline, sizes.worst_result_bytes),
        *_settings(definition),
        *problems_in(definition),
    ]


@dataclass(frozen=True)
class Sizes:
    """What a machine takes, and what a run of it takes in the worst case."""

    definition_bytes: int
    worst_events: int
    worst_result_bytes: int


def sizes_of(pipeline: Pipeline, definition: Mapping[str, Any]) -> Sizes:
    """The figures that are held against Step Functions' limits."""
    stages = pipeline.stages
    return Sizes(
        len(json.dumps(definition)),
        worst_case.events_around(pipeline)
        + worst_case.events_of_waits(pipeline.jobs)
        + sum(worst_case.events(stage) for stage in stages),
        worst_case.unusual_bytes(pipeline.jobs) + sum(worst_case.result_bytes(stage) for stage in stages),
    )


def _definition(pipeline: Pipeline, definition: Mapping[str, Any], size: int) -> Iterator[str]:
    if size > MOST_DEFINITION:
        shares = Counter[str]()
        _weigh(definition, {stage.name for stage in pipeline.stages}, shares)
        yield (
            f"its state machine has {size:,} bytes, and Step Functions takes {MOST_DEFINITION:,}; "
            f"the most are of {_most(shares)}: use fewer stages or smaller grids, or make two pipelines of it"
        )


def _weigh(block: Mapping[str, Any], stages: set[str], shares: Counter[str]) -> None:
    """Adds the bytes of each state to its stage's, of the others to their own name."""
    for name, state in block["States"].items():
        own = {key: value for key, value in state.items() if key not in INNER}
        stage = name.partition(":")[0]
        shares[stage if stage in stages else name] += len(json.dumps(own))
        for inner in inside(state):
            _weigh(inner, stages, shares)


def _history(pipeline: Pipeline, worst: int) -> Iterator[str]:
    if worst > MOST_EVENTS:
        shares = Counter({stage.name: worst_case.events(stage) for stage in pipeline.stages})
        yield (
            f"in the worst case its history has {worst:,} events, and Step Functions takes {MOST_EVENTS:,}; "
            f"the most are of {_most(shares)}: lower {_lower(pipeline, shares)}, or make two pipelines of it"
        )


def _results(pipeline: Pipeline, worst: int) -> Iterator[str]:
    if worst > MOST_VALUE:
        shares = Counter({stage.name: worst_case.result_bytes(stage) for stage in pipeline.stages})
        yield (
            f"in the worst case its results and ledgers have {worst:,} bytes, and a variable of Step "
            f"Functions takes {MOST_VALUE:,}; the most are of {_most(shares)}: "
            f"lower {_lower(pipeline, shares)}, or make two pipelines of it"
        )


def _settings(definition: Mapping[str, Any]) -> Iterator[str]:
    """The pipeline as data: a variable of the machine's first state."""
    written = definition["States"][definition["StartAt"]].get("Assign", {}).get("written", {})
    size = len(json.dumps(written).encode())
    if size > MOST_VALUE:
        shares = Counter({name: len(json.dumps(each)) for name, each in written["stages"].items()})
        yield (
            f"its settings have {size:,} bytes, and a variable of Step Functions takes {MOST_VALUE:,}; the "
            f"most are of {_most(shares)}: shorten their hyperparameters, or put them into a file"
        )


def _most(shares: Counter[str]) -> str:
    return ", ".join(f"`{name}` ({share:,})" for name, share in shares.most_common(SHOWN))


def _lower(pipeline: Pipeline, shares: Counter[str]) -> str:
    """What makes the largest share smaller: of a distributed sweep only its trials count."""
    name = shares.most_common(1)[0][0]
    stage = next((each for each in pipeline.jobs if each.name == name), None)
    if stage is None:
        return "the number of stages"
    trials = f"the number of trials of `{name}` ({stage.trial_count})"
    if worst_case.distributed(stage):
        return trials
    if stage.has_trials:
        return f"{trials} or its `retry_budget` ({stage.interruptions_allowed})"
    if stage.on_spot:
        return f"the `retry_budget` of `{name}` ({stage.interruptions_allowed})"
    return "the number of stages"
