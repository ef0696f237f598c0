"""People, scripts and capacity that come between the watch and its job."""

import json

import pytest

from tests.machine.pipelines import Run, pipeline, watch
from tests.machine.watched import PATIENCE, READINGS, TRAIN, endings, job, scenario, seconds
from workflows.local.sagemaker.work_model import Failure, WorkModel
from workflows.local.service_errors import ServiceError


# ------------------------------------------------------------------------------------------- people
@READINGS
@pytest.mark.parametrize("entry", ["none", {"interrupt": "10%"}])
def test_a_stop_by_a_person_while_the_job_waits_is_one_by_a_person(entry, stopped_is_success):
    run = Run(
        pipeline(TRAIN),
        scenario=scenario(entry),
        watch=watch(),
        stop_after=500,
        stopped_is_success=stopped_is_success,
    )

    assert run.attempts("train") == [("spot", "stopped by a person", "fail")]
    assert "somebody stopped the job" in run.view.cause
    assert set(endings(run)) == {"nothing to do"}


def test_a_stop_by_a_person_without_any_event_of_the_watch_is_one_by_a_person():
    run = Run(pipeline(TRAIN), scenario=scenario("none"), watch=watch(lambda event: ()), stop_after=2000)

    assert run.attempts("train") == [("spot", "stopped by a person", "fail")]


def pretending(world):
    """A script whose progress.json says what only the watch may say."""
    put = world.objects.put

    def pretend(bucket, key, data):
        if key.endswith("/checkpoints/progress.json"):
            data = json.dumps({**json.loads(data), "stopped_by_watch": "x", "because": "CapacityError: x"})
            data = data.encode()
        put(bucket, key, data)

    world.objects.put = pretend


@READINGS
def test_a_script_cannot_pretend_a_stop_by_the_watch(stopped_is_success):
    run = Run(
        pipeline(TRAIN),
        watch=watch(),
        stop_after=500,
        before=pretending,
        stopped_is_success=stopped_is_success,
    )
    assert run.attempts("train") == [("spot", "stopped by a person", "fail")]

    bug = WorkModel(seconds=1200, failures=(Failure(exit_code=1, text="ValueError", after=300),))
    run = Run(pipeline(TRAIN), watch=watch(), models={"train": bug}, before=pretending)
    assert run.attempts("train") == [("spot", "user error", "fail")]


# -------------------------------------------------------------------------------------------- races
def failing_writes(world, times):
    """S3 is too busy for the watch's mark, so that time passes between its look and its stop."""
    call, left = world.objects.call, iter(range(times))

    def busy(operation, arguments):
        if operation == "PutObject" and next(left, None) is not None:
            raise ServiceError("SlowDown", "Please reduce your request rate.", 503)
        return call(operation, arguments)

    world.objects.call = busy


@READINGS
def test_capacity_that_comes_between_look_and_stop_makes_an_interruption(stopped_is_success):
    """The script has overwritten progress.json by then: the mark must not be lost with it."""
    run = Run(
        pipeline(TRAIN),
        scenario=scenario({"wait": "9m"}),
        watch=watch(),
        launch_seconds=60.2,
        before=lambda world: failing_writes(world, 3),
        stopped_is_success=stopped_is_success,
    )

    statuses = [change["Status"] for change in job(run)["SecondaryStatusTransitions"]]
    assert statuses[:4] == ["Starting", "Downloading", "Training", "Stopping"]
    assert run.attempts("train") == [("spot", "interrupted", "spot"), ("spot", "completed", "done")]


def test_a_person_who_stops_the_job_after_the_watch_has_decided_to_comes_second():
    def stop_too(world):
        call = world.objects.call

        def marked(operation, arguments):
            answer = call(operation, arguments)
            if operation == "PutObject":
                name = json.loads(arguments["Body"])["stopped_by_watch"]
                world.sagemaker.handle("StopTrainingJob", {"TrainingJobName": name})
            return answer

        world.objects.call = marked

    run = Run(pipeline(TRAIN), scenario=scenario("none"), watch=watch(), before=stop_too)

    assert run.attempts("train") == [("spot", "no capacity", "spot"), ("spot", "completed", "done")]
    assert set(endings(run)) <= {"stopped", "nothing to do"}


def test_a_watch_that_cannot_leave_its_mark_does_not_stop_the_job():
    run = Run(
        pipeline(TRAIN),
        scenario=scenario("none"),
        watch=watch(),
        before=lambda world: failing_writes(world, 100),
    )

    assert run.attempts("train") == [("spot", "no capacity", "spot"), ("spot", "completed", "done")]
    assert seconds(run) == 3600 + PATIENCE
    assert run.world.describe(run.world.watches[0])["status"] == "FAILED"


def test_a_watch_that_may_not_stop_jobs_fails_visibly_and_max_wait_ends_the_wait():
    def forbid(world):
        handle = world.sagemaker.handle

        def forbidden(operation, request):
            if operation == "StopTrainingJob":
                raise ServiceError("AccessDeniedException", "User: x is not authorized")
            return handle(operation, request)

        world.sagemaker.handle = forbidden

    run = Run(pipeline(TRAIN), scenario=scenario("none"), watch=watch(), before=forbid)

    assert run.attempts("train") == [("spot", "no capacity", "spot"), ("spot", "completed", "done")]
    assert seconds(run) == 3600 + PATIENCE
    failed = run.world.describe(run.world.watches[0])
    assert failed["error"] == "Relay.WatchRefused"
    assert "not authorized" in failed["cause"]
