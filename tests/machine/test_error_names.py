"""The names in Retry and Catch are those that each action can give, and a fault comes under one of them."""

import json
from pathlib import Path

import pytest

from tests.machine.pipelines import Run, definition, pipeline, watch
from tests.machine.watched import endings, scenario
from workflows.ledger.aws_error_names import known_errors, optimized_error, sdk_error, service_model
from workflows.local.service_errors import ServiceError
from workflows.specification.loading import load
from workflows.state_machine.lint import problems_in

EXAMPLES = sorted((Path(__file__).parents[2] / "workflows/examples").glob("*/pipeline.*"))
GOLDEN = sorted(Path(__file__).with_name("golden").glob("*.json"))
TRAIN = {"name": "train"}
EVERYTHING = pipeline(
    {**TRAIN, "checkpoint": {"s3_uri": "s3://bucket/kept/"}},
    {
        "name": "tune",
        "kind": "sweep",
        "grid": {"rate": [n / 100 for n in range(41)]},
        "best": {"metric": "score"},
    },
    {"name": "publish", "kind": "register", "model": "{{ train.outputs.model }}"},
    reuse=True,
)
SDK = "arn:aws:states:::aws-sdk:"


# --------------------------------------------------------------------------------------------- the names
@pytest.mark.parametrize(
    ("service", "operation", "code", "name"),
    [
        # Reported by TestState on AWS (AWS.md 8.12).
        (("DynamoDb", "dynamodb"), "PutItem", "AccessDeniedException", "DynamoDb.DynamoDbException"),
        (("Sqs", "sqs"), "SendMessage", "QueueDoesNotExist", "Sqs.QueueDoesNotExistException"),
        (("Sfn", "stepfunctions"), "DescribeExecution", "InvalidArn", "Sfn.InvalidArnException"),
        (("S3", "s3"), "ListObjectsV2", "NoSuchBucket", "S3.NoSuchBucketException"),
        # From the models, by the same rule.
        (
            ("SageMaker", "sagemaker"),
            "ListTrainingJobs",
            "ThrottlingException",
            "SageMaker.SageMakerException",
        ),
        (("Sfn", "stepfunctions"), "DescribeExecution", "ThrottlingException", "Sfn.SfnException"),
        (("S3", "s3"), "GetObject", "SlowDown", "S3.S3Exception"),
        (("S3", "s3"), "HeadObject", "404", "S3.NoSuchKeyException"),
        (("CloudWatch", "cloudwatch"), "PutMetricData", "Throttling", "CloudWatch.CloudWatchException"),
        (
            ("CloudWatch", "cloudwatch"),
            "PutMetricData",
            "InternalServiceFault",
            "CloudWatch.InternalServiceException",
        ),
    ],
)
def test_an_sdk_error_has_the_name_that_step_functions_reports(service, operation, code, name):
    prefix, botocore_name = service
    model = service_model(botocore_name).operation_model(operation)

    assert sdk_error(prefix, botocore_name, model, code) == name


@pytest.mark.parametrize(
    ("integration", "service", "operation", "code", "name"),
    [
        ("sagemaker", "sagemaker", "CreateTrainingJob", "ThrottlingException", "AmazonSageMakerException"),
        ("sagemaker", "sagemaker", "CreateTrainingJob", "ResourceInUse", "ResourceInUseException"),
        (
            "states",
            "stepfunctions",
            "StartExecution",
            "ExecutionAlreadyExists",
            "ExecutionAlreadyExistsException",
        ),
        ("states", "stepfunctions", "StartExecution", "ThrottlingException", "AWSStepFunctionsException"),
    ],
)
def test_an_optimized_integration_has_names_of_its_own(integration, service, operation, code, name):
    model = service_model(service).operation_model(operation)

    assert optimized_error(integration, model, code).partition(".")[2] == name


def test_what_an_unknown_resource_gives_is_not_known():
    assert known_errors("arn:aws:states:::lambda:invoke") is None
    assert known_errors(f"{SDK}sagemaker:trainEverything") is None


