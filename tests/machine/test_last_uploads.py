"""What AWS does not say of a stopped job's last checkpoints costs one interval at most, either way."""

from __future__ import annotations

import inspect
from collections.abc import Callable

import pytest

from tests.machine import test_compiled_pipeline, test_redrive
from tests.machine.pipelines import PLATFORM, Run, pipeline, watch
from tests.machine.sagemaker_worlds import World
from workflows.local.sagemaker.work_model import WorkModel

INTERVAL = 60.0
TRAIN = {"name": "train"}
READINGS = pytest.mark.parametrize("last_upload", ["sent", "lost", "late"])
# The tests of runs that need nothing but a world. One is left out: it holds how far a stopped job got to be
# what it saved at its stop, which is the reading itself.
RESUMES = [
    test
    for module in (test_compiled_pipeline, test_redrive)
    for name, test in vars(module).items()
    if name.startswith("test_")
    and not inspect.signature(test).parameters
    and name != "test_a_stop_by_a_person_is_read_twice_and_keeps_the_progress"
]
ENDS = ("MaxRuntimeExceeded", "Stopped", "Interrupted")


def work(**changes: object) -> dict[str, WorkModel]:
    return {"train": WorkModel(**{"seconds": 1200, "steps": 1200, "save_every": INTERVAL, **changes})}


def redone(run: Run) -> float:
    """Seconds of training beyond those that the work takes."""
    spells = [each for job in run.jobs for each in job["SecondaryStatusTransitions"]]
    trained = [each["EndTime"] - each["StartTime"] for each in spells if each["Status"] == "Training"]
    return sum(spell.total_seconds() for spell in trained) - 1200


def losses(run: Run) -> int:
    """How often the training was taken away."""
    return sum(each["Status"] in ENDS for job in run.jobs for each in job["SecondaryStatusTransitions"])


@READINGS
def test_slices_lose_one_interval_each_at_most(last_upload: str) -> None:
    # given slices that end in the midst between two saves
    found = pipeline({**TRAIN, "limit": "630s"}, spot={"retry_budget": 1})

    run = Run(found, models=work(), last_upload=last_upload)

    outcomes = [outcome for _, outcome, _ in run.attempts("train")]
    assert set(outcomes[:-1]) == {"slice over"}
    assert outcomes[-1] == "completed"
    assert run.ended["status"] == "SUCCEEDED"
    assert 0 <= redone(run) <= losses(run) * INTERVAL
    assert last_upload == "sent" or redone(run) > 0


@READINGS
def test_interruptions_and_stops_of_the_watch_lose_one_interval_each_at_most(last_upload: str) -> None:
    # given capacity that goes twice, the second time for longer than the patience
    scenario = {"spot": {"train": [{"interrupt": ["23%", "57%"], "back": "2h"}, {"interrupt": "71%"}]}}

    run = Run(
        pipeline(TRAIN, spot={"retry_budget": 5}),
        scenario=scenario,
        models=work(),
        watch=watch(),
        last_upload=last_upload,
    )

    assert run.ended["status"] == "SUCCEEDED"
    assert 0 < redone(run) <= losses(run) * INTERVAL


@READINGS
def test_a_run_that_a_person_stopped_goes_on_from_its_last_checkpoint(last_upload: str) -> None:
    # given a run whose job is stopped by a person in the midst of its work
    run = Run(pipeline(TRAIN), models=work(), stop_after=700, last_upload=last_upload)
    assert run.ended["status"] == "FAILED"

    # when it is redriven
    run.world.step_functions.handle("RedriveExecution", {"executionArn": run.arn})
    run.world.wait(run.arn)

    # then it loses what the interval before the stop held, and nothing more
    assert run.ended["status"] == "SUCCEEDED"
    assert 0 <= redone(run) <= INTERVAL


@pytest.mark.parametrize(
    ("last_upload", "at_once", "later"), [("sent", 90, 90), ("lost", 60, 60), ("late", 60, 90)]
)
def test_what_s3_has_when_a_job_is_stopped(last_upload: str, at_once: int, later: int) -> None:
    # given a job that saves every minute and is stopped in its second one
    world = World(WorkModel(seconds=600, steps=600, save_every=60), last_upload=last_upload)
    world.create(spot=False)
    world.clock.run(world.clock.env.timeout(60 + 90))
    world.sagemaker.handle("StopTrainingJob", {"TrainingJobName": "job-1"})
    # when it is shown as Stopped, and three minutes after that
    job = world.run()
    assert job["TrainingJobStatus"] == "Stopped"
    assert world.progress()["saved_step"] == at_once
    world.clock.run(world.clock.env.timeout(181))
    assert world.progress()["saved_step"] == later


@pytest.mark.parametrize("last_upload", ["lost", "late"])
@pytest.mark.parametrize("test", RESUMES, ids=lambda test: test.__name__)
def test_the_suite_of_resumes_holds_under_the_other_readings(
    test: Callable[[], None], last_upload: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(PLATFORM, "last_upload", last_upload)

    test()
