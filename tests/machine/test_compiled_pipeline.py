"""Compiled pipelines in virtual time: what the machine does when capacity, scripts and AWS do their worst."""

import itertools
import json
from typing import Any

import pytest

from tests.machine.pipelines import Run, definition, pipeline
from workflows.local.sagemaker.work_model import PLATFORM_FAULT, Failure, WorkModel

TRAIN = {"name": "train"}
WORK = {"seconds": 1200, "steps": 100, "save_every": 60}
LOST = {"interrupt": "50%"}


def work(*failures, **more):
    return {"train": WorkModel(**{**WORK, **more}, failures=failures)}


# ---------------------------------------------------------------------------------------- transitions
RECORDED = ["train: write down", "train: measure", "train: what next"]


def test_an_undisturbed_stage_takes_six_transitions():
    run = Run(pipeline({"name": "prepare", "kind": "process"}, TRAIN))

    own = [state for state in run.states if state.startswith("train: ")]
    assert own == ["train: on spot", "train: is it whole", "train: done", *RECORDED]
    assert [state for state in run.states if state.startswith("prepare: ")] == [
        "prepare: on demand",
        "prepare: done",
        "prepare: write down",
        "prepare: measure",
        "prepare: what next",
    ]
    assert run.view.status == "SUCCEEDED"


@pytest.mark.parametrize("stopped_is_success", [False, True])
def test_a_lost_attempt_takes_eight_transitions_under_both_readings_of_a_stopped_job(stopped_is_success):
    run = Run(pipeline(TRAIN), scenario={"spot": {"train": [LOST]}}, stopped_is_success=stopped_is_success)

    first, second = (i for i, state in enumerate(run.states) if state == "train: on spot")
    assert second - first == 8
    assert run.states[first + 1 : second] == [
        "train: why did it end",
        "train: how far did it get",
        "train: what follows from it",
        *RECORDED,
        "train: back off, then spot",
    ]
    assert run.attempts("train") == [("spot", "interrupted", "spot"), ("spot", "completed", "done")]


def test_a_stop_by_a_person_is_read_twice_and_keeps_the_progress():
    run = Run(pipeline(TRAIN), models=work(), stop_after=700)

    read = ["train: how far did it get", "train: what follows from it", *RECORDED]
    assert run.states[-12:] == [
        "train: why did it end",
        *read,
        *read,
        "train: failed, redrive to go on",
    ]
    (only,) = run.view.stages["train"].attempts
    assert (only.outcome, only.decision) == ("stopped by a person", "fail")
    assert only.reached_step == only.saved_step == 53


# ------------------------------------------------------------------------------------------ spot budget
def test_a_drought_uses_up_the_budget_and_ends_on_demand():
    run = Run(pipeline(TRAIN, spot={"retry_budget": 3}), scenario={"spot": {"train": [LOST, "none", "none"]}})

    assert run.attempts("train") == [
        ("spot", "interrupted", "spot"),
        ("spot", "no capacity", "spot"),
        ("spot", "no capacity", "on-demand"),
        ("on-demand", "completed", "done"),
    ]
    last = run.view.stages["train"].attempts[-1]
    assert last.resumed_step == 50


def test_without_on_demand_a_spent_budget_fails_the_run_and_says_so():
    found = pipeline(TRAIN, spot={"retry_budget": 2}, on_demand={"enabled": False})
    run = Run(found, scenario={"spot": {"train": ["none", "none"]}})

    assert run.view.status == "FAILED"
    assert "retry budget used up (2 of 2 interruptions), and on-demand is not enabled" in run.view.cause


def test_a_budget_of_zero_starts_on_demand():
    run = Run(pipeline(TRAIN, spot={"retry_budget": 0}))

    assert run.attempts("train") == [("on-demand", "completed", "done")]
    assert "train: on spot" not in run.definition["States"]


def test_an_interruption_inside_a_job_costs_budget_once_and_no_attempt():
    run = Run(pipeline(TRAIN), scenario={"spot": {"train": [{"interrupt": "50%", "back": "60s"}]}})

    (only,) = run.view.stages["train"].attempts
    assert (only.outcome, only.interruptions) == ("completed", 1)


def test_each_lost_attempt_goes_to_the_next_rung_and_the_first_comes_again():
    found = pipeline(TRAIN, spot={"ladder": ["ml.g5.xlarge", "ml.g4dn.xlarge"], "retry_budget": 5})
    run = Run(found, scenario={"spot": {"train": ["none", "none", LOST]}})

    types = [attempt.instance_type for attempt in run.view.stages["train"].attempts]
    assert types == ["ml.g5.xlarge", "ml.g4dn.xlarge", "ml.g5.xlarge", "ml.g4dn.xlarge"]


# ------------------------------------------------------------------------------------------- progress
def test_attempts_without_progress_go_on_demand_after_the_limit():
    stuck = Failure(stuck=True)
    found = pipeline(TRAIN, spot={"retry_budget": 9, "no_progress_limit": 2})
    run = Run(found, scenario={"spot": {"train": [LOST, LOST, LOST]}}, models=work(stuck, stuck))

    assert run.attempts("train") == [
        ("spot", "interrupted", "spot"),
        ("spot", "interrupted", "on-demand"),
        ("on-demand", "completed", "done"),
    ]


