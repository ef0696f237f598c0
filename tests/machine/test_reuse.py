"""Work that is done is not done again: a redrive, `reuse`, `from` and `only`."""

from typing import Any

import pytest

from tests.machine.pipelines import Run, definition, materials, pipeline
from workflows.jobs.site import Materials
from workflows.local.sagemaker.work_model import Failure, WorkModel
from workflows.state_machine.start import content_digest

PREPARE: dict[str, Any] = {"name": "prepare", "kind": "process", "outputs": ["data"]}
TRAIN: dict[str, Any] = {
    "name": "train",
    "inputs": {"data": "{{ prepare.outputs.data }}"},
    "hyperparameters": {"lr": 1},
}
TUNE: dict[str, Any] = {"name": "finetune", "inputs": {"model": "{{ train.outputs.model }}"}}
GRAPH = pipeline(PREPARE, TRAIN, TUNE)


def reused(run):
    """The stages whose results are another run's."""
    return [name for name, result in run.results.items() if "reused" in result]


def ran(run):
    """The stages that had attempts of their own."""
    return [name for name, result in run.results.items() if result["ledger"]]


def test_a_run_that_may_reuse_takes_everything_of_an_equal_run_and_costs_nothing():
    first = Run(GRAPH)

    second = first.again({"reuse": True})

    assert reused(second) == ["prepare", "train", "finetune"]
    assert ran(second) == []
    assert second.results["finetune"]["outputs"] == first.results["finetune"]["outputs"]


def test_a_run_reuses_nothing_unless_it_is_asked_to():
    assert ran(Run(GRAPH).again()) == ["prepare", "train", "finetune"]


def test_a_pipeline_can_ask_for_it_and_a_run_decline():
    found = pipeline(PREPARE, TRAIN, TUNE, reuse=True)
    first = Run(found)

    assert ran(first) == ["prepare", "train", "finetune"]  # there is nothing yet
    assert reused(first.again()) == ["prepare", "train", "finetune"]
    assert reused(first.again({"reuse": False}, name="third")) == []


def test_what_changed_and_what_builds_on_it_runs_again():
    first = Run(GRAPH)

    second = first.again({"reuse": True, "parameters": {"train": {"lr": 2}}})

    assert (reused(second), ran(second)) == (["prepare"], ["train", "finetune"])


def test_a_changed_script_runs_again_and_a_changed_budget_does_not():
    def digest(code="abc", **fields):
        found = pipeline(PREPARE, {**TRAIN, **fields}, TUNE)
        return content_digest(found.stage("train"), materials(found, code)["train"])

    elsewhere = {"retry_budget": 1, "ladder": ["ml.m5.4xlarge", "ml.c5.xlarge"]}
    assert digest() == digest(limit="9h", spot=elsewhere, expected="2h")
    different = [
        digest(code="other"),
        digest(script="other.py"),
        digest(hyperparameters={"lr": 2}),
        digest(environment={"A": "1"}),
        digest(instances=2),
        digest(image="123456789012.dkr.ecr.us-east-1.amazonaws.com/other:1"),
    ]
    assert len({digest(), *different}) == 1 + len(different)


def test_what_a_stage_computes_does_not_depend_on_where_its_code_and_inputs_lie():
    found = pipeline({**TRAIN, "needs": [], "inputs": {"table": "table.csv"}}).stage("train")

    def digest(bucket, name, code="abc", table="def"):
        place = f"s3://{bucket}/{name}"
        inputs = {"table": f"{place}/inputs/{table}/"}
        return content_digest(found, Materials(f"{place}/code/{code}/", {"": "image"}, inputs))

    assert digest("one", "demo") == digest("two", "demo") == digest("one", "other")
    assert len({digest("one", "demo"), digest("one", "demo", "new"), digest("one", "demo", table="new")}) == 3


def test_the_finished_stages_of_a_failed_run_are_reused():
    bug = Failure(exit_code=1, text="ValueError")
    models = {"finetune": WorkModel(seconds=1200, steps=100, save_every=60, failures=(bug,))}
    first = Run(GRAPH, models=models)
    assert first.ended["status"] == "FAILED"

    second = first.again({"reuse": True})

    assert (reused(second), ran(second)) == (["prepare", "train"], ["finetune"])


