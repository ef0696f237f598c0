"""Our own lints of a machine's text: each finds what the compiler must never write."""

import pytest

from workflows.state_machine.lint import problems_in

TASK = "arn:aws:states:::aws-sdk:s3:getObject"


def machine(**states):
    return {"StartAt": next(iter(states)), "QueryLanguage": "JSONata", "States": states}


def task(**fields):
    return {"Type": "Task", "Resource": TASK, "End": True, **fields}


def test_a_sound_machine_has_no_problems():
    sound = machine(
        begin={"Type": "Pass", "Assign": {"run": {"id": "{% $states.input.id %}"}}, "Next": "read"},
        read=task(
            Arguments={"Key": "{% ($x := $run.id; $map([1], function($v, $k) { $v & $x & $string($k) })) %}"},
            Catch=[{"ErrorEquals": ["States.ALL"], "Assign": {"why": "{% '$nothing' %}"}, "Next": "tell"}],
        ),
        tell={"Type": "Succeed", "Output": "{% $why %}"},
    )

    assert problems_in(sound) == []


@pytest.mark.parametrize(
    ("states", "words"),
    [
        ({"x" * 81: task()}, "its name has 81 characters"),
        (
            {"a": task(Resource="arn:aws:states:::lambda:invoke")},
            "`arn:aws:states:::lambda:invoke` is none of",
        ),
        ({"a": task(InputPath="$.a")}, "JSONPath in a machine of JSONata: InputPath"),
        ({"a": task(Arguments={"Key.$": "$.a"})}, "JSONPath in a machine of JSONata: Key.$"),
        ({"a": task(QueryLanguage="JSONPath")}, "JSONPath in a machine of JSONata: QueryLanguage"),
        ({"a": task(Arguments={"Key": "{% $stage_a.place %}"})}, "reads $stage_a, which nothing assigns"),
    ],
)
def test_what_must_not_stand_in_a_machine_is_found(states, words):
    (problem,) = problems_in(machine(**states))

    assert words in problem


@pytest.mark.parametrize(("mode", "found"), [("INLINE", False), ("DISTRIBUTED", True)])
def test_an_execution_of_its_own_sees_no_variable_of_the_run(mode, found):
    inner = machine(read=task(Arguments={"Key": "{% $run.id %}"}))
    outer = machine(
        begin={"Type": "Pass", "Assign": {"run": {}}, "Next": "all"},
        all={"Type": "Map", "ItemProcessor": {"ProcessorConfig": {"Mode": mode}, **inner}, "End": True},
    )

    assert [problem for problem in problems_in(outer) if "reads $run" in problem] == (
        ["the state `read` reads $run, which nothing assigns"] if found else []
    )


def test_a_name_stands_once_in_the_whole_machine():
    branch = machine(read=task())

    (problem,) = problems_in(
        machine(read=task(), both={"Type": "Parallel", "Branches": [branch], "End": True})
    )

    assert problem == "the state `read`: stands there 2 times"


def test_what_a_branch_assigns_is_not_seen_outside():
    branch = machine(inside={"Type": "Pass", "Assign": {"secret": 1}, "End": True})
    outer = machine(
        both={"Type": "Parallel", "Branches": [branch], "Next": "tell"},
        tell={"Type": "Succeed", "Output": "{% $secret %}"},
    )

    assert problems_in(outer) == ["the state `tell` reads $secret, which nothing assigns"]
