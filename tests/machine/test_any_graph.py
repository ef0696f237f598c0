"""Whatever the graph, the run's input and the faults: the run ends, and what it tells adds up."""

import re
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.machine.pipelines import Run, pipeline, watch
from tests.machine.test_any_pipeline import capacity
from workflows.local.sagemaker.work_model import PLATFORM_FAULT, Failure, WorkModel
from workflows.specification.run_input import RunInputError, check_input
from workflows.specification.stages import JobStage, SweepStage, TrainStage

JOB_NAME = re.compile(r"[a-zA-Z0-9](-*[a-zA-Z0-9]){0,62}")
USER = Failure(exit_code=1, text="ValueError", after=60)
NAMES = ["one", "two", "three", "four", "five"]

failures = st.sampled_from(
    [None, None, PLATFORM_FAULT, USER, Failure(exit_code=0, after=400), Failure(stuck=True)]
)


@st.composite
def stages(draw, name, earlier):
    """One stage of any kind, that builds on some of the earlier ones."""
    measured = [other["name"] for other in earlier if other.get("kind", "train") in {"train", "sweep"}]
    kinds = ["train", "train", "process", "sweep", *(["gate", "register"] if measured else [])]
    kind = draw(st.sampled_from(kinds))
    needs = (
        draw(st.lists(st.sampled_from([other["name"] for other in earlier]), unique=True)) if earlier else []
    )
    stage = {"name": name, "kind": kind, "needs": needs}
    if kind == "gate":
        bound = draw(st.sampled_from([0.1, 0.9]))
        stage["when"] = f"{{{{ {draw(st.sampled_from(measured))}.metrics.acc }}}} > {bound}"
        stage["otherwise"] = draw(st.sampled_from(["stop", "fail"]))
    elif kind == "register":
        stage["model"] = f"{{{{ {draw(st.sampled_from(measured))}.outputs.model }}}}"
    else:
        stage |= {"expected": "20m", "changeover": "2m"}
    if kind in {"train", "sweep"}:
        stage["spot"] = {"retry_budget": draw(st.integers(1, 3))}
        stage["on_demand"] = {"enabled": draw(st.booleans())}
        stage["hyperparameters"] = {"lr": 1}
    if kind == "sweep":
        stage |= {
            "grid": {"depth": [1, 2, 3][: draw(st.integers(1, 3))]},
            "best": {"metric": "acc"},
            "concurrency": draw(st.integers(1, 3)),
        }
    return stage


@st.composite
def situations(draw):
    names = NAMES[: draw(st.integers(1, 5))]
    made: list[dict[str, Any]] = []
    for name in names:
        made.append(draw(stages(name, made)))
    jobs = [stage["name"] for stage in made if stage["kind"] not in {"gate", "register"}]
    scenario = {"spot": {name: draw(st.lists(capacity, max_size=3)) for name in jobs}}
    models = {
        name: WorkModel(
            seconds=1200,
            steps=100,
            save_every=60,
            metrics={"acc": 0.5},
            failures=tuple(draw(st.lists(failures, max_size=3))),
        )
        for name in jobs
    }
    some = st.sampled_from(names)
    run_input = draw(
        st.fixed_dictionaries(
            {},
            optional={
                "deadline": st.sampled_from(["1h", "3h", "12h"]),
                "budget_usd": st.sampled_from([0.2, 1, 20]),
                "from": some,
                "reuse": st.booleans(),
                "parameters": st.dictionaries(some, st.just({"lr": 2}), max_size=1),
            },
        )
    )
    return made, scenario, models, run_input


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(situations(), st.booleans(), st.booleans())
def test_any_run_of_any_graph_ends_and_adds_up(situation, stopped_is_success, watched):
    made, scenario, models, run_input = situation
    found = pipeline(*made)
    run = Run(
        found,
        scenario=scenario,
        models=models,
        run_input=run_input,
        watch=watch() if watched else None,
        stopped_is_success=stopped_is_success,
    )

    assert run.ended["status"] in {"SUCCEEDED", "FAILED"}
    names = [job["TrainingJobName"] for job in run.jobs]
    assert len(names) == len(set(names))
    assert all(JOB_NAME.fullmatch(name) for name in names)
    if not acceptable(found, run_input):
        assert run.ended["error"] == "Relay.CannotStart"
    if run.ended.get("error") == "Relay.CannotStart":
        assert names == []
        return
    if run.ended["status"] == "FAILED":
        assert expected_end(run), run.ended["cause"]
        return
    told = [entry for result in run.results.values() for entry in result["ledger"]]
    trained = {e["job"]: e for e in told if isinstance(found.stage(e["stage"]), TrainStage)}
    assert sorted(trained) == sorted(names)
    for name, entry in trained.items():
        job = run.job(name)
        assert entry["trained_seconds"] == job.get("TrainingTimeInSeconds", 0)
        assert (entry["market"] == "spot") is job["EnableManagedSpotTraining"]
    for stage in found.stages:
        result = run.results[stage.name]
        if "skipped" in result:
            assert result["ledger"] == []
        elif isinstance(stage, JobStage) and not isinstance(stage, SweepStage) and "reused" not in result:
            outcomes = [entry["outcome"] for entry in result["ledger"]]
            assert outcomes[-1] == "completed"
            assert "user error" not in outcomes
    if "deadline" in run_input:
        hours = float(run_input["deadline"].removesuffix("h"))
        if all(stage.on_demand.enabled for stage in found.stages if isinstance(stage, JobStage)):
            disturbed = {entry["outcome"] for entry in told} - {"completed", "interrupted", "no capacity"}
            ended = (run.ended["stopDate"] - run.ended["startDate"]).total_seconds()
            assert disturbed or not watched or ended <= hours * 3600


def acceptable(found, run_input):
    try:
        check_input(found, run_input)
    except RunInputError:
        return False
    return True


def expected_end(run):
    """Whether a run failed for a reason that is Relay's to give."""
    reasons = [
        "user error:",
        "platform fault:",
        "unknown:",
        "slice over:",
        "unfinished:",
        "retry budget used up",
    ]
    reasons += ["spending limit", "not asked for, but needed", "not good enough", "left the checkpoint where"]
    reasons += [
        "reported no number named acc",
        "no trial reported a number named acc",
        "no other place to run",
    ]
    return any(reason in run.ended["cause"] for reason in reasons)
