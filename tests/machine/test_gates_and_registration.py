"""Gates decide what goes on; a registration leaves a model package that says where it came from."""

from typing import Any

import pytest

from tests.machine.pipelines import SITE, Run, definition, pipeline
from workflows.jobs.checkpoints import checkpoint_bucket
from workflows.local.sagemaker.work_model import WorkModel

TRAIN: dict[str, Any] = {"name": "train"}
GATE: dict[str, Any] = {"name": "good-enough", "kind": "gate", "when": "{{ train.metrics.acc }} >= 0.9"}
REGISTER: dict[str, Any] = {
    "name": "register",
    "kind": "register",
    "model": "{{ train.outputs.model }}",
    "needs": ["good-enough"],
    "properties": {"team": "vision"},
}
AFTER: dict[str, Any] = {"name": "after", "needs": ["good-enough"]}


def reported(**metrics):
    return {"train": WorkModel(seconds=1200, steps=100, save_every=60, metrics=metrics)}


def test_a_gate_that_holds_lets_the_run_go_on():
    run = Run(pipeline(TRAIN, GATE, AFTER), models=reported(acc=0.95))

    assert run.results["good-enough"]["passed"] is True
    assert run.results["good-enough"]["metrics"] == {"train.acc": 0.95}
    assert run.attempts("after") == [("spot", "completed", "done")]


def test_a_gate_that_does_not_hold_ends_the_run_quietly():
    later = {"name": "later", "inputs": {"model": "{{ after.outputs.model }}"}}
    run = Run(pipeline(TRAIN, GATE, AFTER, REGISTER, later), models=reported(acc=0.5))

    assert run.ended["status"] == "SUCCEEDED"
    assert [job["TrainingJobName"].split("-")[2] for job in run.jobs] == ["train"]
    for name in ("after", "register", "later"):
        assert "skipped" in run.results[name]


def test_what_does_not_need_the_gate_goes_on():
    run = Run(pipeline(TRAIN, GATE, AFTER, {"name": "aside", "needs": ["train"]}), models=reported(acc=0.5))

    assert run.attempts("aside") == [("spot", "completed", "done")]
    assert "skipped" in run.results["after"]


def test_a_gate_may_fail_the_run():
    run = Run(pipeline(TRAIN, {**GATE, "otherwise": "fail"}, AFTER), models=reported(acc=0.5))

    assert (run.ended["status"], run.ended["error"]) == ("FAILED", "Relay.GateFailed")
    assert run.ended["cause"] == "good-enough: not good enough: {{ train.metrics.acc }} >= 0.9"


def test_a_gate_behind_a_gate_that_said_stop_neither_asks_nor_fails():
    second = {"name": "second", "kind": "gate", "when": "{{ after.metrics.x }} > 0", "otherwise": "fail"}
    run = Run(pipeline(TRAIN, GATE, AFTER, second), models=reported(acc=0.5))

    assert run.ended["status"] == "SUCCEEDED"
    assert run.results["second"]["passed"] is False


def test_a_metric_that_nobody_reported_is_an_error_and_no_stop():
    run = Run(pipeline(TRAIN, GATE, AFTER), models=reported(loss=0.5))

    assert run.ended["status"] == "FAILED"
    assert "good-enough: the stage train reported no number named acc" in run.ended["cause"]


def test_metrics_that_sagemaker_reads_in_the_output_count_too():
    metrics = {"val:acc": "acc=([0-9.]+)"}
    gate = {**GATE, "when": "{{ train.metrics.val:acc }} > 0.5"}
    run = Run(pipeline({**TRAIN, "metrics": metrics}, gate), models=reported(**{"val:acc": 0.75}))

    assert run.results["good-enough"]["metrics"] == {"train.val:acc": 0.75}


def test_a_registered_model_says_where_it_came_from():
    run = Run(pipeline(TRAIN, GATE, REGISTER), models=reported(acc=0.95))

    arn = run.results["register"]["outputs"]["package"]
    package = run.world.sagemaker.handle("DescribeModelPackage", {"ModelPackageName": arn})
    [job] = run.jobs
    assert (package["ModelPackageGroupName"], package["ModelPackageVersion"]) == ("demo", 1)
    assert package["ModelApprovalStatus"] == "PendingManualApproval"
    [container] = package["InferenceSpecification"]["Containers"]
    assert container["ModelDataUrl"] == job["ModelArtifacts"]["S3ModelArtifacts"]
    assert package["MetadataProperties"]["GeneratedBy"] == job["TrainingJobArn"]
    statistics = package["ModelMetrics"]["ModelQuality"]["Statistics"]
    assert statistics["S3Uri"] == job["CheckpointConfig"]["S3Uri"] + "complete.json"
    assert package["CustomerMetadataProperties"] == {
        "relay:run": "run",
        "relay:stage": "train",
        "relay:job": job["TrainingJobName"],
        "team": "vision",
        "metric:acc": "0.95",
    }


def test_a_second_run_registers_the_next_version():
    run = Run(pipeline(TRAIN, GATE, REGISTER), models=reported(acc=0.95))
    later = run.again()

    assert later.results["register"]["outputs"]["package"].endswith("/demo/2")


def test_a_stage_that_is_not_asked_for_registers_nothing():
    run = Run(pipeline(TRAIN, GATE, REGISTER), models=reported(acc=0.95), run_input={"only": ["train"]})

    assert "skipped" in run.results["register"]
    assert run.results["good-enough"]["passed"] is True  # not asked: it stops nothing


@pytest.mark.parametrize("text", ["{{ train.metrics.acc }} / 0 > 1"])
def test_a_condition_that_cannot_be_worked_out_fails_the_run(text):
    run = Run(pipeline(TRAIN, {**GATE, "when": text}), models=reported(acc=0.95))

    assert run.ended["status"] == "FAILED"
    assert "the condition divides by zero" in run.ended["cause"]


def test_the_words_of_the_states_are_phrases():
    states = definition(pipeline(TRAIN, GATE, REGISTER))["States"]

    assert {"good-enough: is it met", "register: make the group", "register: register the model"} <= set(
        states
    )
    assert checkpoint_bucket(pipeline(TRAIN).stages[0], SITE) == "bucket"
