"""Whatever a machine does, its history hangs together, and a redrive can always take it up."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.machine.world import TASK, World, machine

Named = tuple[str, dict[str, Any]]


def chain(bodies: list[dict[str, Any]]) -> dict[str, Any]:
    return machine(*[(f"s{place}", body) for place, body in enumerate(bodies)])


def parallel(branches: list[dict[str, Any]]) -> dict[str, Any]:
    return {"Type": "Parallel", "Branches": branches}


def each(count: int, limit: int, body: dict[str, Any], distributed: bool) -> dict[str, Any]:
    config = {"ProcessorConfig": {"Mode": "DISTRIBUTED", "ExecutionType": "STANDARD"}}
    processor = {**body, **(config if distributed else {})}
    items = list(range(count))
    return {"Type": "Map", "Items": items, "MaxConcurrency": limit, "ItemProcessor": processor}


# A task fails in the first try of its execution only, so that a redrive gets past it. An iteration of a
# distributed Map is an execution of its own: one that has not begun has its first try in the redrive.
FAILS = "{% $states.context.Execution.RedriveCount = 0 ? 'Boom' : '' %}"
LEAVES = st.one_of(
    st.just({"Type": "Pass", "Output": "{% $states.context.State.Name %}"}),
    st.integers(0, 5).map(lambda seconds: {"Type": "Wait", "Seconds": seconds}),
    st.builds(
        lambda seconds, fails: {
            "Type": "Task",
            "Resource": TASK,
            "Arguments": {"seconds": seconds, **({"fail": FAILS} if fails else {})},
            "Retry": [{"ErrorEquals": ["Other"]}],
        },
        st.integers(0, 5),
        st.sampled_from([True, False, False, False]),
    ),
)
BODIES = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.lists(st.lists(inner, min_size=1, max_size=3).map(chain), min_size=1, max_size=3).map(parallel),
        st.builds(
            each,
            st.integers(0, 4),
            st.integers(0, 2),
            st.lists(inner, min_size=1, max_size=3).map(chain),
            st.booleans(),
        ),
    ),
    max_leaves=8,
)


def apart(body: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """The same states under names that each occur once in the whole machine."""
    states = {}
    for name, state in body["States"].items():
        inner = f"{prefix}{name}."
        named = {**state, **({"Next": prefix + state["Next"]} if "Next" in state else {})}
        if "Branches" in state:
            named["Branches"] = [
                apart(each, f"{inner}{place}") for place, each in enumerate(state["Branches"])
            ]
        if "ItemProcessor" in state:
            named["ItemProcessor"] = apart(state["ItemProcessor"], inner)
        states[prefix + name] = named
    return {**body, "StartAt": prefix + body["StartAt"], "States": states}


MACHINES = st.lists(BODIES, min_size=1, max_size=3).map(chain).map(apart)


def finish(world: World, execution: str) -> dict[str, Any]:
    """Redriven as often as it fails."""
    while (ended := world.finish(execution))["status"] != "SUCCEEDED":
        # Children of a distributed Map, one at a time, may need a redrive each: 3 x (4 + 3) has been drawn.
        assert ended["redriveCount"] < 1000
        world.redrive(execution)
    return ended


def assert_hangs_together(events: list[dict[str, Any]]) -> None:
    assert [event["id"] for event in events] == list(range(1, len(events) + 1))
    assert all(event["previousEventId"] < event["id"] for event in events)
    times = [event["timestamp"] for event in events]
    assert times == sorted(times)
    assert [event["type"] for event in events].count("ExecutionStarted") == 1
    ends = [event for event in events if event["type"].startswith("Execution")]
    for kind in ("Wait", "Task", "Parallel", "Map"):
        entered = sum(event["type"] == f"{kind}StateEntered" for event in events)
        left = sum(event["type"] == f"{kind}StateExited" for event in events)
        assert left <= entered
    if ends[-1]["type"] == "ExecutionSucceeded":
        # Every state that was entered was left in the end, however often it was cut off before.
        kinds = {event["type"].removesuffix("Entered") for event in events if "Entered" in event["type"]}
        for kind in kinds:
            entered = sum(event["type"] == f"{kind}Entered" for event in events)
            assert entered == sum(event["type"] == f"{kind}Exited" for event in events)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(MACHINES, st.integers(0, 12))
def test_a_run_stopped_at_any_moment_goes_on_to_the_same_output(
    states: dict[str, Any], stop_after: int
) -> None:
    # given the output of an undisturbed run
    calm = World()
    execution = calm.start(states)
    expected = finish(calm, execution)
    assert_hangs_together(calm.events(execution))
    # when another is stopped at some moment and then redriven
    world = World()
    execution = world.start(states)
    world.clock.run(stop_after + 0.5)
    world.stop(execution)
    # then it ends with the same output
    assert finish(world, execution)["output"] == expected["output"]
    assert_hangs_together(world.events(execution))


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(MACHINES, st.integers(0, 12))
def test_a_run_whose_process_dies_at_any_moment_goes_on_to_the_same_output(
    states: dict[str, Any], dies_after: int
) -> None:
    # given
    calm = World()
    execution = calm.start(states)
    expected = finish(calm, execution)["output"]
    with TemporaryDirectory() as folder:
        # when its process dies and another one takes the run up
        dying = World(Path(folder))
        dying.start(states)
        dying.clock.run(dies_after + 0.5)
        world = World(Path(folder))
        # then
        assert finish(world, execution)["output"] == expected


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(MACHINES)
def test_the_same_world_tells_the_same_history_to_the_last_id(states: dict[str, Any]) -> None:
    histories = []
    for _ in range(2):
        world = World()
        execution = world.start(states)
        world.finish(execution)
        histories.append(world.events(execution))
    assert histories[0] == histories[1]
