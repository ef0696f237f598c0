"""Errors are matched, retried and caught as the States Language says."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.machine.world import JOB, TASK, World, machine
from workflows.local.service_errors import TaskError
from workflows.local.step_functions.retry import Retrier, matches


def act(arguments: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    return {"Type": "Task", "Resource": TASK, "Arguments": arguments or {}, **more}


def catching(state: dict[str, Any], *errors: str, **more: Any) -> dict[str, Any]:
    catch = [{"ErrorEquals": list(errors) or ["States.ALL"], "Next": "caught", **more}]
    return {
        "StartAt": "act",
        "States": {"act": {**state, "Catch": catch, "End": True}, "caught": {"Type": "Succeed"}},
    }


@pytest.mark.parametrize(
    ("pattern", "error", "answer"),
    [
        ("States.ALL", "Anything", True),
        ("States.ALL", "States.Timeout", True),
        ("States.ALL", "States.DataLimitExceeded", False),
        ("States.ALL", "States.Runtime", False),
        ("States.Runtime", "States.Runtime", False),
        ("States.DataLimitExceeded", "States.DataLimitExceeded", True),
        ("States.TaskFailed", "Anything", True),
        ("States.TaskFailed", "States.QueryEvaluationError", True),
        ("States.TaskFailed", "States.Timeout", False),
        ("States.TaskFailed", "States.HeartbeatTimeout", False),
        ("States.Timeout", "States.HeartbeatTimeout", True),
        ("States.HeartbeatTimeout", "States.Timeout", False),
        ("Some", "Something", False),
    ],
)
def test_error_names_match_as_documented(pattern: str, error: str, answer: bool) -> None:
    assert matches([pattern], error) is answer


def test_back_off_grows_to_its_ceiling_and_each_retrier_counts_for_itself() -> None:
    # given a task that fails six times in two ways
    world = World()
    errors = ["A", "A", "B", "A", "A", "B"]
    world.script.outcomes = [TaskError(error, "x") for error in errors]
    retry = [
        {"ErrorEquals": ["A"], "IntervalSeconds": 10, "MaxDelaySeconds": 25, "MaxAttempts": 4},
        {"ErrorEquals": ["States.ALL"], "IntervalSeconds": 1, "BackoffRate": 1, "MaxAttempts": 2},
    ]
    # when
    ended = world.run(machine(("act", act({"seconds": 0}, Retry=retry))))
    # then
    assert ended["status"] == "SUCCEEDED"
    gaps = [b - a for a, b in zip(world.script.times, world.script.times[1:], strict=False)]
    assert gaps == [10, 20, 1, 25, 25, 1]


def test_retries_are_counted_in_the_context_and_anew_at_each_visit() -> None:
    # given a loop that visits a failing task twice
    world = World()
    retry = [{"ErrorEquals": ["No"], "MaxAttempts": 1}]
    arguments = {"fail": "No", "n": "{% $states.context.State.RetryCount %}"}
    states = {
        "StartAt": "set",
        "States": {
            "set": {"Type": "Pass", "Assign": {"round": 0}, "Next": "act"},
            "act": act(
                arguments,
                Retry=retry,
                Catch=[{"ErrorEquals": ["No"], "Next": "more", "Assign": {"round": "{% $round+1 %}"}}],
                End=True,
            ),
            "more": {
                "Type": "Choice",
                "Choices": [{"Condition": "{% $round < 2 %}", "Next": "act"}],
                "Default": "end",
            },
            "end": {"Type": "Succeed"},
        },
    }
    world.run(states)
    assert [call["n"] for call in world.script.calls] == [0, 1, 0, 1]


@given(st.integers(0, 5000), st.floats(1, 10), st.integers(1, 99_999), st.integers(0, 2**32))
def test_a_full_jitter_lies_between_zero_and_the_plain_delay(
    retries: int, rate: float, interval: int, seed: int
) -> None:
    plain = Retrier(("E",), interval, rate, 10_000, 100_000).delay(retries, random.Random())
    drawn = Retrier(("E",), interval, rate, 10_000, 100_000, True).delay(retries, random.Random(seed))
    assert plain is not None
    assert drawn is not None
    assert 0 <= drawn <= plain <= 100_000


def test_a_catcher_sees_the_error_and_assigns_and_outputs_from_it() -> None:
    world = World()
    state = act({"fail": "Boom", "cause": '{"code": 3}'})
    states = catching(
        state, Assign={"code": "{% $parse($states.errorOutput.Cause).code %}"}, Output="{% $states %}"
    )
    states["States"]["caught"]["Output"] = ["{% $code %}", "{% $keys($states.input) %}"]
    assert world.output(states) == [3, ["input", "errorOutput", "context"]]


def test_without_an_output_a_catcher_gives_the_error_itself() -> None:
    assert World().output(catching(act({"fail": "Boom"}))) == {
        "Error": "Boom",
        "Cause": "it was told to",
    }


def test_an_expression_error_of_a_task_is_recorded_retried_and_caught() -> None:
    # given an Output that throws with a text of its own
    world = World()
    state = act({}, Output={"a": ["{% $error('no progress') %}"]})
    retry = [{"ErrorEquals": ["States.QueryEvaluationError"], "MaxAttempts": 1}]
    # when
    execution = world.start(catching({**state, "Retry": retry}))
    output = json.loads(world.finish(execution)["output"])
    # then the cause is as AWS words it
    assert output == {
        "Error": "States.QueryEvaluationError",
        "Cause": "An error occurred while executing the state 'act' (entered at the event id #2). "
        "The JSONata expression '$error('no progress')' specified for the field 'Output/a[0]' "
        "threw an error during evaluation. D3137: no progress",
    }
    failures = [e for e in world.events(execution) if e["type"] == "EvaluationFailed"]
    assert len(failures) == 2
    assert failures[0]["evaluationFailedEventDetails"]["location"] == "Output/a[0]"
    assert failures[0]["evaluationFailedEventDetails"]["state"] == "act"


@pytest.mark.parametrize(
    ("state", "field"),
    [
        ({"Type": "Pass", "Output": "{% $states.input.no %}"}, "Output"),
        ({"Type": "Pass", "Assign": {"v": {"w": "{% $states.input.no %}"}}}, "Assign/v/w"),
        ({"Type": "Wait", "Seconds": "{% $states.input.no %}"}, "Seconds"),
        ({"Type": "Fail", "Error": "{% $states.input.no %}"}, "Error"),
        (act({"a": "{% $states.input.no %}"}), "Arguments/a"),
        (act({}, TimeoutSeconds="{% $states.input.no %}"), "TimeoutSeconds"),
        (
            {
                "Type": "Map",
                "Items": "{% $states.input.no %}",
                "ItemProcessor": machine(("end", {"Type": "Succeed"})),
            },
            "Items",
        ),
    ],
)
def test_nothing_where_something_is_needed_fails_the_state(state: Any, field: str) -> None:
    ended = World().run(machine(("act", state)))
    assert ended["error"] == "States.QueryEvaluationError"
    assert ended["cause"] == (
        "An error occurred while executing the state 'act' (entered at the event id #2). "
        f"The JSONata expression '$states.input.no' specified for the field '{field}' "
        "returned nothing (undefined)."
    )


@pytest.mark.parametrize(
    ("state", "told"),
    [
        (
            {"Type": "Wait", "Seconds": "{% 1.5 %}"},
            "'Seconds' returned an unexpected result type. Expected 'integer', but was 'number' "
            "for value: 1.5",
        ),
        (
            {
                "Type": "Choice",
                "Choices": [{"Condition": "{% 'yes' %}", "Next": "end"}],
                "Default": "end",
            },
            "'Choices[0]/Condition' returned an unexpected result type. Expected 'boolean', "
            "but was 'string' for value: \"yes\"",
        ),
    ],
)
def test_a_result_of_the_wrong_type_fails_the_state(state: dict[str, Any], told: str) -> None:
    ended = World().run(machine(("act", {**state}), ("end", {"Type": "Succeed"})))
    assert ended["error"] == "States.QueryEvaluationError"
    assert ended["cause"].endswith(told)


def test_a_choice_without_a_match_or_a_default_fails() -> None:
    choices = [{"Condition": "{% $states.input.n > 5 %}", "Next": "end"}]
    states = machine(("choose", {"Type": "Choice", "Choices": choices}), ("end", {"Type": "Succeed"}))
    ended = World().run(states, {"n": 1})
    assert ended["error"] == "States.NoChoiceMatched"
    assert "entered at the event id #2" in ended["cause"]


def test_a_matched_choice_rule_assigns_and_outputs_its_own() -> None:
    # given two rules that match, and a default with an output of its own
    rule = {"Next": "end", "Output": {"rule": 1}, "Assign": {"v": 1}}
    states = machine(
        (
            "choose",
            {
                "Type": "Choice",
                "Choices": [
                    {"Condition": "{% $states.input.n = 1 %}", **rule},
                    {"Condition": True, "Next": "end", "Assign": {"v": 2}},
                ],
                "Output": {"rule": "default"},
            },
        ),
        ("end", {"Type": "Succeed", "Output": ["{% $states.input %}", "{% $v %}"]}),
    )
    assert World().output(states, {"n": 1}, name="a") == [{"rule": 1}, 1]
    assert World().output(states, {"n": 2}, name="b") == [{"n": 2}, 2]


def test_a_timeout_ends_the_task_but_leaves_its_job() -> None:
    world = World()
    execution = world.start(catching(act({"seconds": 60}, Resource=JOB, TimeoutSeconds=30)))
    assert json.loads(world.finish(execution)["output"]) == {"Error": "States.Timeout"}
    assert world.clock.seconds() < 31
    assert world.script.stopped == [("act", "timed out")]
    assert "TaskTimedOut" in world.types(execution)


def test_heartbeats_keep_a_task_alive_until_they_stop() -> None:
    # given a task that beats 5 times, a second apart, then is silent
    world = World()
    state = act({"beats": 5, "seconds": 60}, TimeoutSeconds=50, HeartbeatSeconds=3)
    output = world.output(catching(state, "States.Timeout"))
    assert output == {"Error": "States.HeartbeatTimeout"}
    assert world.clock.seconds() == pytest.approx(8, abs=0.01)


def test_a_result_over_256_kib_is_refused_and_states_all_does_not_catch_it() -> None:
    # given a task that returns one byte too many
    world = World()
    state = act({"result": "x" * 262_143})
    split = {**state, "Arguments": "{% {'result': $states.input.half & $states.input.half} %}"}
    value = {"half": "x" * 131_072}
    # then
    ended = world.run(catching(split), value, name="a")
    assert ended["error"] == "States.DataLimitExceeded"
    assert ended["cause"].startswith("The state/task 'act' returned a result with a size exceeding")
    caught = world.output(catching(split, "States.DataLimitExceeded"), value, name="b")
    assert caught["Error"] == "States.DataLimitExceeded"


def test_a_variable_over_256_kib_is_refused() -> None:
    doubled = {"Type": "Pass", "Assign": {"v": "{% $states.input & $states.input %}"}, "Output": 1}
    ended = World().run(machine(("double", doubled)), "x" * 131_072)
    assert ended["error"] == "States.DataLimitExceeded"
    assert "variable 'v'" in ended["cause"]


def test_the_history_ends_at_25_000_events() -> None:
    # given an endless loop
    world = World()
    states = machine(("set", {"Type": "Pass"}), ("on", {"Type": "Pass", "Next": "set"}))
    states["States"]["end"] = {"Type": "Succeed"}
    states["States"]["on"] = {
        "Type": "Choice",
        "Choices": [{"Condition": False, "Next": "end"}],
        "Default": "set",
    }
    # when
    execution = world.start(states)
    ended = world.finish(execution)
    # then
    assert ended["error"] == "States.Runtime"
    assert ended["cause"] == "The execution reached the maximum number of history events (25000)."
    assert len(world.events(execution)) == 25_000
    assert ended["redriveStatusReason"] == "Execution history event limit exceeded"


def test_the_machines_own_timeout_ends_the_execution_and_stops_its_job() -> None:
    world = World()
    states = {**machine(("act", act({"seconds": 60}, Resource=JOB))), "TimeoutSeconds": 10}
    execution = world.start(states)
    ended = world.finish(execution)
    assert ended["status"] == "TIMED_OUT"
    assert "error" not in ended
    last = world.events(execution)[-1]
    assert (last["type"], last["previousEventId"]) == ("ExecutionTimedOut", 0)
    assert last["executionTimedOutEventDetails"] == {"error": "States.Timeout"}
    assert world.script.stopped == [("act", "aborted")]


def test_a_stopped_execution_stops_its_job_and_says_why() -> None:
    # given
    world = World()
    execution = world.start(machine(("act", act({"seconds": 60}, Resource=JOB))))
    world.clock.run(5)
    # when
    world.stop(execution, error="Mine", cause="enough")
    ended = world.finish(execution)
    # then
    assert (ended["status"], ended["error"], ended["cause"]) == ("ABORTED", "Mine", "enough")
    assert world.script.stopped == [("act", "aborted")]
    assert world.types(execution)[-2:] == ["TaskSubmitted", "ExecutionAborted"]
    # and stopping it again changes nothing
    assert world.stop(execution, error="Other") == {"stopDate": ended["stopDate"]}
    assert world.describe(execution)["error"] == "Mine"
