"""TestState in the local world: one state by itself, with a mock in the place of what it calls."""

import json

import pytest

from workflows.local.service_errors import ServiceError
from workflows.local.virtual import ROLE, VirtualWorld

READ = {
    "Type": "Task",
    "QueryLanguage": "JSONata",
    "Resource": "arn:aws:states:::aws-sdk:s3:getObject",
    "Arguments": {"Bucket": "bucket", "Key": "{% $key & '.json' %}"},
    "Assign": {"found": "{% $parse($states.result.Body) %}", "by": "{% $states.context.Execution.Name %}"},
    "Output": "{% $states.input.n + 1 %}",
    "Retry": [{"ErrorEquals": ["S3.S3Exception"], "IntervalSeconds": 3, "MaxAttempts": 2}],
    "Catch": [{"ErrorEquals": ["States.ALL"], "Assign": {"found": {}}, "Next": "without"}],
    "Next": "on",
}
PASS = {"Type": "Pass", "End": True, "QueryLanguage": "JSONata"}
GIVEN = {
    "input": '{"n": 1}',
    "variables": '{"key": "a", "old": 1}',
    "context": '{"Execution": {"Name": "run-7"}}',
    "inspectionLevel": "DEBUG",
}


@pytest.fixture
def world():
    return VirtualWorld({}, bucket="bucket")


@pytest.fixture
def ask(world):
    def ask(definition, **request):
        return world.step_functions.handle("TestState", {"definition": json.dumps(definition), **request})

    return ask


def test_a_mocked_result_shows_the_way_through_the_state(ask):
    mock = {"result": json.dumps({"Body": '{"step": 3}'})}

    told = ask(READ, mock=mock, **GIVEN)

    assert (told["status"], told["nextState"], told["output"]) == ("SUCCEEDED", "on", "2")
    seen = told["inspectionData"]
    assert json.loads(seen["afterArguments"]) == {"Bucket": "bucket", "Key": "a.json"}
    assert json.loads(seen["variables"]) == {"key": "a", "old": 1, "found": {"step": 3}, "by": "run-7"}


@pytest.mark.parametrize(
    ("error", "retries", "status", "details"),
    [
        ("S3.S3Exception", 0, "RETRIABLE", {"retryIndex": 0, "retryBackoffIntervalSeconds": 3}),
        ("S3.S3Exception", 1, "RETRIABLE", {"retryIndex": 0, "retryBackoffIntervalSeconds": 6}),
        ("S3.S3Exception", 2, "CAUGHT_ERROR", {"catchIndex": 0}),
        ("S3.NoSuchKeyException", 0, "CAUGHT_ERROR", {"catchIndex": 0}),
    ],
)
def test_a_mocked_error_is_retried_and_then_caught(ask, error, retries, status, details):
    told = ask(
        READ,
        mock={"errorOutput": {"error": error, "cause": "busy"}},
        stateConfiguration={"retrierRetryCount": retries},
        **GIVEN,
    )

    assert (told["status"], told["error"], told["cause"]) == (status, error, "busy")
    assert told["inspectionData"]["errorDetails"] == details
    assert told.get("nextState") == ("without" if status == "CAUGHT_ERROR" else None)


def test_an_expression_that_fails_is_an_error_of_the_state(ask):
    told = ask({**READ, "Catch": []}, mock={"result": '{"Body": "no JSON"}'}, **GIVEN)

    assert (told["status"], told["error"]) == ("FAILED", "States.QueryEvaluationError")
    assert "nextState" not in told


def test_a_state_of_a_whole_machine_is_asked_for_by_its_name(ask):
    machine = {
        "QueryLanguage": "JSONata",
        "StartAt": "both",
        "States": {
            "both": {
                "Type": "Parallel",
                "Branches": [
                    {"StartAt": "which", "States": {
                        "which": {"Type": "Choice", "Default": "no",
                                  "Choices": [{"Condition": "{% $n > 1 %}", "Next": "yes"}]},
                        "yes": {"Type": "Succeed"}, "no": {"Type": "Succeed"}}},
                ],
                "End": True,
            },
        },
    }  # fmt: skip

    def next_of(n):
        return ask(machine, stateName="which", variables=json.dumps({"n": n}))["nextState"]

    assert (next_of(1), next_of(2)) == ("no", "yes")
    assert ask(machine, stateName="both", mock={"result": "[1]"})["output"] == "[1]"


def test_a_task_without_a_mock_calls_what_it_names(ask, world):
    world.objects.put("bucket", "a.json", b'{"step": 9}')
    plain = {**READ, "Assign": {"found": "{% $parse($states.result.Body) %}"}}
    given = {key: each for key, each in GIVEN.items() if key != "context"}

    told = ask(plain, roleArn=ROLE, **given)

    assert json.loads(told["inspectionData"]["variables"])["found"] == {"step": 9}


@pytest.mark.parametrize(
    ("definition", "request_", "words"),
    [
        (PASS, {"mock": {"result": "{}"}}, "can only be"),
        (READ, {}, "roleArn is required"),
        (READ, {"context": "{}"}, "context may only"),
        (READ, {"mock": {"result": "{}", "errorOutput": {"error": "A"}}}, "exactly one of"),
        (READ, {"mock": {"result": '{"Bdy": "x"}'}}, "Bdy is no field of GetObjectOutput"),
        (READ, {"mock": {"result": '{"Body": 1}', "fieldValidationMode": "PRESENT"}}, "Body is int"),
        (READ, {"mock": {"result": "{}"}, "variables": "[]"}, "variables must be a JSON object"),
        (READ, {"mock": {"result": "{}"}, "input": "{"}, "input is not valid JSON"),
        (READ, {"stateName": "other"}, "Invalid State Machine Definition"),
    ],
)  # fmt: skip
def test_what_aws_refuses_is_refused(ask, definition, request_, words):
    with pytest.raises(ServiceError, match=words):
        ask(definition, **request_)


def test_nothing_is_validated_where_that_is_asked_for(ask):
    mock = {"result": '{"Body": "{}", "More": 1}', "fieldValidationMode": "NONE"}

    assert ask(READ, mock=mock, **GIVEN)["status"] == "SUCCEEDED"


def test_what_waits_takes_a_mock_only(ask):
    job = {
        "Type": "Task",
        "QueryLanguage": "JSONata",
        "Resource": "arn:aws:states:::sagemaker:createTrainingJob.sync",
        "End": True,
    }

    with pytest.raises(ServiceError, match="with a mock"):
        ask(job, roleArn=ROLE)
    mock = {"result": '{"TrainingJobStatus": "Completed"}', "fieldValidationMode": "PRESENT"}
    assert ask(job, mock=mock)["status"] == "SUCCEEDED"
