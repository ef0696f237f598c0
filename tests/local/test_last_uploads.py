"""Real jobs that are stopped one after the other, under each reading of what becomes of their checkpoints."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Callable
from functools import partial

import pytest

from tests.local.worlds import final, log_of, saved_step, submit, until
from workflows.local.scenario import ScenarioError, parse_scenario
from workflows.local.server import LocalWorld

pytestmark = pytest.mark.processes
# Each job waits in the step that its folder `holds` names, until it is told to stop.
TRAIN = """
import os, pathlib, time
from workflows.checkpointing import Checkpointer
state = {"sum": 0}
hold = int(os.environ["HOLD"])
with Checkpointer({"state": state}, shortest=0.05, longest=0.1) as checkpoints:
    for step in checkpoints.steps(60):
        print("step", step, flush=True)
        while step == hold and not checkpoints.stopping:
            time.sleep(0.02)
        state["sum"] = state["sum"] * 31 % 1_000_003 + step
        time.sleep(0.02)
pathlib.Path(os.environ["SAGEMAKER_BASE_DIR"], "model", "sum.txt").write_text(str(state["sum"]))
"""
CHECKPOINTS = {"S3Uri": "s3://bucket/run/checkpoints/"}


@pytest.mark.parametrize("restored", ["kept", "sent"])
@pytest.mark.parametrize("last_upload", ["sent", "lost", "late"])
def test_stopped_jobs_go_on_and_leave_the_model_of_an_undisturbed_one(
    open_world: Callable[..., LocalWorld], last_upload: str, restored: str
) -> None:
    # given a late upload that comes while the next job trains
    scenario = parse_scenario({"last_upload": last_upload, "restored": restored})
    world = open_world(scenario=scenario, late_seconds=61)

    # when two jobs are stopped in the midst of their work
    for name, hold in (("job-1", 20), ("job-2", 40)):
        start(world, name, hold)
        until(partial(has_said, world, name, f"step {hold}\n"))
        until(lambda: saved_step(world) > 0)
        world.client("sagemaker").stop_training_job(TrainingJobName=name)
        assert final(world, name)["SecondaryStatus"] == "Stopped"
    start(world, "job-3", -1)

    # then the third one leaves what an undisturbed training leaves, and was not begun anew
    assert final(world, "job-3")["TrainingJobStatus"] == "Completed", log_of(world, "job-3")
    body = world.client("s3").get_object(Bucket="bucket", Key="out/job-3/output/model.tar.gz")["Body"]
    with tarfile.open(fileobj=io.BytesIO(body.read())) as archive:
        [text] = [archive.extractfile(member) for member in archive if member.name.endswith("sum.txt")]
        assert text is not None
        assert int(text.read()) == undisturbed()
    began = next(line for line in lines(world, "job-3").splitlines() if line.startswith("step "))
    assert int(began.removeprefix("step ")) > 0


def has_said(world, job, line):
    return line in lines(world, job)


def test_a_reading_that_is_unknown_is_refused() -> None:
    with pytest.raises(ScenarioError, match="last_upload: found 'maybe'; Input should be 'sent', 'lost' or"):
        parse_scenario({"last_upload": "maybe"})


def start(world: LocalWorld, name: str, hold: int) -> None:
    submit(world, name, TRAIN, CheckpointConfig=CHECKPOINTS, Environment={"HOLD": str(hold)})


def lines(world: LocalWorld, name: str) -> str:
    return log_of(world, name) if world.logs(name) else ""


def undisturbed() -> int:
    total = 0
    for step in range(60):
        total = total * 31 % 1_000_003 + step
    return total
