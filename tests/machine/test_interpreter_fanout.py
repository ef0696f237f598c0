"""Parallel and Map: side by side, in order, within their limits, and cut off together."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.machine.world import TASK, World, machine

DISTRIBUTED = {"ProcessorConfig": {"Mode": "DISTRIBUTED", "ExecutionType": "STANDARD"}}


def act(name: str = "act", **arguments: Any) -> tuple[str, dict[str, Any]]:
    return name, {"Type": "Task", "Resource": TASK, "Arguments": arguments}


def each(items: Any, *states: tuple[str, dict[str, Any]], **more: Any) -> dict[str, Any]:
    return {"Type": "Map", "Items": items, "ItemProcessor": machine(*states), **more}


def spread(items: Any, *states: tuple[str, dict[str, Any]], **more: Any) -> dict[str, Any]:
    state = each(items, *states, **more)
    state["ItemProcessor"] |= DISTRIBUTED
    return state


def test_branches_run_side_by_side_and_their_outputs_keep_their_order() -> None:
    # given branches of 3 s and 1 s, both fed by the Arguments
    world = World()
    echo = {"Type": "Pass", "Output": "{% $states.input.n & '-' & $v %}"}
    branches = [
        machine(("slow", {"Type": "Wait", "Seconds": 3}), ("a", echo)),
        machine(("quick", {"Type": "Wait", "Seconds": 1}), ("b", echo)),
    ]
    states = machine(
        ("set", {"Type": "Pass", "Assign": {"v": "outer"}}),
        ("both", {"Type": "Parallel", "Arguments": {"n": 7}, "Branches": branches}),
    )
    # then
    assert world.output(states) == ["7-outer", "7-outer"]
    assert world.clock.seconds() == pytest.approx(3, abs=0.01)


def test_a_branch_cannot_see_what_its_sibling_or_its_inside_assigns() -> None:
    world = World()
    inner = {"Type": "Pass", "Assign": {"own": "{% $states.input %}"}}
    show = {"Type": "Pass", "Output": "{% $exists($own) ? $own : 'none' %}"}
    states = machine(
        ("each", each([1, 2], ("set", inner), ("show", show))),
        ("after", {**show, "Output": ["{% $states.input %}", "{% $exists($own) %}"]}),
    )
    assert world.output(states) == [[1, 2], False]


def test_a_failing_branch_cuts_off_its_siblings_wherever_they_are() -> None:
    # given siblings inside a task, a wait, and a map within a parallel
    world = World()
    deep = machine(
        ("deep", {"Type": "Parallel", "Branches": [machine(("m", each([1, 2], act("inner", seconds=60))))]})
    )
    branches = [
        machine(act(seconds=60)),
        machine(("wait", {"Type": "Wait", "Seconds": 60})),
        deep,
        machine(act("failing", seconds=5, fail="Boom")),
    ]
    # when
    execution = world.start(machine(("all", {"Type": "Parallel", "Branches": branches})))
    ended = world.finish(execution)
    # then all were stopped, and the history says so before the Parallel fails
    assert ended["error"] == "Boom"
    assert world.script.stopped == [(name, "aborted") for name in ("act", "inner", "inner")]
    types = world.types(execution)
    cut = types[types.index("TaskFailed") + 1 :]
    assert sorted(cut[:-2]) == [
        "MapIterationAborted",
        "MapIterationAborted",
        "MapStateAborted",
        "ParallelStateAborted",
        "TaskStateAborted",
        "TaskStateAborted",
        "TaskStateAborted",
        "WaitStateAborted",
    ]
    assert cut[-2:] == ["ParallelStateFailed", "ExecutionFailed"]


def test_a_parallel_that_is_retried_starts_all_its_branches_anew() -> None:
    world = World()
    fails = act("fails", seconds=2, fail="{% $states.context.Execution.Name = 'run' ? 'Boom' : '' %}")
    retry = [{"ErrorEquals": ["Boom"], "MaxAttempts": 2}]
    branches = [machine(act(seconds=1)), machine(fails)]
    execution = world.start(machine(("both", {"Type": "Parallel", "Branches": branches, "Retry": retry})))
    assert world.finish(execution)["error"] == "Boom"
    assert len(world.script.calls) == 6
    assert world.types(execution).count("ParallelStateStarted") == 3


def test_a_map_gives_each_item_its_index_and_value_and_keeps_the_order() -> None:
    # given items that take less and less time
    world = World()
    selector = {
        "seconds": "{% 9 - $states.context.Map.Item.Index %}",
        "result": ["{% $states.context.Map.Item.Value %}", "{% $states.input.all %}"],
    }
    do = {"Type": "Task", "Resource": TASK, "Arguments": "{% $states.input %}"}
    states = machine(("each", each("{% $states.input.items %}", ("do", do), ItemSelector=selector)))
    # then
    output = world.output(states, {"items": ["a", "b", None], "all": 1})
    assert output == [["a", 1], ["b", 1], [None, 1]]
    assert world.clock.seconds() == pytest.approx(9, abs=0.01)


@pytest.mark.parametrize(("limit", "seconds"), [(1, 60), (2, 30), (0, 20), (50, 20)])
def test_concurrency_is_what_was_asked_for_but_never_over_40_inline(limit: int, seconds: int) -> None:
    world = World()
    count = 6 if limit in (1, 2) else 80
    items = f"{{% $range(1, {count}, 1) %}}"
    world.output(machine(("each", each(items, act(seconds=10), MaxConcurrency=limit))))
    assert world.clock.seconds() == pytest.approx(seconds, abs=0.01)


def test_an_empty_map_is_an_empty_list() -> None:
    assert World().output(machine(("each", each([], act())))) == []


def test_a_failing_iteration_starts_no_more_and_says_which_it_was() -> None:
    world = World()
    fails = act(fail="{% $states.input = 2 ? 'Boom' : '' %}")
    execution = world.start(machine(("each", each([1, 2, 3, 4], fails, MaxConcurrency=1))))
    assert world.finish(execution)["error"] == "Boom"
    assert len(world.script.calls) == 2
    [failed] = [e for e in world.events(execution) if e["type"] == "MapIterationFailed"]
    assert failed["mapIterationFailedEventDetails"] == {"name": "each", "index": 1}


def test_a_distributed_map_has_histories_and_names_of_its_own() -> None:
    world = World()
    show = {"Type": "Pass", "Output": "{% $states.context.Execution %}"}
    execution = world.start(machine(("each", spread([{"n": 1}, {"n": 2}], ("show", show)))))
    first, second = json.loads(world.finish(execution)["output"])
    assert first["Input"] == {"n": 1}
    assert first["Id"] != second["Id"] != execution
    assert world.types(execution) == [
        "ExecutionStarted",
        "MapStateEntered",
        "MapStateStarted",
        "MapRunStarted",
        "MapRunSucceeded",
        "MapStateSucceeded",
        "MapStateExited",
        "ExecutionSucceeded",
    ]


@pytest.mark.parametrize(
    ("tolerated", "status"),
    [
        ({}, "FAILED"),
        ({"ToleratedFailureCount": 1}, "FAILED"),
        ({"ToleratedFailureCount": 2}, "SUCCEEDED"),
        ({"ToleratedFailurePercentage": 50}, "SUCCEEDED"),
        ({"ToleratedFailurePercentage": 49}, "FAILED"),
        ({"ToleratedFailureCount": 3, "ToleratedFailurePercentage": 25}, "FAILED"),
    ],
)
def test_a_distributed_map_tolerates_as_many_failures_as_it_says(
    tolerated: dict[str, Any], status: str
) -> None:
    # given four items of which two fail
    fails = act(fail="{% $states.input > 2 ? 'Boom' : '' %}")
    ended = World().run(machine(("each", spread([1, 2, 3, 4], fails, **tolerated))))
    assert ended["status"] == status
    if status == "FAILED":
        assert ended["error"] == "States.ExceedToleratedFailureThreshold"


def test_an_iteration_of_a_distributed_map_may_use_up_25_000_events_alone() -> None:
    # given 10 iterations of 3,000 transitions each: 60,000 events in all
    world = World()
    body = machine(
        ("set", {"Type": "Pass", "Assign": {"n": 0}}),
        ("add", {"Type": "Pass", "Assign": {"n": "{% $n + 1 %}"}}),
        (
            "again",
            {
                "Type": "Choice",
                "Choices": [{"Condition": "{% $n < 1500 %}", "Next": "add"}],
                "Default": "end",
            },
        ),
        ("end", {"Type": "Succeed", "Output": "{% $n %}"}),
    )
    state = {"Type": "Map", "Items": "{% $range(1, 10, 1) %}", "ItemProcessor": {**body, **DISTRIBUTED}}
    assert world.output(machine(("each", state))) == [1500] * 10


def test_a_thousand_branches_deep_in_time_do_not_deepen_the_stack() -> None:
    # given a loop of 10,000 transitions within a branch
    body = machine(
        ("set", {"Type": "Pass", "Assign": {"n": 0}}),
        ("add", {"Type": "Pass", "Assign": {"n": "{% $n + 1 %}"}}),
        (
            "again",
            {
                "Type": "Choice",
                "Choices": [{"Condition": "{% $n < 5000 %}", "Next": "add"}],
                "Default": "end",
            },
        ),
        ("end", {"Type": "Succeed", "Output": "{% $n %}"}),
    )
    states = machine(("all", {"Type": "Parallel", "Branches": [body]}))
    assert World().output(states) == [5000]
