"""The life of a training job in virtual time: statuses, times, messages and ends."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.machine.sagemaker_worlds import PREFIX, World, request
from workflows.local.front_door.event_patterns import EventPattern
from workflows.local.sagemaker.work_model import PLATFORM_FAULT, Failure, WorkModel
from workflows.local.service_errors import ServiceError

MODEL = WorkModel(seconds=1000, steps=100, save_every=100, stall=1, restore=5, download=10)


def names(world: World) -> list[str]:
    return [status for status, _, _ in world.transitions()]


def test_an_undisturbed_job_goes_through_five_statuses_and_bills_its_seconds_on_instances() -> None:
    # given a job of 1000 s of work with ten saves
    world = World(MODEL)
    # when it runs
    world.create()
    job = world.run()
    # then each status follows the other without a gap, and only time on instances is billed
    assert world.transitions() == [
        ("Starting", 0, 60),
        ("Downloading", 60, 70),
        ("Training", 70, 70 + 5 + 1000 + 10),
        ("Uploading", 1085, 1085),
        ("Completed", 1085, 1085),
    ]
    assert (job["TrainingJobStatus"], job["SecondaryStatus"]) == ("Completed", "Completed")
    assert job["TrainingTimeInSeconds"] == job["BillableTimeInSeconds"] == 1025
    assert job["ModelArtifacts"] == {"S3ModelArtifacts": "s3://bucket/out/job-1/output/model.tar.gz"}
    assert job["SecondaryStatusTransitions"][2]["StatusMessage"] == (
        "Training image download completed. Training in progress."
    )
    assert "FailureReason" not in job
    assert world.progress("complete.json")["step"] == 100


def test_an_interrupted_job_restarts_within_itself_and_pays_nothing_for_waiting() -> None:
    world = World(MODEL, scenario={"spot": {"pretrain": [{"interrupt": "40%", "back": "300s"}]}})
    world.create()
    job = world.run()
    assert names(world) == [
        *("Starting", "Downloading", "Training", "Interrupted"),
        *("Starting", "Downloading", "Training", "Uploading", "Completed"),
    ]
    # 40 % of the work is done while the fourth save is still to come: three saves count
    first = 10 + 5 + 400 + 3
    second = 10 + 5 + 700 + 7
    assert job["BillableTimeInSeconds"] == first + second
    assert world.progress()["interruptions"] == 1
    assert world.progress()["resumed_step"] == 30


def test_capacity_that_stays_away_ends_with_max_wait_exceeded() -> None:
    world = World(MODEL, scenario={"spot": {"pretrain": [{"interrupt": "40%"}]}})
    world.create()
    job = world.run()
    assert (job["TrainingJobStatus"], job["SecondaryStatus"]) == ("Stopped", "MaxWaitTimeExceeded")
    assert world.transitions()[-1][1] == 72000
    assert names(world)[-3:] == ["Starting", "Stopping", "MaxWaitTimeExceeded"]


def test_a_job_that_never_got_capacity_has_no_times_and_says_what_it_waits_for() -> None:
    world = World(MODEL, scenario={"spot": {"pretrain": ["none"]}})
    world.create()
    world.clock.run(3600)
    assert world.describe()["SecondaryStatusTransitions"][-1]["StatusMessage"] == (
        "Insufficient capacity error from EC2 while launching instances, retrying!"
    )
    job = world.run()
    assert job["SecondaryStatus"] == "MaxWaitTimeExceeded"
    assert "TrainingStartTime" not in job
    assert "BillableTimeInSeconds" not in job
    assert "ModelArtifacts" not in job


def test_a_capacity_error_fails_the_job_with_the_text_of_aws() -> None:
    world = World(scenario={"spot": {"pretrain": [{"error": "CapacityError"}]}})
    world.create()
    assert world.run()["FailureReason"] == (
        "CapacityError: Unable to provision requested ML compute capacity. "
        "Please retry using a different ML instance type."
    )


def test_max_runtime_gives_the_grace_then_stops_the_job() -> None:
    model = WorkModel(seconds=1000, steps=100, save_every=100, on_sigterm="ignore")
    world = World(model)
    world.create(StoppingCondition={"MaxRuntimeInSeconds": 500, "MaxWaitTimeInSeconds": 500})
    job = world.run()
    # MaxWait counts from creation, so it comes first
    assert job["SecondaryStatus"] == "MaxWaitTimeExceeded"

    world = World(model)
    world.create(StoppingCondition={"MaxRuntimeInSeconds": 500, "MaxWaitTimeInSeconds": 5000})
    job = world.run()
    assert (job["TrainingJobStatus"], job["SecondaryStatus"]) == ("Stopped", "MaxRuntimeExceeded")
    assert names(world)[-3:] == ["Stopping", "Uploading", "MaxRuntimeExceeded"]
    assert job["BillableTimeInSeconds"] == 500 + 120
    assert world.progress()["saved_step"] == 60  # what was published until the SIGKILL


def test_max_runtime_counts_the_seconds_of_every_restart() -> None:
    scenario = {"spot": {"pretrain": [{"interrupt": "300s", "back": "0s"}]}}
    world = World(WorkModel(seconds=1000, save_every=10000), scenario=scenario)
    world.create(StoppingCondition={"MaxRuntimeInSeconds": 500, "MaxWaitTimeInSeconds": 5000})
    job = world.run()
    assert job["SecondaryStatus"] == "MaxRuntimeExceeded"
    assert job["BillableTimeInSeconds"] == 500


def test_stopping_a_training_job_lets_it_save_first() -> None:
    world = World(MODEL)
    world.create()
    world.clock.run(70 + 5 + 50)
    world.sagemaker.handle("StopTrainingJob", {"TrainingJobName": "job-1"})
    assert world.describe()["TrainingJobStatus"] == "Stopping"
    world.sagemaker.handle("StopTrainingJob", {"TrainingJobName": "job-1"})
    job = world.run()
    assert (job["TrainingJobStatus"], job["SecondaryStatus"]) == ("Stopped", "Stopped")
    assert world.progress()["saved_step"] == 5
    with pytest.raises(ServiceError) as refused:
        world.sagemaker.handle("StopTrainingJob", {"TrainingJobName": "job-1"})
    assert refused.value.message == (
        "The request was rejected because the training job is in status Stopped."
    )


@pytest.mark.parametrize(
    ("failure", "reason"),
    [
        (Failure(3, "no such file"), "AlgorithmError: no such file, exit code: 3"),
        (Failure(1), "AlgorithmError: , exit code: 1"),
        (PLATFORM_FAULT, "InternalServerError: We encountered an internal error. Please try again."),
    ],
)
def test_a_failure_has_the_reason_that_aws_gives(failure: Failure, reason: str) -> None:
    world = World(WorkModel(seconds=100, failures=(failure,)))
    world.create()
    job = world.run()
    assert (job["TrainingJobStatus"], job["FailureReason"]) == ("Failed", reason)
    world.create("job-2")
    assert world.run("job-2")["TrainingJobStatus"] == "Completed"


@pytest.mark.parametrize(
    ("length", "end"),
    [(994, "x, exit code: 3"), (995, "x, exit code: "), (2000, "xxx")],
)
def test_a_failure_text_is_cut_as_a_whole_so_that_a_long_one_loses_its_exit_code(
    length: int, end: str
) -> None:
    world = World(WorkModel(seconds=100, failures=(Failure(3, "x" * length),)))
    world.create()
    reason = world.run()["FailureReason"]
    assert (len(reason), reason.endswith(end)) == (1024, True)


MEASURED = request()["AlgorithmSpecification"] | {
    "MetricDefinitions": [{"Name": "accuracy", "Regex": "accuracy=(.*)"}, {"Name": "loss", "Regex": "l=(.)"}]
}


def test_a_job_shows_the_metrics_that_its_request_defines_and_its_model_has() -> None:
    # given a model with a metric for each value of a hyperparameter, and one that is not defined
    metrics = {"accuracy": lambda parameters: float(parameters["rate"]) * 2, "other": 1.0}
    world = World(WorkModel(seconds=100, upload=50, metrics=metrics))
    # when two jobs run
    for name, rate in (("job-1", "0.1"), ("job-2", "0.2")):
        world.create(name, AlgorithmSpecification=MEASURED, HyperParameters={"rate": rate})
        job = world.run(name)
        # then each has its own, dated by the end of its training
        [found] = job["FinalMetricDataList"]
        assert (found["MetricName"], found["Value"]) == ("accuracy", float(rate) * 2)
        assert (job["TrainingEndTime"] - found["Timestamp"]).total_seconds() == 50
    world.create("job-3")
    assert "FinalMetricDataList" not in world.run("job-3")


def test_a_job_that_lost_its_capacity_for_good_keeps_the_metrics_it_had() -> None:
    model = WorkModel(seconds=100, steps=10, metrics={"loss": 0.5})
    world = World(model, scenario={"spot": {"pretrain": [{"interrupt": "40%"}, {"interrupt": "0%"}]}})
    world.create(AlgorithmSpecification=MEASURED)
    assert [each["Value"] for each in world.run()["FinalMetricDataList"]] == [0.5]
    # but one that did not get as far as a step has none
    world.create("job-2", AlgorithmSpecification=MEASURED, CheckpointConfig={"S3Uri": "s3://bucket/other/"})
    assert "FinalMetricDataList" not in world.run("job-2")


def test_every_change_is_an_event_that_carries_the_tags() -> None:
    world = World(MODEL)
    events: list[dict[str, Any]] = []
    world.sagemaker.subscribers.append(events.append)
    world.create()
    world.run()
    seen = [event["detail"]["SecondaryStatus"] for event in events]
    assert seen == ["Starting", "Downloading", "Training", "Uploading", "Completed"]
    assert events[0]["detail-type"] == "SageMaker Training Job State Change"
    assert events[0]["detail"]["Tags"] == {"relay:stage": "pretrain"}
    assert events[-1]["detail"]["CreationTime"] == int(world.clock.epoch.timestamp() * 1000)


def test_an_event_is_not_made_for_who_cannot_want_it_and_is_the_same_for_everybody() -> None:
    # given somebody who wants two statuses, alone, and beside somebody who hears everything
    choice = EventPattern({"detail": {"SecondaryStatus": ["Training", "Completed"]}})
    alone, together = World(MODEL), World(MODEL)
    wanted: list[dict[str, Any]] = []
    every: list[dict[str, Any]] = []
    alone.sagemaker.subscribe(choice, wanted.append)
    together.sagemaker.subscribers.append(every.append)
    # when a job runs in each
    for world in (alone, together):
        world.create()
        world.run()
    # then the wanted events are those of the others, ids and all
    assert [event["detail"]["SecondaryStatus"] for event in wanted] == ["Training", "Completed"]
    assert wanted == [every[2], every[4]]


def test_who_asks_for_what_is_not_known_at_a_glance_gets_what_the_event_says() -> None:
    world = World(MODEL)
    wanted: list[dict[str, Any]] = []
    others = {"Tags": {"relay:stage": ["pretrain"]}, "TrainingStartTime": [{"exists": False}]}
    world.sagemaker.subscribe(EventPattern({"detail": others}), wanted.append)
    world.create()
    world.run()
    assert [event["detail"]["SecondaryStatus"] for event in wanted] == ["Starting"]


def test_who_chooses_by_a_tag_hears_of_a_job_from_the_change_on_at_which_it_has_the_tag() -> None:
    # given somebody who wants what has a tag, and a job that trains twice
    world = World(MODEL, scenario={"spot": {"pretrain": [{"interrupt": "40%", "back": "300s"}]}})
    wanted: list[dict[str, Any]] = []
    pattern = {"detail": {"SecondaryStatus": ["Training"], "Tags": {"relay:stage": ["other"]}}}
    world.sagemaker.subscribe(EventPattern(pattern), wanted.append)
    world.create()
    world.clock.run(200)
    # when it gets the tag during its first training
    arn = world.describe()["TrainingJobArn"]
    tags = [{"Key": "relay:stage", "Value": "other"}]
    world.sagemaker.handle("AddTags", {"ResourceArn": arn, "Tags": tags})
    world.run()
    # then only the second one is heard of
    [event] = wanted
    assert event["detail"]["Tags"] == {"relay:stage": "other"}
    assert len(event["detail"]["SecondaryStatusTransitions"]) == 7


def test_what_was_described_stays_as_it_was() -> None:
    world = World(MODEL)
    world.create()
    before = world.describe()
    written = json.dumps(before, default=str)
    world.run()
    assert json.dumps(before, default=str) == written


def test_a_job_that_was_in_progress_when_the_world_died_comes_back_failed(tmp_path: Any) -> None:
    world = World(MODEL, state_dir=tmp_path)
    world.create()
    world.create("job-2")
    world.run()
    world.sagemaker.handle("CreateTrainingJob", request("job-3"))
    again = World(MODEL, state_dir=tmp_path)
    assert again.describe()["TrainingJobStatus"] == "Completed"
    lost = again.describe("job-3")
    assert lost["TrainingJobStatus"] == "Failed"
    assert lost["FailureReason"].startswith("InternalServerError: ")
    assert again.run("job-3") == lost


def test_a_job_goes_on_from_a_report_that_somebody_else_wrote() -> None:
    world = World(MODEL)
    report = {"saved_step": 60, "interruptions": 2}
    world.objects.put("bucket", PREFIX + "progress.json", json.dumps(report).encode())
    world.create()
    job = world.run()
    assert (world.progress()["resumed_step"], world.progress()["interruptions"]) == (60, 3)
    assert job["BillableTimeInSeconds"] == 10 + 5 + 400 + 4
