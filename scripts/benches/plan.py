"""How many runs a second a plan simulates: one stage of 48 hours, its watch, some twenty interruptions.

Three scenarios, by what becomes of the interruptions: with a short patience most of them become attempts;
with the usual one SageMaker mends most of them inside the job, and the watches see to it that it may; where
the waits are short it mends all of them. An attempt costs several times as much as an interruption.

Every run is a new world with its own history of capacity; the machine is prepared once, as a plan does it.
Seconds are the processor's, of one core. The rounds are the same runs again, and the least of them is the
figure, because whatever else the machine does can only add to it. The same runs with every expression
evaluated by the library alone say what the compiled expressions save; that ratio holds on any machine.
"""

from __future__ import annotations

import cProfile
import pstats
import statistics
import sys
import time
from typing import Any, NamedTuple
from unittest import mock

from workflows.local.garbage import uncollected
from workflows.local.step_functions.jsonata.expressions import USES_BEFORE_COMPILING

TITLE = "Runs of a 48 h stage in virtual time (about a minute)"
RUNS, ROUNDS, OF_THE_LIBRARY = 20, 5, 4
HOUR = 3600.0
LADDER = ["ml.g5.2xlarge", "ml.g4dn.4xlarge"]


class Scenario(NamedTuple):
    """The stage's spot settings, and how capacity comes and goes (exponential, for each type)."""

    spot: dict[str, Any]
    capacity: dict[str, Any]


# The retry budget is not the bench's subject: by default the stage would go on demand after five.
SCENARIOS = {
    "interruptions_become_attempts": Scenario(
        {"patience": "10m", "no_progress_limit": 10, "backoff": {"first": "60s", "max": "10m"}},
        {"random": {"up": "3h", "down": "20m"}},
    ),
    "interruptions_are_mended": Scenario({}, {"random": {"up": "2h40m", "down": "20m"}}),
    "waits_are_short": Scenario({}, {"random": {"up": "2h40m", "down": "5m"}}),
}


def run() -> dict[str, Any]:
    """The figures of each scenario."""
    return {name: _figures(scenario) for name, scenario in SCENARIOS.items()}


def _figures(scenario: Scenario) -> dict[str, Any]:
    """Both ways run the same seeds, and have to end alike."""
    compiled, library = _prepared(scenario, USES_BEFORE_COMPILING), _prepared(scenario, None)
    _seconds(compiled, scenario, 5)  # warm: expressions are compiled once they have been used
    seconds = min(_seconds(compiled, scenario, RUNS) for _ in range(ROUNDS))
    same = min(_seconds(compiled, scenario, OF_THE_LIBRARY) for _ in range(ROUNDS))
    by_the_library = _seconds(library, scenario, OF_THE_LIBRARY)
    runs = [_counted(_run(compiled, scenario, seed)) for seed in range(RUNS)]
    for seed in range(OF_THE_LIBRARY):
        if _counted(_run(library, scenario, seed))["output"] != runs[seed]["output"]:
            raise SystemExit("a run ended differently with compiled expressions")
    counted = ("interruptions", "attempts", "transitions", "watches", "events", "hours")
    return {
        "runs_per_second": 1 / seconds,
        "milliseconds_a_run": 1000 * seconds,
        "transitions_per_second": statistics.fmean(run["transitions"] for run in runs) / seconds,
        "share_of_expressions": _in_expressions(compiled, scenario, OF_THE_LIBRARY) / same,
        "milliseconds_a_run_by_the_library_alone": 1000 * by_the_library,
        "times_as_fast_as_by_the_library_alone": by_the_library / same,
        "mean_of_a_run": {name: statistics.fmean(run[name] for run in runs) for name in counted},
    }


def _seconds(prepared: Any, scenario: Scenario, runs: int) -> float:
    """Processor seconds of one run; a world is dropped before garbage is looked for, as a plan does it."""
    began = time.process_time()
    for seed in range(runs):
        with uncollected():
            _run(prepared, scenario, seed)
    return (time.process_time() - began) / runs


