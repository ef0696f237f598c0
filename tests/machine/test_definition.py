"""Definitions that AWS refuses are refused, in its words."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.machine.world import ROLE, TASK, World, machine
from workflows.local.service_errors import ServiceError

END = ("end", {"Type": "Succeed"})


def problems(definition: Any) -> list[str]:
    text = definition if isinstance(definition, str) else json.dumps(definition)
    answer = World().api.handle("ValidateStateMachineDefinition", {"definition": text})
    shown = answer["diagnostics"]
    assert (answer["result"] == "FAIL") is bool(shown)
    return [f"{item['code']}: {item['message']} at {item.get('location')}" for item in shown]


def jsonata(*states: tuple[str, dict[str, Any]], **more: Any) -> dict[str, Any]:
    return {"QueryLanguage": "JSONata", **machine(*states), **more}


def state(**fields: Any) -> list[str]:
    """The problems of one state in an otherwise sound machine."""
    return problems(jsonata(("X", fields), END))


def test_a_sound_machine_has_no_problems() -> None:
    assert problems(jsonata(("X", {"Type": "Pass"}), END, TimeoutSeconds=10, Comment="c")) == []


def test_a_refusal_at_create_lists_every_problem_as_aws_does() -> None:
    # given a dangling Next and an unreachable state
    definition = jsonata(("pass1", {"Type": "Pass", "Next": "pass3"}), ("pass2", {"Type": "Pass"}))
    request = {"name": "m", "definition": json.dumps(definition), "roleArn": ROLE}
    # when
    with pytest.raises(ServiceError) as refused:
        World().api.handle("CreateStateMachine", request)
    # then
    assert refused.value.code == "InvalidDefinition"
    assert refused.value.message == (
        "Invalid State Machine Definition: 'MISSING_TRANSITION_TARGET: Missing 'Next' target: "
        'pass3 at /States/pass1/Next, MISSING_TRANSITION_TARGET: State "pass2" is not reachable. '
        "at /States/pass2'"
    )


def test_a_jsonpath_machine_is_refused() -> None:
    definition = jsonata(END)
    del definition["QueryLanguage"]
    [problem] = problems(definition)
    assert 'QueryLanguage is "JSONPath"' in problem
    assert problem.endswith("at /QueryLanguage")


@pytest.mark.parametrize(
    ("definition", "problem"),
    [
        ("{", "INVALID_JSON_DESCRIPTION: Invalid JSON"),
        ("[]", "SCHEMA_VALIDATION_FAILED: Definition must be a JSON object"),
        (
            {"QueryLanguage": "JSONata", "States": {"A": {"Type": "Succeed"}}},
            "SCHEMA_VALIDATION_FAILED: These fields are required: [StartAt] at /",
        ),
        (
            {"QueryLanguage": "JSONata", "StartAt": "B", "States": {"A": {"Type": "Succeed"}}},
            "MISSING_TRANSITION_TARGET: Missing 'StartAt' target: B at /StartAt",
        ),
        (
            jsonata(("A", {"Type": "Pass", "Next": "B"}), ("B", {"Type": "Pass", "Next": "A"})),
            "MISSING_END_STATE: No terminal state found in machine. at /States",
        ),
        (
            jsonata(END, TimeoutSeconds=0),
            "SCHEMA_VALIDATION_FAILED: Expected value of type [INTEGER] of at least 1 at /TimeoutSeconds",
        ),
        (jsonata(END, Extra=1), "SCHEMA_VALIDATION_FAILED: Field 'Extra' is not supported at /"),
    ],
)
def test_machines_that_do_not_hang_together_are_refused(definition: Any, problem: str) -> None:
    assert any(found.startswith(problem) for found in problems(definition)), problems(definition)


TASK_STATE = {"Type": "Task", "Resource": TASK}


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        (
            {"Type": "Teapot"},
            "The field 'Type' should have one of these values: [Task, Wait, Pass, Succeed, Fail, "
            "Choice, Parallel, Map] at /States/X/Type",
        ),
        (
            {"Type": "Pass", "InputPath": "$.a"},
            "The QueryLanguage is set to 'JSONata', but field 'InputPath' is only supported for "
            "the 'JSONPath' QueryLanguage at /States/X",
        ),
        (
            {"Type": "Pass", "QueryLanguage": "JSONPath"},
            "'QueryLanguage' can not be 'JSONPath' if set to 'JSONata' for whole state machine at /States/X",
        ),
        ({"Type": "Pass", "Catch": []}, "Field 'Catch' is not supported at /States/X"),
        ({"Type": "Pass", "TimeoutSeconds": 3}, "Field 'TimeoutSeconds' is not supported"),
        ({"Type": "Pass", "Next": "end", "End": True}, "Exactly one of these fields is required"),
        ({"Type": "Task"}, "These fields are required: [Resource] at /States/X"),
        ({"Type": "Task", "Resource": "arn:unknown"}, "refused here at /States/X/Resource"),
        ({**TASK_STATE, "HeartbeatSeconds": 9, "TimeoutSeconds": 9}, "must be smaller than"),
        ({"Type": "Wait"}, "Exactly one of these fields is required: [Seconds, Timestamp]"),
        ({"Type": "Wait", "Seconds": -1}, "Expected a value of at least 0"),
        ({"Type": "Choice", "Choices": []}, "Choices must not be empty at /States/X/Choices"),
        (
            {"Type": "Choice", "Choices": [{"Condition": "yes", "Next": "end"}]},
            "Expected a JSONata expression or a boolean at /States/X/Choices[0]/Condition",
        ),
        (
            {**TASK_STATE, "Retry": [{"ErrorEquals": ["States.ALL", "A"]}]},
            "'States.ALL' must appear alone in 'ErrorEquals' and only in the last element of "
            "'Retry' at /States/X/Retry[0]/ErrorEquals",
        ),
        (
            {
                **TASK_STATE,
                "Catch": [
                    {"ErrorEquals": ["States.ALL"], "Next": "end"},
                    {"ErrorEquals": ["A"], "Next": "end"},
                ],
            },
            "'States.ALL' must appear alone",
        ),
        ({**TASK_STATE, "Retry": [{"ErrorEquals": []}]}, "ErrorEquals must be a non-empty array"),
        ({**TASK_STATE, "Retry": [{"ErrorEquals": ["A"], "BackoffRate": 0.5}]}, "at least 1.0"),
        (
            {**TASK_STATE, "Retry": [{"ErrorEquals": ["A"], "MaxDelaySeconds": 31_622_401}]},
            "at most 31622400",
        ),
        (
            {
                **TASK_STATE,
                "Retry": [{"ErrorEquals": ["A"], "IntervalSeconds": 5, "MaxDelaySeconds": 5}],
            },
            "MaxDelaySeconds must be greater than IntervalSeconds",
        ),
        ({**TASK_STATE, "Retry": [{"ErrorEquals": ["A"], "JitterStrategy": "SOME"}]}, "[FULL, NONE]"),
        (
            {"Type": "Pass", "Output": {"a": ["{% 1 + %}"]}},
            "INVALID_JSONATA_EXPRESSION: S0207: Unexpected end of expression at /States/X/Output/a[0]",
        ),
        (
            {"Type": "Pass", "Output": "{% phone %}"},
            "UNSUPPORTED_JSONATA_EXPRESSION: Reference to 'phone' at the top level is not "
            "supported. at /States/X/Output",
        ),
        (
            {"Type": "Pass", "Output": "{% $states.errorOutput %}"},
            "UNSUPPORTED_JSONATA_EXPRESSION: Reference to '$states.errorOutput' is not supported.",
        ),
        ({"Type": "Pass", "Output": "{% 1"}, "must be enclosed in '{%' and '%}'"),
        ({"Type": "Pass", "Assign": {"states": 1}}, "'states' is not a valid variable name"),
        ({"Type": "Map", "ItemProcessor": machine(END), "ItemReader": {}}, "by the local world"),
        (
            {"Type": "Map", "ItemProcessor": machine(END), "ToleratedFailureCount": 1},
            "Field 'ToleratedFailureCount' is only supported in DISTRIBUTED mode",
        ),
        (
            {"Type": "Parallel", "Branches": [machine(("in", {"Type": "Pass", "Next": "end"}))]},
            "MISSING_TRANSITION_TARGET: Missing 'Next' target: end at /States/X/Branches[0]/States/in/Next",
        ),
    ],
)
def test_states_that_are_wrong_are_refused_with_their_place(fields: dict[str, Any], problem: str) -> None:
    assert any(problem in found for found in state(**fields)), state(**fields)


def test_an_inner_scope_may_not_assign_an_outer_variable_but_a_distributed_map_may() -> None:
    # given an outer variable and an inner state that assigns the same name
    inner = machine(("in", {"Type": "Pass", "Assign": {"v": 2}}))
    outer = ("set", {"Type": "Pass", "Assign": {"v": 1}})
    config = {"ProcessorConfig": {"Mode": "DISTRIBUTED", "ExecutionType": "STANDARD"}}
    # then
    [problem] = problems(jsonata(outer, ("each", {"Type": "Map", "ItemProcessor": inner})))
    assert "Variable 'v' is assigned in an outer scope" in problem
    spread = {"Type": "Map", "ItemProcessor": {**inner, **config}}
    assert problems(jsonata(outer, ("each", spread))) == []


def test_no_scope_at_whatever_depth_may_declare_what_a_scope_around_it_assigns_anywhere() -> None:
    # given a name that the outermost scope assigns only in a catcher, after the inner ones
    deep = machine(("deep", {"Type": "Pass", "Assign": {"v": 2, "own": 3}}))
    middle = machine(("all", {"Type": "Parallel", "Branches": [deep]}))
    catch = [{"ErrorEquals": ["States.ALL"], "Next": "end", "Assign": {"v": 1}}]
    outer = ("each", {"Type": "Map", "ItemProcessor": middle, "Catch": catch})
    # then
    [problem] = problems(jsonata(outer, END))
    place = "/States/each/ItemProcessor/States/all/Branches[0]/States/deep/Assign/v"
    assert problem.endswith(f"Variable 'v' is assigned in an outer scope at {place}")
    # but scopes side by side may use the same names
    twin = machine(("twin", {"Type": "Pass", "Assign": {"v": 2, "own": 3}}))
    assert problems(jsonata(("both", {"Type": "Parallel", "Branches": [deep, twin]}), END)) == []


def test_a_name_of_a_state_is_used_once_in_the_whole_machine() -> None:
    inner = machine(("again", {"Type": "Pass"}))
    states = jsonata(("both", {"Type": "Parallel", "Branches": [inner, inner]}), END)
    assert problems(states) == [
        "DUPLICATE_STATE_NAME: Duplicate State name: again at /States/both/Branches[1]/States/again"
    ]


def test_no_definition_makes_the_check_break() -> None:
    # given wrong types everywhere
    for wrong in (None, 1, "x", [], {}, [1], {"a": 1}, [{"ErrorEquals": 1}], [[]]):
        for field in (
            "Type",
            "Next",
            "End",
            "Retry",
            "Catch",
            "Choices",
            "Branches",
            "ItemProcessor",
            "Assign",
            "Output",
            "Seconds",
            "Default",
            "QueryLanguage",
        ):
            for kind in ("Pass", "Task", "Map", "Parallel", "Choice", "Wait"):
                problems(jsonata(("X", {"Type": kind, "Next": "end", field: wrong}), END))
