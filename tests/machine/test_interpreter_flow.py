"""States follow each other as the States Language says."""

from __future__ import annotations

from tests.machine.world import TASK, World, machine


def test_assign_and_output_both_see_the_old_values() -> None:
    # given a state that swaps two variables and shows one of them
    world = World()
    states = machine(
        ("first", {"Type": "Pass", "Assign": {"a": 1, "b": 2}}),
        (
            "swap",
            {"Type": "Pass", "Assign": {"a": "{% $b %}", "b": "{% $a %}"}, "Output": "{% $a %}"},
        ),
        ("show", {"Type": "Pass", "Output": ["{% $states.input %}", "{% $a %}", "{% $b %}"]}),
    )
    # then its output is the old value, and the next state sees the new ones
    assert world.output(states) == [1, 2, 1]


def test_the_history_of_a_task_has_awss_events_in_awss_order() -> None:
    # given a machine of one task
    world = World()
    # when it runs
    execution = world.start(machine(("act", {"Type": "Task", "Resource": TASK, "Arguments": {}})))
    world.finish(execution)
    # then
    assert world.types(execution) == [
        "ExecutionStarted",
        "TaskStateEntered",
        "TaskScheduled",
        "TaskStarted",
        "TaskSucceeded",
        "TaskStateExited",
        "ExecutionSucceeded",
    ]
    chain = [(event["id"], event["previousEventId"]) for event in world.events(execution)]
    assert chain == [(1, 0), (2, 0), (3, 2), (4, 3), (5, 4), (6, 5), (7, 6)]