def test_no_progress_on_demand_either_fails_and_nothing_loops():
    early = Failure(exit_code=0, after=300)
    run = Run(pipeline(TRAIN), models=work(*[early] * 20, save_every=10_000))

    assert run.view.status == "FAILED"
    assert len(run.attempts("train")) <= 4
    assert "left the checkpoint where it was" in run.view.cause


def test_an_exit_code_of_zero_without_complete_json_is_no_success():
    run = Run(pipeline(TRAIN), models=work(Failure(exit_code=0, after=600)))

    assert run.attempts("train") == [("spot", "unfinished", "spot"), ("spot", "completed", "done")]


def test_a_slice_that_is_over_goes_on_at_once_and_costs_no_budget():
    run = Run(pipeline({**TRAIN, "limit": "10m"}, spot={"retry_budget": 1}))

    outcomes = [outcome for _, outcome, _ in run.attempts("train")]
    assert outcomes == ["slice over", "slice over", "completed"]
    assert not [state for state in run.states if "back off" in state]


# ----------------------------------------------------------------------------------------- other ends
def test_a_users_bug_costs_one_attempt_no_budget_and_shows_the_last_words():
    bug = Failure(exit_code=3, text="ValueError: learning rate is negative", after=30)
    run = Run(pipeline(TRAIN), models=work(bug, bug, bug))

    assert run.attempts("train") == [("spot", "user error", "fail")]
    assert run.view.status == "FAILED"
    assert "ValueError: learning rate is negative" in run.view.cause
    assert not [state for state in run.states if "on demand" in state]


def test_a_script_cannot_pretend_a_lack_of_capacity():
    run = Run(pipeline(TRAIN), models=work(Failure(exit_code=1, text="CapacityError: none", after=30)))

    assert run.attempts("train") == [("spot", "user error", "fail")]


def test_platform_faults_have_a_budget_of_their_own():
    run = Run(pipeline(TRAIN, spot={"retry_budget": 1}), models=work(PLATFORM_FAULT, PLATFORM_FAULT))

    assert [outcome for _, outcome, _ in run.attempts("train")] == ["platform fault"] * 2 + ["completed"]


def test_platform_faults_in_a_row_without_progress_fail():
    run = Run(pipeline(TRAIN), models=work(*[PLATFORM_FAULT] * 9))

    assert [outcome for _, outcome, _ in run.attempts("train")] == ["platform fault"] * 3
    assert "hundreds of GB" in run.view.cause


def test_a_spot_quota_of_zero_ends_on_demand():
    run = Run(pipeline(TRAIN), quotas={"ml.m5.xlarge for spot training job usage": 0})

    outcomes = [(market, outcome) for market, outcome, _ in run.attempts("train")]
    assert set(outcomes[:-1]) == {("spot", "quota")}
    assert outcomes[-1] == ("on-demand", "completed")


def test_a_refused_request_fails_at_once_with_the_refusal():
    found = pipeline({**TRAIN, "environment": {"KEY": "x" * 600}})  # SageMaker takes 512 characters

    run = Run(found)

    assert run.attempts("train") == [("spot", "bad request", "fail")]
    assert "failed to satisfy constraint" in run.view.cause


def test_an_earlier_stage_that_left_nothing_is_a_bad_request_that_names_the_empty_place():
    prepare = {"name": "prepare", "kind": "process", "outputs": ["data"]}
    found = pipeline(prepare, {**TRAIN, "inputs": {"train": "{{ prepare.outputs.data }}"}})
    run = Run(found, models={"prepare": WorkModel(seconds=60, outputs=False)})

    assert run.attempts("train") == [("spot", "bad request", "fail")]
    assert run.world.sagemaker.handle("ListTrainingJobs", {})["TrainingJobSummaries"] == []
    message = run.view.stages["train"].attempts[0].message
    assert message.startswith('No S3 objects found under S3 URL "s3://bucket/demo/runs/')
    assert '/prepare/output/data"' in message


# -------------------------------------------------------------------------------------------- redrive
def test_a_redrive_goes_on_from_the_checkpoint_with_fresh_budgets_and_new_names():
    found = pipeline(TRAIN, spot={"retry_budget": 2}, on_demand={"enabled": False})
    run = Run(found, scenario={"spot": {"train": [LOST, "none"]}})
    assert run.view.status == "FAILED"

    run.redrive()

    assert run.view.status == "SUCCEEDED"
    attempts = run.view.stages["train"].attempts
    assert [attempt.outcome for attempt in attempts] == ["interrupted", "no capacity", "completed"]
    assert attempts[-1].resumed_step == 50
    assert len({attempt.job for attempt in attempts}) == 3


def test_a_finished_stage_is_not_run_again_by_a_redrive():
    found = pipeline({"name": "first"}, {**TRAIN, "needs": ["first"]}, on_demand={"enabled": False})
    run = Run(found, models=work(Failure(exit_code=1, after=10)))

    run.redrive()

    assert run.view.status == "SUCCEEDED"
    assert len(run.attempts("first")) == 1


