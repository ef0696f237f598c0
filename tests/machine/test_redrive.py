"""A redrive goes on from what failed or was stopped, in this process or the next."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.machine.world import JOB, TASK, World, machine
from workflows.local.service_errors import ServiceError, TaskError


def task(name: str, **arguments: Any) -> tuple[str, dict[str, Any]]:
    return name, {"Type": "Task", "Resource": TASK, "Arguments": {"name": name, **arguments}}


def names(world: World) -> list[str]:
    return [call["name"] for call in world.script.calls]


def test_a_redriven_task_is_scheduled_again_with_new_arguments_and_is_not_entered_again() -> None:
    # given a task that failed on its first redrive count, after a variable was set
    world = World()
    first = {"Type": "Pass", "Assign": {"kept": 5}}
    act = {
        "Type": "Task",
        "Resource": TASK,
        "Arguments": {"fail": "{% $states.context.Execution.RedriveCount = 0 ? 'Boom' : '' %}"},
        "Output": "{% $kept %}",
    }
    execution = world.start(machine(("first", first), ("act", act)))
    assert world.finish(execution)["status"] == "FAILED"
    # when
    world.redrive(execution)
    ended = world.finish(execution)
    # then
    assert (ended["status"], ended["output"], ended["redriveCount"]) == ("SUCCEEDED", "5", 1)
    types = world.types(execution)
    assert types[types.index("ExecutionFailed") + 1 :] == [
        "ExecutionRedriven",
        "TaskScheduled",
        "TaskStarted",
        "TaskSucceeded",
        "TaskStateExited",
        "ExecutionSucceeded",
    ]


def test_a_redrive_starts_the_retries_anew() -> None:
    # given a task that retries once
    world = World()
    retry = [{"ErrorEquals": ["Boom"], "MaxAttempts": 1}]
    state = {"Type": "Task", "Resource": TASK, "Arguments": {"fail": "Boom"}, "Retry": retry}
    counted = {**state, "Arguments": {"fail": "Boom", "n": "{% $states.context.State.RetryCount %}"}}
    execution = world.start(machine(("act", counted)))
    world.finish(execution)
    # when
    world.redrive(execution)
    world.finish(execution)
    # then
    assert [call["n"] for call in world.script.calls] == [0, 1, 0, 1]


def test_only_the_failed_branches_of_a_parallel_go_on() -> None:
    # given three branches: done, failed, and cut off
    world = World()
    world.script.outcomes = ["done", TaskError("Boom", "once")]
    branches = [
        machine(task("quick", seconds=1)),
        machine(task("failing", seconds=2)),
        machine(task("slow", seconds=9)),
    ]
    execution = world.start(machine(("all", {"Type": "Parallel", "Branches": branches})))
    assert world.finish(execution)["error"] == "Boom"
    # when
    world.redrive(execution)
    ended = world.finish(execution)
    # then
    assert json.loads(ended["output"]) == ["done", {"ok": True}, {"ok": True}]
    assert names(world) == ["quick", "failing", "slow", "failing", "slow"]


def test_only_the_failed_iterations_of_a_map_go_on_and_keep_their_item() -> None:
    world = World()
    world.script.outcomes = ["a", TaskError("Boom", "once")]
    act = {
        "Type": "Task",
        "Resource": TASK,
        "Arguments": {
            "name": "{% $states.input %}",
            "place": "{% $states.context.Map.Item.Index %}",
            "seconds": "{% $states.context.Map.Item.Index + 1 %}",
        },
    }
    state = {"Type": "Map", "Items": ["x", "y", "z"], "ItemProcessor": machine(("act", act))}
    execution = world.start(machine(("each", state)))
    world.finish(execution)
    world.redrive(execution)
    assert json.loads(world.finish(execution)["output"]) == ["a", {"ok": True}, {"ok": True}]
    assert names(world) == ["x", "y", "z", "y", "z"]
    assert [call["place"] for call in world.script.calls][3:] == [1, 2]


def test_a_fail_state_is_entered_again_and_fails_again() -> None:
    world = World()
    execution = world.start(machine(("no", {"Type": "Fail", "Error": "No"})))
    world.finish(execution)
    world.redrive(execution)
    ended = world.finish(execution)
    assert (ended["status"], ended["error"]) == ("FAILED", "No")
    assert world.types(execution)[-3:] == [
        "ExecutionRedriven",
        "FailStateEntered",
        "ExecutionFailed",
    ]


def test_a_wait_starts_again_and_a_timestamp_that_passed_is_left_at_once() -> None:
    # given two stopped waits
    world = World()
    seconds = world.start(machine(("wait", {"Type": "Wait", "Seconds": 100})), name="seconds")
    until = {"Type": "Wait", "Timestamp": "2026-01-05T00:01:40Z"}
    moment = world.start(machine(("wait", until)), name="moment")
    world.clock.run(50)
    world.stop(seconds)
    world.stop(moment)
    # when they are redriven late
    world.clock.run(1000)
    world.redrive(seconds)
    world.redrive(moment)
    # then
    assert world.finish(moment)["status"] == "SUCCEEDED"
    assert world.clock.seconds() < 1001
    assert world.finish(seconds)["status"] == "SUCCEEDED"
    assert world.clock.seconds() >= 1100


def test_a_redriven_state_passes_on_its_own_input_not_that_of_the_execution() -> None:
    # given an execution that was stopped in a state whose input is another than its own
    world = World()
    first = {"Type": "Pass", "Output": {"made": "{% null %}"}}
    pause = {"Type": "Wait", "Seconds": 60}
    last = {"Type": "Pass", "Output": "{% $states.input %}"}
    execution = world.start(machine(("first", first), ("pause", pause), ("last", last)), {"given": 1})
    world.clock.run(30.0)
    world.stop(execution)
    # when
    world.redrive(execution)
    ended = world.finish(execution)
    # then
    assert ended["output"] == '{"made":null}'
    told = {event["type"]: event for event in world.events(execution)}
    assert told["WaitStateExited"]["stateExitedEventDetails"]["output"] == '{"made":null}'
    assert told["PassStateEntered"]["stateEnteredEventDetails"]["input"] == '{"made":null}'


@pytest.mark.parametrize(
    ("prepare", "reason"),
    [
        ("running", "Execution is RUNNING and cannot be redriven"),
        ("succeeded", "Execution is SUCCEEDED and cannot be redriven"),
        ("old", "Execution redrivable period exceeded"),
    ],
)
def test_what_cannot_be_redriven_says_why(prepare: str, reason: str) -> None:
    # given
    world = World()
    execution = world.start(machine(task("act", fail="No" if prepare == "old" else "")))
    if prepare != "running":
        world.finish(execution)
    if prepare == "old":
        world.clock.run(15 * 86400)
    # then
    assert world.describe(execution)["redriveStatusReason"] == reason
    with pytest.raises(ServiceError) as refused:
        world.redrive(execution)
    assert (refused.value.code, refused.value.message) == ("ExecutionNotRedrivable", reason)


def test_a_run_outlives_its_process(tmp_path: Path) -> None:
    # given a run that is inside a job, within a parallel, when its process dies
    world = World(tmp_path)
    job = {"Type": "Task", "Resource": JOB, "Arguments": {"name": "job", "seconds": 50}}
    after = {"Type": "Pass", "Output": ["{% $kept %}", "{% $states.input %}"]}
    branches = [machine(task("quick", result="done")), machine(("job", job))]
    states = machine(
        ("set", {"Type": "Pass", "Assign": {"kept": {"$time": None}}}),
        ("both", {"Type": "Parallel", "Branches": branches}),
        ("after", after),
    )
    execution = world.start(states)
    world.clock.run(20)
    # when another one reads the folder
    later = World(tmp_path)
    found = later.describe(execution)
    # then the run is aborted, says so, and goes on when redriven
    assert found["status"] == "ABORTED"
    assert found["cause"] == "the local world was stopped while it ran; redrive it to go on"
    assert "TaskSubmitted" in later.types(execution)
    assert later.types(execution)[-1] == "ExecutionAborted"
    later.redrive(execution)
    ended = later.finish(execution)
    assert json.loads(ended["output"]) == [{"$time": None}, ["done", {"ok": True}]]
    assert names(later) == ["job"]
    # and a third one finds it ended, with the same history
    assert World(tmp_path).events(execution) == later.events(execution)


def test_a_history_whose_last_line_was_cut_is_read_up_to_it(tmp_path: Path) -> None:
    # given a finished run, and half a line after it
    world = World(tmp_path)
    execution = world.start(machine(("end", {"Type": "Succeed"})))
    world.finish(execution)
    [history] = tmp_path.glob("executions/*/*/history.jsonl")
    history.write_text(history.read_text() + '{"type":"Pass')
    # then
    assert World(tmp_path).events(execution) == world.events(execution)