# ---------------------------------------------------------------------------------------------- the lint
@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.parent.name)
def test_every_name_in_an_example_can_match(path):
    assert problems_in(definition(load(path))) == []


@pytest.mark.parametrize("path", GOLDEN, ids=lambda path: path.stem)
def test_every_name_in_a_golden_machine_can_match(path):
    found = json.loads(path.read_text())

    assert problems_in(found.get("machine", found)) == []


def test_every_name_of_locks_sweeps_reuse_and_registration_can_match():
    assert problems_in(definition(EVERYTHING)) == []


@pytest.mark.parametrize(
    ("resource", "name", "hint"),
    [
        (f"{SDK}sagemaker:listTrainingJobs", "SageMaker.ThrottlingException", ""),
        (f"{SDK}sagemaker:describeTrainingJob", "SageMaker.AmazonSageMakerException", "SageMakerException"),
        (f"{SDK}s3:getObject", "S3.SlowDownException", "S3.S3Exception"),
        (f"{SDK}s3:getObject", "S3.NoSuchKey", "S3.NoSuchKeyException"),
        ("arn:aws:states:::sagemaker:createTrainingJob.sync", "SageMaker.SageMakerException", ""),
    ],
)
@pytest.mark.parametrize("field", ["Retry", "Catch"])
def test_a_name_that_the_action_cannot_give_is_refused(field, resource, name, hint):
    entry = {"ErrorEquals": [name], **({"Next": "call"} if field == "Catch" else {})}
    task = {"Type": "Task", "Resource": resource, "End": True, field: [entry]}

    (problem,) = problems_in({"StartAt": "call", "States": {"call": task}})

    assert problem.startswith(f"the state `call`: its {field} names `{name}`, which `{resource}` cannot give")
    assert hint in problem


# --------------------------------------------------------------------------------------------- the faults
def throttled(world, operation, times):
    """The first calls of one of SageMaker's operations are answered as AWS answers calls in haste."""
    handle, left = world.sagemaker.handle, iter(range(times))

    def answer(called, request):
        if called == operation and next(left, None) is not None:
            raise ServiceError("ThrottlingException", "Rate exceeded")
        return handle(called, request)

    world.sagemaker.handle = answer


@pytest.mark.parametrize("times", [1, 5])
def test_a_look_for_earlier_work_that_is_throttled_fails_no_run(times):
    first = Run(pipeline(TRAIN))
    throttled(first.world, "ListTrainingJobs", times)

    second = first.again({"reuse": True})

    assert second.ended["status"] == "SUCCEEDED"
    assert "reused" in second.results["train"]


def test_three_throttled_descriptions_of_a_finished_job_fail_no_run():
    run = Run(pipeline(TRAIN), before=lambda world: throttled(world, "DescribeTrainingJob", 3))

    assert run.ended["status"] == "SUCCEEDED"


def test_a_throttled_watch_stops_the_job_all_the_same():
    def busy(world):
        throttled(world, "DescribeTrainingJob", 6)

    run = Run(pipeline(TRAIN), scenario=scenario("none"), watch=watch(), before=busy)

    assert run.attempts("train") == [("spot", "no capacity", "spot"), ("spot", "completed", "done")]
    assert set(endings(run)) <= {"stopped", "nothing to do"}


def test_a_stage_that_is_left_out_asks_for_no_job():
    asked = []

    def listen(world):
        handle = world.sagemaker.handle

        def answer(called, request):
            asked.append((called, request.get("TrainingJobName", "")))
            return handle(called, request)

        world.sagemaker.handle = answer

    run = Run(pipeline(TRAIN, {"name": "other"}), run_input={"only": ["other"]}, before=listen)

    assert run.ended["status"] == "SUCCEEDED"
    described = [name for called, name in asked if called == "DescribeTrainingJob"]
    assert described
    assert all("other" in name for name in described)
