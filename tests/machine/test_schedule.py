"""A schedule delivers at least once and looks for nobody: one run for each time, and none beside another."""

import itertools
import json
from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.machine.pipelines import Run, definition, pipeline
from workflows.local.clock import EPOCH
from workflows.local.sagemaker.work_model import Failure, WorkModel
from workflows.local.service_errors import ServiceError
from workflows.local.virtual import VirtualWorld
from workflows.specification.run_input import RunInputError, check_input
from workflows.state_machine import worst_case
from workflows.state_machine.schedule_lock import MOST_TRIES, schedule_key

FOUND = pipeline({"name": "train"})
LOCK = schedule_key("demo")
HOUR = 3600
TASK, PLAIN, RETRY = 5, 2, 3  # events of a task's state, of one without a task, of a call that is retried
SCHEDULE = [
    "run: take the schedule",
    "run: who has the schedule",
    "run: does its run go on",
    "run: is the schedule free",
]
STAGE = [
    *("train: on spot", "train: is it whole", "train: done"),
    *("train: write down", "train: measure", "train: what next", "run: done"),
]


def at(seconds):
    """The scheduled time so long after the world's beginning, as EventBridge Scheduler writes it."""
    return (EPOCH + timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%SZ")


class Story:
    """Deliveries of one pipeline's schedule, and runs that people start."""

    def __init__(self, **model):
        self.machine = definition(FOUND)
        work = {"seconds": 1200, "steps": 100, "save_every": 60, **model}
        self.world = VirtualWorld({"train": WorkModel(**work)}, bucket="bucket")
        self.created = self.world.install("demo", self.machine)
        self.arns = {}

    def until(self, moment):
        if moment > self.world.clock.seconds():
            self.world.clock.run(moment)
        return self

    def deliver(self, name, scheduled=None, **more):
        run_input = more | ({} if scheduled is None else {"scheduled": at(scheduled)})
        self.arns[name] = self.world.start(self.created, name, run_input)
        return self

    def stop(self, name):
        self.world.step_functions.handle("StopExecution", {"executionArn": self.arns[name]})
        return self

    def redrive(self, name):
        self.world.step_functions.handle("RedriveExecution", {"executionArn": self.arns[name]})
        return self

    def to_the_end(self):
        for arn in self.arns.values():
            self.world.wait(arn)
        return self

    def run(self, name):
        run = Run.__new__(Run)
        run.world, run.arn, run.definition = self.world, self.arns[name], self.machine
        return run

    def status(self, name):
        return self.run(name).ended["status"]

    def dropped(self, name):
        """Why it was, "" when it was not."""
        ended = self.run(name).ended
        return (
            json.loads(ended.get("output", "{}")).get("dropped", "") if ended["status"] == "SUCCEEDED" else ""
        )

    @property
    def holder(self):
        return json.loads(self.world.objects.get("bucket", LOCK))


def test_the_first_run_of_a_schedule_takes_it_and_pays_two_transitions():
    story = Story().deliver("a", 0).to_the_end()

    assert story.run("a").states == [
        "as written",
        "start",
        "can it start",
        SCHEDULE[0],
        "run: has the schedule",
        *STAGE,
    ]
    assert story.holder == {"execution": story.arns["a"], "run": "a", "scheduled": at(0)}


def test_a_run_that_a_person_starts_takes_no_schedule_and_pays_nothing():
    story = Story().deliver("a", 0).deliver("manual").to_the_end()

    assert story.run("manual").states == ["as written", "start", "can it start", *STAGE]
    assert story.holder["run"] == "a"


def test_a_run_that_is_delivered_twice_is_one_run():
    story = Story().deliver("a", 0).until(5).deliver("b", 0).to_the_end()

    assert story.dropped("b") == f"the run a was started for {at(0)}"
    assert story.run("b").states == ["as written", "start", "can it start", *SCHEDULE, "run: dropped"]
    assert len(story.run("a").jobs) == 1


def test_so_it_is_when_the_second_comes_after_the_first_has_ended():
    story = Story().deliver("a", 0).until(9 * HOUR).deliver("b", 0).to_the_end()

    assert story.dropped("b") == f"the run a was started for {at(0)}"


def test_two_that_are_delivered_at_the_same_instant_race_and_one_wins():
    story = Story().deliver("a", 0).deliver("b", 0).to_the_end()

    assert sorted(bool(story.dropped(name)) for name in "ab") == [False, True]
    assert len(story.run("a").jobs) == 1


def test_a_run_whose_predecessor_still_goes_on_is_dropped():
    story = Story(seconds=2 * HOUR).deliver("a", 0).until(HOUR).deliver("b", HOUR).to_the_end()

    assert story.dropped("b") == f"the run a, started for {at(0)}, still goes on"
    assert story.holder["run"] == "a"


def test_what_is_delivered_late_is_dropped_for_a_later_one():
    story = (
        Story().deliver("b", 0).until(2 * HOUR).deliver("c", 2 * HOUR).until(4 * HOUR).deliver("late", HOUR)
    )

    assert story.to_the_end().dropped("late") == f"the run c was started for {at(2 * HOUR)}"


@pytest.mark.parametrize("failed", [True, False])
def test_a_run_takes_the_schedule_over_from_one_that_has_ended_however_it_ended(failed):
    story = Story(failures=(Failure(text="AlgorithmError: no", after=30),) if failed else ())
    story.deliver("a", 0).until(2 * HOUR).deliver("b", 2 * HOUR).to_the_end()

    assert story.status("a") == ("FAILED" if failed else "SUCCEEDED")
    assert story.status("b") == "SUCCEEDED"
    assert story.run("b").states[3:9] == [*SCHEDULE, "run: take the schedule over", "run: has the schedule"]
    assert story.holder == {"execution": story.arns["b"], "run": "b", "scheduled": at(2 * HOUR)}


def test_two_that_would_take_over_at_the_same_instant_race_and_one_wins():
    story = Story().deliver("a", 0).until(2 * HOUR).deliver("b", 2 * HOUR).deliver("c", 2 * HOUR).to_the_end()

    assert sorted(bool(story.dropped(name)) for name in "bc") == [False, True]


def test_a_run_that_was_stopped_goes_on_after_a_redrive_and_the_next_one_sees_it():
    story = Story(seconds=2 * HOUR).deliver("a", 0).until(600).stop("a").until(900).redrive("a")
    story.until(HOUR).deliver("b", HOUR).to_the_end()

    assert story.status("a") == "SUCCEEDED"
    assert story.dropped("b") == f"the run a, started for {at(0)}, still goes on"


def test_a_run_that_could_not_see_who_has_the_schedule_sees_it_after_a_redrive(monkeypatch):
    story = Story().deliver("a", 0).until(2 * HOUR)
    call = story.world.objects.call

    def broken(operation, arguments):
        if operation == "GetObject" and arguments["Key"] == LOCK:
            raise ServiceError("InternalError", "We encountered an internal error.", 500)
        return call(operation, arguments)

    monkeypatch.setattr(story.world.objects, "call", broken)
    story.deliver("b", 2 * HOUR).until(3 * HOUR)
    assert (story.status("b"), story.run("b").states[-1]) == ("FAILED", "run: who has the schedule")
    monkeypatch.undo()

    story.redrive("b").to_the_end()

    assert story.status("b") == "SUCCEEDED"
    assert story.holder["run"] == "b"


def test_a_run_whose_write_was_answered_by_nobody_finds_itself(monkeypatch):
    story, lost = Story(), [True]
    call = story.world.objects.call

    def unanswered(operation, arguments):
        answer = call(operation, arguments)
        if operation == "PutObject" and arguments["Key"] == LOCK and lost:
            lost.clear()
            raise ServiceError("InternalError", "We encountered an internal error.", 500)
        return answer

    monkeypatch.setattr(story.world.objects, "call", unanswered)
    story.deliver("a", 0).to_the_end()

    assert story.run("a").states[3:8] == [*SCHEDULE, "run: has the schedule"]
    assert (story.status("a"), story.dropped("a")) == ("SUCCEEDED", "")


def test_a_schedule_that_may_not_be_written_fails_the_run_and_does_not_try_for_ever(monkeypatch):
    story = Story().deliver("a", 0).until(2 * HOUR)
    call = story.world.objects.call

    def denied(operation, arguments):
        if operation == "PutObject" and arguments["Key"] == LOCK:
            raise ServiceError("AccessDenied", "not authorized to perform: s3:PutObject", 403)
        return call(operation, arguments)

    monkeypatch.setattr(story.world.objects, "call", denied)
    story.deliver("b", 2 * HOUR).to_the_end()

    ended = story.run("b").ended
    assert (ended["status"], ended["error"]) == ("FAILED", "Relay.CannotTakeSchedule")
    assert "the run a, which has ended, could not be taken over" in ended["cause"]


def test_a_time_that_is_still_to_come_is_refused_for_it_would_keep_the_schedule():
    story = Story().deliver("a", 2 * HOUR).to_the_end()

    assert f"scheduled: {at(2 * HOUR)} is still to come" in story.run("a").ended["cause"]
    assert LOCK not in story.world.objects.list("bucket", "")


@pytest.mark.parametrize(
    "text", ["2026-01-05T00:00:00Z", "2026-01-05T00:00:00.000Z", "2026-01-05T01:00:00+01:00"]
)
def test_the_time_is_told_apart_from_others_however_it_is_written(text):
    story = Story().deliver("a", 0).until(9 * HOUR)
    story.arns["b"] = story.world.start(story.created, "b", {"scheduled": text})

    assert story.to_the_end().dropped("b")


@pytest.mark.parametrize("text", ["tomorrow", "2026-13-01T00:00:00Z", "<aws.scheduler.scheduled-time>"])
def test_what_is_no_time_is_refused_by_the_schema(text):
    with pytest.raises(
        RunInputError, match=r"run input\.scheduled: found .*, expected the time of a schedule"
    ):
        check_input(FOUND, {"scheduled": text})


def test_the_ledger_tells_that_a_run_was_dropped():
    story = Story().deliver("a", 0).until(5).deliver("b", 0).to_the_end()

    assert story.run("b").view.dropped == f"the run a was started for {at(0)}"
    assert story.run("a").view.dropped == ""


def test_taking_the_schedule_adds_no_more_events_than_reckoned():
    story = Story().deliver("a", 0).until(2 * HOUR).deliver("b", 2 * HOUR).to_the_end()
    events = len(story.world.history(story.arns["b"]))
    undisturbed = worst_case.OF_THE_RUN + worst_case.OF_A_STAGE

    assert events - undisturbed == 4 * TASK + 2 * PLAIN
    # At worst each call is retried four times, and the way round to who has it is taken MOST_TRIES times.
    once, choice = TASK + 4 * RETRY, PLAIN
    ways = MOST_TRIES * (3 * once + choice) + 2 * once + choice
    assert once + ways + PLAIN <= worst_case.OF_A_SCHEDULE <= 1.1 * (once + ways + PLAIN)


moments = st.lists(st.tuples(st.integers(0, 5000), st.integers(0, 8)), min_size=1, max_size=7)


@settings(max_examples=60, deadline=None)
@given(moments, st.sampled_from(["0", "1"]))
def test_whatever_is_delivered_when_no_two_runs_overlap_and_no_time_has_two(deliveries, fails):
    # given deliveries after pauses, each for a time of so many hours ago, some of them failing
    story = Story(failures=(Failure(text="AlgorithmError: no", after=30),) if fails == "1" else ())
    now, times = 9 * HOUR, {}
    story.until(now)
    for number, (pause, ago) in enumerate(deliveries):
        now += pause
        story.until(now)
        times[f"r{number}"] = HOUR * (now // HOUR - ago)
        story.deliver(f"r{number}", times[f"r{number}"])

    # when all have ended
    story.to_the_end()

    # then those that were not dropped follow each other, for times that follow each other
    ran = [name for name in times if "run: has the schedule" in story.run(name).states]
    spans = sorted((story.run(n).ended["startDate"], story.run(n).ended["stopDate"], times[n]) for n in ran)
    for (_, ended, before), (began, _, after) in itertools.pairwise(spans):
        assert ended <= began
        assert before < after
    assert ran