# ---------------------------------------------------------------------------------------------- graph
def test_stages_without_an_order_run_side_by_side_and_hand_over_their_outputs():
    found = pipeline(
        {"name": "prepare", "kind": "process", "outputs": ["data"]},
        {"name": "left", "inputs": {"data": "{{ prepare.outputs.data }}"}},
        {"name": "right", "inputs": {"data": "{{ prepare.outputs.data }}"}},
        {"name": "join", "inputs": {"a": "{{ left.outputs.model }}", "b": "{{ right.outputs.model }}"}},
    )
    run = Run(found, scenario={"spot": {"left": [LOST]}})

    assert run.view.status == "SUCCEEDED", run.view.cause
    output = json.loads(run.world.describe(run.arn)["output"])
    assert set(output["stages"]) == {"prepare", "left", "right", "join"}
    job = output["stages"]["join"]["ledger"][0]["job"]
    channels = run.world.sagemaker.handle("DescribeTrainingJob", {"TrainingJobName": job})["InputDataConfig"]
    uris = {c["ChannelName"]: c["DataSource"]["S3DataSource"]["S3Uri"] for c in channels}
    assert uris["a"] == output["stages"]["left"]["outputs"]["model"]
    assert uris["b"] == output["stages"]["right"]["outputs"]["model"]


def test_a_failing_branch_stops_the_jobs_of_its_siblings():
    found = pipeline({"name": "left"}, TRAIN)
    run = Run(found, models={"left": WorkModel(seconds=3000), **work(Failure(exit_code=1, after=60))})

    assert run.view.status == "FAILED"
    (job,) = (
        summary["TrainingJobName"]
        for summary in run.world.sagemaker.handle("ListTrainingJobs", {})["TrainingJobSummaries"]
        if "left" in summary["TrainingJobName"]
    )
    run.world.clock.run(run.world.sagemaker.ended("training", job))
    assert run.world.sagemaker.handle("DescribeTrainingJob", {"TrainingJobName": job})[
        "TrainingJobStatus"
    ] == ("Stopped")


# ----------------------------------------------------------------------------------------- the text
def test_the_text_holds_no_jsonpath():
    paths = {"InputPath", "OutputPath", "ResultPath", "Parameters", "ResultSelector", "ItemsPath", "Variable"}

    def look(value):
        if isinstance(value, dict):
            assert not paths & set(value)
            assert not [key for key in value if key.endswith(".$")]
            for inner in value.values():
                look(inner)
        elif isinstance(value, list):
            for inner in value:
                look(inner)

    look(definition(pipeline({"name": "prepare", "kind": "process"}, TRAIN)))


def test_a_graph_of_thirty_stages_fits_the_definition_limit_and_runs():
    layers: list[list[dict[str, Any]]] = [[{"name": f"s{layer}-{i}"} for i in range(5)] for layer in range(6)]
    for above, below in itertools.pairwise(layers):
        for stage in below:
            stage["needs"] = [each["name"] for each in above]
    found = pipeline(*[stage for layer in layers for stage in layer])

    run = Run(found, scenario={"spot": {f"s{layer}-0": [LOST, "none"] for layer in range(6)}})

    assert len(json.dumps(run.definition)) < 1024 * 1024  # CreateStateMachine API reference
    assert run.view.status == "SUCCEEDED", run.view.cause
    assert sum(len(stage.attempts) for stage in run.view.stages.values()) == 42


# -------------------------------------------------------------------------------------- the image's program
def test_an_image_with_its_own_program_is_resumed_and_finished_like_a_script():
    train = {"name": "train", "script": "", "container": {"entrypoint": ["/usr/bin/train"]}}
    run = Run(pipeline(train), scenario={"spot": {"train": [LOST]}})

    assert run.attempts("train") == [("spot", "interrupted", "spot"), ("spot", "completed", "done")]


def test_the_settings_of_a_stage_reach_every_attempt_of_its_job():
    network = {"subnets": ["subnet-1"], "security_groups": ["sg-1"], "isolation": True}
    train = {
        "name": "train",
        "network": network,
        "tags": {"team": "vision"},
        "metrics": {"loss": "loss=(.*)"},
    }
    run = Run(pipeline(train, spot={"retry_budget": 1}), scenario={"spot": {"train": ["none"]}})

    jobs = run.world.sagemaker.handle("ListTrainingJobs", {})["TrainingJobSummaries"]
    for job in jobs:
        told = run.world.sagemaker.handle("DescribeTrainingJob", {"TrainingJobName": job["TrainingJobName"]})
        assert told["VpcConfig"] == {"Subnets": ["subnet-1"], "SecurityGroupIds": ["sg-1"]}
        assert told["EnableNetworkIsolation"] is True
        assert told["AlgorithmSpecification"]["MetricDefinitions"] == [{"Name": "loss", "Regex": "loss=(.*)"}]
    assert len(jobs) == 2
