"""How many runs a second a plan simulates: one stage of 48 hours, its watch, some twenty interruptions.

Every run is a new world with its own history of capacity; the machine is prepared once, as a plan does it.
Seconds are the processor's, of one core. The same runs with every expression evaluated by the library alone
say what the compiled expressions save; that ratio holds on any machine.
"""

from __future__ import annotations

import statistics
import time
from typing import Any
from unittest import mock

from workflows.local.step_functions.jsonata.expressions import USES_BEFORE_COMPILING

TITLE = "Runs of a 48 h stage in virtual time (about 20 s)"
RUNS, OF_THE_LIBRARY = 30, 6
STAGE: dict[str, Any] = {
    "name": "train",
    "script": "train.py",
    "limit": "60h",
    "spot": {
        "ladder": ["ml.g5.2xlarge", "ml.g4dn.4xlarge"],
        "retry_budget": 60,
        "no_progress_limit": 10,
        "patience": "10m",
        "backoff": {"first": "60s", "max": "10m"},
    },
}
CAPACITY = {"random": {"up": "2h", "down": "20m"}}
HOUR = 3600.0


def run() -> dict[str, Any]:
    """The figures; both ways run the same seeds, and have to end alike."""
    compiled, library = _prepared(USES_BEFORE_COMPILING), _prepared(None)
    for seed in range(5):  # warm: expressions are compiled once they have been used
        _one(compiled, seed)
    ours = [_one(compiled, seed) for seed in range(RUNS)]
    theirs = [_one(library, seed) for seed in range(OF_THE_LIBRARY)]
    for one, other in zip(ours, theirs, strict=False):
        if one["output"] != other["output"]:
            raise SystemExit("a run ended differently with compiled expressions")
    seconds, slow = _mean(ours, "seconds"), _mean(theirs, "seconds")
    expressions, slowly = _in_expressions(compiled, OF_THE_LIBRARY), _in_expressions(library, 2)
    same = _mean(ours[:OF_THE_LIBRARY], "seconds")
    counted = ("interruptions", "attempts", "transitions", "watches", "events", "hours")
    return {
        "runs_per_second": 1 / seconds,
        "milliseconds_a_run": 1000 * seconds,
        "share_of_expressions": expressions / same,
        "milliseconds_a_run_by_the_library_alone": 1000 * slow,
        "times_as_fast_as_by_the_library_alone": slow / same,
        "expressions_times_as_fast": slowly / _in_expressions(compiled, 2),
        "mean_of_a_run": {name: _mean(ours, name) for name in counted},
    }


def _prepared(compile_after: int | None) -> Any:
    from workflows.local.prepared import PreparedMachine
    from workflows.local.virtual import Watch
    from workflows.pipeline import Pipeline
    from workflows.state_machine.graph import compile_pipeline
    from workflows.state_machine.watch import compile_watch
    from workflows.training_job import Materials, Site
    from workflows.watch_rule import watch_pattern

    image = "123456789012.dkr.ecr.us-east-1.amazonaws.com/training:1"
    site = Site("bucket", "arn:aws:iam::123456789012:role/relay-job")
    pipeline = Pipeline.model_validate({"name": "bench", "defaults": {"image": image}, "stages": [STAGE]})
    images = dict.fromkeys(STAGE["spot"]["ladder"], image)
    materials = {"train": Materials("s3://bucket/code/abc/", images)}
    watch = Watch(compile_watch("bench", site), watch_pattern("bench"))
    definition = compile_pipeline(pipeline, site, materials)
    return PreparedMachine(definition, bucket="bucket", watch=watch, compile_after=compile_after)


def _one(prepared: Any, seed: int) -> dict[str, Any]:
    from workflows.local.sagemaker.modelled import WorkModel
    from workflows.local.scenario import parse_scenario

    model = WorkModel(48 * HOUR, steps=48 * 360, save_every=600, stall=5, restore=60, download=120)
    began = time.process_time()
    finished = prepared.run(models={"train": model}, scenario=parse_scenario(CAPACITY), seed=seed)
    seconds = time.process_time() - began
    return {"seconds": seconds, **_counted(finished)}


def _in_expressions(prepared: Any, runs: int) -> float:
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
        for seed in range(runs):
            _one(prepared, seed)
    return spent / runs


def _mean(runs: list[dict[str, Any]], name: str) -> float:
    return statistics.fmean(run[name] for run in runs)


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
