"""The children of a distributed Map, as the API shows them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.machine.world import TASK, World, assert_shape, machine
from workflows.local.service_errors import ServiceError

# A task of 10 s that fails in the first try of its item when it is told to.
ACT = {
    "Type": "Task",
    "Resource": TASK,
    "Arguments": {
        "seconds": 10,
        "fail": "{% $states.input.fails and $states.context.Execution.RedriveCount = 0 ? 'Boom' : '' %}",
    },
    "Output": "{% $states.context.Execution.Id %}",
}


def spread(fails: list[bool], **more: Any) -> dict[str, Any]:
    """A distributed Map with an item for each entry, labelled `each`."""
    processor = {"ProcessorConfig": {"Mode": "DISTRIBUTED", "ExecutionType": "STANDARD"}}
    state = {
        "Type": "Map",
        "Label": "each",
        "Items": [{"fails": each} for each in fails],
        "ItemProcessor": {**machine(("act", ACT)), **processor},
        **more,
    }
    return machine(("spread", state))


def ask(world: World, operation: str, **request: Any) -> dict[str, Any]:
    answer = world.api.handle(operation, request)
    if operation != "UpdateMapRun":  # whose answer has no members, and so no shape
        assert_shape(operation, answer)
    return answer


def run_of(world: World, execution: str) -> dict[str, Any]:
    [run] = ask(world, "ListMapRuns", executionArn=execution)["mapRuns"]
    return ask(world, "DescribeMapRun", mapRunArn=run["mapRunArn"])


def counts(run: dict[str, Any]) -> dict[str, int]:
    assert run["itemCounts"] == run["executionCounts"]
    return {name: count for name, count in run["executionCounts"].items() if count}


def children(world: World, run: dict[str, Any], **more: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = ask(world, "ListExecutions", mapRunArn=run["mapRunArn"], **more)[
        "executions"
    ]
    return found


def test_a_map_run_counts_its_children_while_they_wait_run_and_end() -> None:
    # given five items, two at once, of which the first fails
    world = World()
    execution = world.start(
        spread([True, False, False, False, False], MaxConcurrency=2, ToleratedFailureCount=1)
    )
    # when it has run for some time
    world.clock.run(15)
    run = run_of(world, execution)
    # then
    assert counts(run) == {"pending": 1, "running": 2, "succeeded": 1, "failed": 1, "total": 5}
    assert (run["status"], run["executionArn"]) == ("RUNNING", execution)
    assert (run["maxConcurrency"], run["toleratedFailureCount"]) == (2, 1)
    assert len(children(world, run)) == 4  # what waits is not there yet
    # and in the end
    world.finish(execution)
    run = run_of(world, execution)
    assert counts(run) == {"succeeded": 4, "failed": 1, "total": 5}
    assert run["status"] == "SUCCEEDED"
    assert (run["stopDate"] - run["startDate"]).total_seconds() == 30


def test_a_child_is_an_execution_with_an_arn_a_history_and_a_machine_of_its_own() -> None:
    world = World()
    execution = world.start(spread([True, False], ToleratedFailureCount=1))
    world.finish(execution)
    run = run_of(world, execution)
    # when the children are listed
    [failed] = children(world, run, statusFilter="FAILED")
    [done] = children(world, run, statusFilter="SUCCEEDED")
    # then they are named after the machine and the label
    prefix = "arn:aws:states:us-east-1:000000000000"
    assert run["mapRunArn"].startswith(f"{prefix}:mapRun:machine-of-run/each:")
    assert done["executionArn"] == f"{prefix}:execution:machine-of-run/each:{done['name']}"
    assert done["stateMachineArn"] == f"{prefix}:stateMachine:machine-of-run/each"
    assert (done["mapRunArn"], done["itemCount"]) == (run["mapRunArn"], 1)
    # and can be looked into
    shown = world.describe(done["executionArn"])
    assert (shown["mapRunArn"], json.loads(shown["output"])) == (run["mapRunArn"], done["executionArn"])
    assert json.loads(shown["input"]) == {"fails": False}
    shown = world.describe(failed["executionArn"])
    assert (shown["error"], shown["redriveStatus"]) == ("Boom", "REDRIVABLE_BY_MAP_RUN")
    assert world.types(done["executionArn"]) == [
        "ExecutionStarted",
        "TaskStateEntered",
        "TaskScheduled",
        "TaskStarted",
        "TaskSucceeded",
        "TaskStateExited",
        "ExecutionSucceeded",
    ]
    found = ask(world, "DescribeStateMachineForExecution", executionArn=done["executionArn"])
    assert (found["label"], found["mapRunArn"]) == ("each", run["mapRunArn"])


@pytest.mark.parametrize("dies", [False, True])
def test_a_redrive_goes_on_with_the_children_that_did_not_succeed(dies: bool, tmp_path: Path) -> None:
    # given three items one after the other, of which the second fails
    world = World(tmp_path)
    execution = world.start(spread([False, True, False], MaxConcurrency=1))
    world.finish(execution)
    run = run_of(world, execution)
    assert (run["status"], counts(run)) == ("FAILED", {"pending": 1, "succeeded": 1, "failed": 1, "total": 3})
    before = children(world, run)
    if dies:
        world = World(tmp_path)
        assert children(world, run) == before
        assert run_of(world, execution) == run
    # when
    world.redrive(execution)
    world.clock.run(world.clock.seconds() + 5)
    # then the second runs again, in the same execution, and the third still waits
    run = run_of(world, execution)
    assert (run["status"], run["redriveCount"]) == ("RUNNING", 1)
    assert counts(run) == {"pending": 1, "running": 1, "succeeded": 1, "total": 3}
    [again] = children(world, run, redriveFilter="REDRIVEN")
    assert world.finish(execution)["status"] == "SUCCEEDED"
    assert counts(run_of(world, execution)) == {"succeeded": 3, "total": 3}
    types = world.types(again["executionArn"])
    assert [kind for kind in types if kind.startswith("Execution")] == [
        "ExecutionStarted",
        "ExecutionFailed",
        "ExecutionRedriven",
        "ExecutionSucceeded",
    ]


def test_children_that_ran_when_the_process_died_are_aborted_with_their_run(tmp_path: Path) -> None:
    dying = World(tmp_path)
    execution = dying.start(spread([False] * 3, MaxConcurrency=2))
    dying.clock.run(5)
    # when another process reads the folder
    world = World(tmp_path)
    run = run_of(world, execution)
    # then
    assert (run["status"], counts(run)) == ("ABORTED", {"pending": 1, "aborted": 2, "total": 3})
    # and their redrive starts those anew that were cut off
    world.redrive(execution)
    assert counts(run_of(world, execution)) == {"pending": 1, "aborted": 2, "total": 3}
    assert world.finish(execution)["status"] == "SUCCEEDED"
    assert [child["redriveCount"] for child in children(world, run)].count(1) == 2


def test_a_run_that_is_stopped_stops_its_children_and_a_child_can_be_stopped_alone() -> None:
    # given a run that tolerates a failure, one of whose children is stopped
    world = World()
    execution = world.start(spread([False] * 3, ToleratedFailureCount=1))
    world.clock.run(5)
    first, *_ = children(world, run_of(world, execution))
    world.stop(first["executionArn"])
    world.clock.run(6)
    assert counts(run_of(world, execution)) == {"running": 2, "aborted": 1, "total": 3}
    # when the whole is stopped, and redriven in the same moment
    world.stop(execution)
    assert run_of(world, execution)["status"] == "ABORTED"
    world.redrive(execution)
    # then all three go on to their ends
    assert world.finish(execution)["status"] == "SUCCEEDED"
    assert counts(run_of(world, execution)) == {"succeeded": 3, "total": 3}
    assert len(world.script.stopped) == 3


def test_the_limits_of_a_map_run_can_be_changed_while_it_runs() -> None:
    # given four items one after the other, without tolerance
    world = World()
    execution = world.start(spread([False, True, False, False], MaxConcurrency=1))
    world.clock.run(5)
    arn = run_of(world, execution)["mapRunArn"]
    # when
    ask(world, "UpdateMapRun", mapRunArn=arn, maxConcurrency=4, toleratedFailurePercentage=25)
    # then three more start at once
    world.clock.run(6)
    assert counts(run_of(world, execution)) == {"running": 4, "total": 4}
    assert world.finish(execution)["status"] == "SUCCEEDED"
    assert world.clock.seconds() == pytest.approx(15, abs=0.1)


def test_what_cannot_be_done_with_children_and_map_runs_is_refused() -> None:
    world = World()
    execution = world.start(spread([True]))
    world.finish(execution)
    run = run_of(world, execution)
    [child] = children(world, run)

    def refusal(operation: str, **request: Any) -> str:
        with pytest.raises(ServiceError) as error:
            world.api.handle(operation, request)
        return error.value.code

    gone = run["mapRunArn"][:-1] + "x"
    assert refusal("RedriveExecution", executionArn=child["executionArn"]) == "ExecutionNotRedrivable"
    assert refusal("UpdateMapRun", mapRunArn=run["mapRunArn"], maxConcurrency=1) == "ValidationException"
    assert refusal("DescribeMapRun", mapRunArn=gone) == "ResourceNotFound"
    assert refusal("ListExecutions", mapRunArn=gone) == "ResourceNotFound"
    assert refusal("DescribeMapRun", mapRunArn=execution) == "InvalidArn"
    assert refusal("DescribeExecution", executionArn=child["executionArn"] + "x") == "ExecutionDoesNotExist"


def test_a_world_that_is_opened_anew_gives_no_child_and_no_run_an_old_name(tmp_path: Path) -> None:
    def start(world: World, machine: str, **more: str) -> str:
        request = {"stateMachineArn": machine, **more}
        return str(world.api.handle("StartExecution", request)["executionArn"])

    # given runs of a machine with a Map, one with a name and one without, in a world that has ended
    first = World(tmp_path)
    spreading = first.create(spread([False, False]), "spreading")
    before = [start(first, spreading, name="one"), start(first, spreading)]
    for run in before:
        first.finish(run)
    # when other worlds, with the same seed, run it on the same folder
    for _ in range(3):
        world = World(tmp_path)
        again = start(world, spreading)
        # then nothing is taken for what it is not
        assert again not in before
        assert world.finish(again)["status"] == "SUCCEEDED"
        before.append(again)
