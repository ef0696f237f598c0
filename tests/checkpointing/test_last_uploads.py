"""A training goes on from what S3 holds, by each reading of what becomes of checkpoints at its stops."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from tests.checkpointing.test_resume import digest, read, run
from workflows.local.objects import MemoryObjects
from workflows.local.sagemaker.sync import CheckpointSync

pytestmark = pytest.mark.processes
URI = "s3://bucket/run/checkpoints/"


class Attempt:
    """The instances of one job: the script runs on the first, the agents bring and send all folders."""

    def __init__(
        self, objects: MemoryObjects, place: Path, *, resend: bool = False, instances: int = 1
    ) -> None:
        self.bases = [place / f"algo-{number}" for number in range(1, instances + 1)]
        folders = [base / "checkpoints" for base in self.bases]
        for folder in folders:
            folder.mkdir(parents=True)
        rng = random.Random(1)
        self.agents = CheckpointSync(objects, URI, folders, rng, lambda fraction: None, resend=resend)
        self.agents.restore()

    def run(self, *arguments: str) -> int:
        return run(self.bases[0], *arguments, "--pause", "0.005").returncode


@pytest.mark.parametrize("resend", [False, True], ids=["kept", "sent-again"])
@pytest.mark.parametrize("last_upload", ["sent", "lost", "late", "later"])
def test_after_a_stop_and_a_kill_the_model_is_that_of_the_undisturbed_run(
    tmp_path: Path, last_upload: str, resend: bool
) -> None:
    undisturbed = digest(run(tmp_path / "undisturbed"))
    objects = MemoryObjects(buckets=("bucket",))

    # given a job whose checkpoint of step 20 is in S3, and that is stopped in step 60: it saves once more
    first = Attempt(objects, tmp_path / "1")
    assert first.run("--save-at", "20", "--die-at", "21") == -9
    first.agents.finish()
    assert first.run("--die-at", "60", "--signal", "SIGTERM") == 143
    if last_upload == "sent":
        first.agents.finish()

    # when the next one, on two instances of which one only brings back what it was given, is killed
    second = Attempt(objects, tmp_path / "2", resend=resend, instances=2)
    saved = 70 if last_upload == "sent" else 40  # it goes on from 61, or from 20
    assert second.run("--save-at", str(saved), "--die-at", str(saved + 1)) == -9
    if last_upload == "late":  # while the second one works
        first.agents.finish()
    second.agents.finish()
    if last_upload == "later":  # after its last save
        first.agents.finish()

    # then the third one makes the same model, and goes on from no earlier than what S3 once had whole
    third = Attempt(objects, tmp_path / "3")
    assert digest(run(third.bases[0])) == undisturbed
    assert int(str(read(third.bases[0], "complete.json")["resumed_step"])) >= saved