def profile(name: str, order: str = "tottime", lines: int = 60) -> None:
    """Print where the time of a scenario's runs goes; `order`: `tottime` or `cumulative`."""
    scenario = SCENARIOS[name]
    prepared = _prepared(scenario, USES_BEFORE_COMPILING)
    _seconds(prepared, scenario, 5)
    with cProfile.Profile() as watched:
        _seconds(prepared, scenario, 5)
    pstats.Stats(watched).sort_stats(order).print_stats(lines)


def _prepared(scenario: Scenario, compile_after: int | None) -> Any:
    from workflows.jobs.site import Materials, Site
    from workflows.jobs.watch_pattern import watch_pattern
    from workflows.local.prepared import PreparedMachine
    from workflows.local.virtual import Watch
    from workflows.specification.pipeline import Pipeline
    from workflows.state_machine.graph import compile_pipeline
    from workflows.state_machine.watch import compile_watch

    image = "123456789012.dkr.ecr.us-east-1.amazonaws.com/training:1"
    site = Site("bucket", "arn:aws:iam::123456789012:role/relay-job")
    spot = {"ladder": LADDER, "retry_budget": 60, **scenario.spot}
    stage = {"name": "train", "script": "train.py", "limit": "60h", "spot": spot}
    pipeline = Pipeline.model_validate({"name": "bench", "defaults": {"image": image}, "stages": [stage]})
    materials = {"train": Materials("s3://bucket/code/abc/", dict.fromkeys(LADDER, image))}
    watch = Watch(compile_watch("bench", site), watch_pattern("bench"))
    definition = compile_pipeline(pipeline, site, materials)
    return PreparedMachine(definition, bucket="bucket", watch=watch, compile_after=compile_after)


def _run(prepared: Any, scenario: Scenario, seed: int) -> Any:
    from workflows.local.sagemaker.work_model import WorkModel
    from workflows.local.scenario import parse_scenario

    model = WorkModel(48 * HOUR, steps=48 * 360, save_every=600, stall=5, restore=60, download=120)
    return prepared.run(models={"train": model}, scenario=parse_scenario(scenario.capacity), seed=seed)


def _in_expressions(prepared: Any, scenario: Scenario, runs: int) -> float:
    """Seconds of a run that its expressions take, measured in runs of their own."""
    from workflows.local.step_functions.jsonata.expressions import Expressions

    evaluate, spent = Expressions.evaluate, 0.0

    def timed(*arguments: Any) -> Any:
        nonlocal spent
        began = time.process_time()
        try:
            return evaluate(*arguments)
        finally:
            spent += time.process_time() - began

    with mock.patch.object(Expressions, "evaluate", timed):
        _seconds(prepared, scenario, runs)
    return spent / runs


def _counted(finished: Any) -> dict[str, Any]:
    events = finished.world.history(finished.arn)
    return {
        "status": finished.ended["status"],
        "output": finished.ended.get("output"),
        "interruptions": _interruptions(finished.world),
        "attempts": sum(event["type"] == "TaskSubmitted" for event in events),
        "transitions": sum("stateEnteredEventDetails" in event for event in events),
        "watches": len(finished.world.watches),
        "events": len(events),
        "hours": finished.seconds / HOUR,
    }


def _interruptions(world: Any) -> int:
    """How often capacity was taken from a job, or never given."""
    request = {"MaxResults": 100, "SortBy": "CreationTime", "SortOrder": "Ascending"}
    count = 0
    for summary in world.sagemaker.handle("ListTrainingJobs", request)["TrainingJobSummaries"]:
        name = {"TrainingJobName": summary["TrainingJobName"]}
        job = world.sagemaker.handle("DescribeTrainingJob", name)
        passed = [each["Status"] for each in job["SecondaryStatusTransitions"]]
        count += passed.count("Interrupted") + ("Downloading" not in passed)
    return count


if __name__ == "__main__":  # python -m scripts.benches.plan SCENARIO [tottime|cumulative]
    profile(sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else "tottime")
