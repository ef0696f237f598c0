"""Two jobs never write one checkpoint prefix at the same time."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.machine.pipelines import Run, definition, pipeline
from workflows.local.sagemaker.work_model import WorkModel
from workflows.local.virtual import VirtualWorld

SHARED = pipeline({"name": "train", "checkpoint": {"s3_uri": "s3://bucket/shared/run-1"}})
OWN = pipeline({"name": "train"})


class Story:
    """Runs of one machine, with what a person does to them at given seconds."""

    def __init__(self, found, on_sigterm="ignore"):
        self.machine = definition(found)
        model = WorkModel(seconds=1200, steps=100, save_every=60, on_sigterm=on_sigterm, upload=30)
        self.world = VirtualWorld({"train": model}, bucket="bucket")
        self.created = self.world.install("machine", self.machine)
        self.arns = {}

    def start(self, name):
        self.arns[name] = self.world.start(self.created, name, {})

    def stop(self, name):
        self.world.step_functions.handle("StopExecution", {"executionArn": self.arns[name]})

    def redrive(self, name):
        self.world.step_functions.handle("RedriveExecution", {"executionArn": self.arns[name]})

    def tell(self, *happens):
        """(seconds, what, run) one after the other; then everything runs to its end."""
        for moment, what, name in happens:
            if moment:
                self.world.clock.run(moment)
            getattr(self, what)(name)
        for arn in self.arns.values():
            self.world.wait(arn)
        return self

    def run(self, name):
        run = Run.__new__(Run)
        run.world, run.arn, run.definition = self.world, self.arns[name], self.machine
        return run

    @property
    def jobs(self):
        return self.run(next(iter(self.arns))).jobs


def overlapping(jobs):
    """Pairs of jobs that lived at the same time on the same checkpoint prefix."""
    found = []
    for index, one in enumerate(jobs):
        for other in jobs[index + 1 :]:
            if one["CheckpointConfig"]["S3Uri"] == other["CheckpointConfig"]["S3Uri"]:
                end = one.get("TrainingEndTime") or one["LastModifiedTime"]
                if one["TrainingJobStatus"] == "InProgress" or other["CreationTime"] < end:
                    found.append((one["TrainingJobName"], other["TrainingJobName"]))
    return found


@pytest.mark.parametrize("on_sigterm", ["save", "exit", "ignore"])
def test_a_redrive_waits_until_the_job_that_was_stopped_has_ended(on_sigterm):
    # given a run that is stopped and redriven a second later, while its job still has 120 s to save
    story = Story(OWN, on_sigterm).tell((0, "start", "a"), (500, "stop", "a"), (501, "redrive", "a"))

    assert len(story.jobs) == 2
    assert overlapping(story.jobs) == []
    assert story.run("a").ended["status"] == "SUCCEEDED"
    first, second = story.run("a").results["train"]["ledger"]
    assert (first["outcome"], second["outcome"]) == ("stopped with the run", "completed")
    assert second["resumed_step"] >= 35  # it goes on where the first one was


def test_a_stop_with_the_run_costs_no_budget():
    happens = [(0, "start", "a")]
    for moment in (250, 750, 1250, 1750):
        happens += [(moment, "stop", "a"), (moment + 250, "redrive", "a")]

    story = Story(OWN).tell(*happens)

    ledger = story.run("a").results["train"]["ledger"]
    assert [entry["outcome"] for entry in ledger] == ["stopped with the run"] * 4 + ["completed"]
    assert {entry["market"] for entry in ledger} == {"spot"}
    assert overlapping(story.jobs) == []


def test_a_run_that_wants_the_checkpoints_of_another_that_goes_on_is_refused():
    story = Story(SHARED).tell((0, "start", "a"), (300, "start", "b"))

    assert story.run("a").ended["status"] == "SUCCEEDED"
    assert "the checkpoints are being written by another run: a" in story.run("b").ended["cause"]
    assert len(story.jobs) == 1


def test_the_refused_run_can_be_redriven_when_the_other_has_ended():
    story = Story(SHARED).tell((0, "start", "a"), (300, "start", "b"), (3000, "redrive", "b"))

    assert story.run("b").ended["status"] == "SUCCEEDED"
    assert overlapping(story.jobs) == []


def test_a_run_takes_over_from_one_that_ended_when_its_job_has_ended_too():
    story = Story(SHARED).tell((0, "start", "a"), (300, "stop", "a"), (305, "start", "b"))

    assert story.run("b").ended["status"] == "SUCCEEDED"
    assert overlapping(story.jobs) == []
    assert "train: wait for its jobs to end" in story.run("b").states
    [entry] = story.run("b").results["train"]["ledger"]
    assert entry["resumed_step"] > 0  # the prefix is shared: it goes on


def test_a_stopped_run_that_comes_back_finds_its_checkpoints_taken():
    story = Story(SHARED).tell(
        (0, "start", "a"), (300, "stop", "a"), (305, "start", "b"), (900, "redrive", "a")
    )

    assert story.run("b").ended["status"] == "SUCCEEDED"
    assert "written by another run: b" in story.run("a").ended["cause"]
    assert overlapping(story.jobs) == []


def test_runs_with_prefixes_of_their_own_do_not_know_each_other():
    story = Story(OWN).tell((0, "start", "a"), (300, "start", "b"))

    assert {story.run(name).ended["status"] for name in "ab"} == {"SUCCEEDED"}
    assert len({job["CheckpointConfig"]["S3Uri"] for job in story.jobs}) == 2


def test_a_lock_that_cannot_be_read_is_no_free_prefix():
    story = Story(SHARED)
    story.world.objects.put("bucket", "shared/run-1.writer.json", b"{")

    story.tell((0, "start", "a"))

    assert (
        "it cannot be seen" in story.run("a").ended["cause"]
        or "cannot be taken" in story.run("a").ended["cause"]
    )
    assert story.jobs == []


moments = st.lists(
    st.tuples(
        st.integers(1, 900), st.sampled_from(["start", "stop", "redrive"]), st.sampled_from(["a", "b", "c"])
    ),
    max_size=8,
)


@settings(max_examples=60, deadline=None)
@given(moments, st.sampled_from(["save", "exit", "ignore"]), st.booleans())
def test_whatever_people_do_no_prefix_has_two_writers(happens, on_sigterm, shared):
    story = Story(SHARED if shared else OWN, on_sigterm)
    story.start("a")
    now = 0
    for pause, what, name in happens:
        now += pause
        story.world.clock.run(now)
        status = story.run(name).ended["status"] if name in story.arns else None
        allowed = {
            "start": status is None,
            "stop": status == "RUNNING",
            "redrive": status in {"ABORTED", "FAILED"},
        }
        if allowed[what]:
            getattr(story, what)(name)
    story.world.clock.run(now + 20_000)

    assert overlapping(story.jobs) == []