def test_a_job_that_completed_without_finishing_its_work_is_not_reused():
    # given a first job that ended with exit code 0 and without complete.json, and a run that was then stopped
    half = Failure(exit_code=0, after=400)
    models = {"train": WorkModel(seconds=1200, steps=100, save_every=60, failures=(half,))}
    first = Run(GRAPH, models=models, stop_after=10_000)
    assert [a[1] for a in first.attempts("train")] == ["unfinished", "completed"]

    second = first.again({"reuse": True})

    assert reused(second) == ["prepare", "train", "finetune"]
    assert second.results["train"]["reused"].endswith("-0-2")


def test_outputs_that_were_deleted_are_made_anew():
    first = Run(GRAPH)
    uri = first.results["train"]["outputs"]["model"].removeprefix("s3://bucket/")
    first.world.objects.delete("bucket", uri)

    second = first.again({"reuse": True})

    assert "train" in ran(second)
    assert second.ended["status"] == "SUCCEEDED"


def test_from_a_stage_on_takes_what_was_before_from_the_newest_run_and_skips_the_rest():
    first = Run(GRAPH)

    second = first.again({"from": "finetune"})

    assert (reused(second), ran(second)) == (["train"], ["finetune"])
    assert "skipped" in second.results["prepare"]
    [channel] = [c for c in second.jobs[-1]["InputDataConfig"] if c["ChannelName"] == "model"]
    assert channel["DataSource"]["S3DataSource"]["S3Uri"] == first.results["train"]["outputs"]["model"]


def test_from_a_stage_on_ignores_that_the_code_has_changed():
    first = Run(GRAPH)
    changed = pipeline(PREPARE, {**TRAIN, "hyperparameters": {"lr": 9}}, TUNE)

    second = first.again({"from": "finetune"}, of=changed)

    assert (reused(second), ran(second)) == (["train"], ["finetune"])


def test_only_some_stages():
    first = Run(GRAPH)

    second = first.again({"only": ["train"]})

    assert (reused(second), ran(second)) == (["prepare"], ["train"])
    assert "skipped" in second.results["finetune"]


def test_what_is_needed_and_was_never_done_fails_with_the_reason():
    run = Run(GRAPH, run_input={"from": "finetune"})

    assert run.ended["status"] == "FAILED"
    assert "not asked for, but needed, and no earlier run has its results" in run.ended["cause"]
    assert run.jobs == []


@pytest.mark.parametrize("lr", [1, 2])
def test_trials_of_a_sweep_are_reused_one_by_one(lr):
    def sweep(*rates):
        fields = {"name": "tune", "kind": "sweep", "grid": {"lr": list(rates)}, "best": {"metric": "acc"}}
        return pipeline(fields)

    models = {"tune": WorkModel(seconds=60, steps=10, metrics={"acc": lambda given: float(given["lr"])})}
    first = Run(sweep(1, 2), models=models)

    same = first.again({"reuse": True}, of=sweep(1, 2))

    assert len(first.jobs) == 2
    assert ["reused" in trial for trial in same.results["tune"]["trials"]] == [True, True]
    assert same.results["tune"]["best"]["parameters"] == {"lr": "2"}


def test_a_reused_stage_of_another_pipeline_is_never_taken():
    first = Run(GRAPH)
    other = GRAPH.model_copy(update={"name": "other"})

    second = first.again({"reuse": True}, of=other)

    assert reused(second) == []
    assert definition(other) != definition(GRAPH)


def test_a_stage_that_found_nothing_to_reuse_is_lost_and_resumed_like_any_other():
    scenario = {"spot": {"train": [{"interrupt": "40%"}, "none"]}}

    run = Run(pipeline({"name": "train"}, reuse=True), scenario=scenario)

    assert [entry["outcome"] for entry in run.results["train"]["ledger"]] == [
        "interrupted",
        "no capacity",
        "completed",
    ]
