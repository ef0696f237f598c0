"""Tasks call SageMaker and other services as Step Functions does."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import boto3
import pytest
import simpy
from botocore.config import Config

from tests.machine.world import ROLE, World, machine
from workflows.local.clock import VirtualClock
from workflows.local.objects import MemoryObjects
from workflows.local.service_errors import ServiceError
from workflows.local.step_functions.integrations import AwsIntegrations
from workflows.local.step_functions.step_functions_api import StepFunctions

TRAIN = "arn:aws:states:::sagemaker:createTrainingJob.sync"
DESCRIBE = "arn:aws:states:::aws-sdk:sagemaker:describeTrainingJob"
GET = "arn:aws:states:::aws-sdk:s3:getObject"
PUT = "arn:aws:states:::aws-sdk:s3:putObject"


class Jobs:
    """SageMaker as Tasks see it: each job takes 100 s and ends as `ends` says, or when stopped."""

    def __init__(self, env: simpy.Environment) -> None:
        self.env = env
        self.ends = "Completed"
        self.refuse: ServiceError | None = None
        self.jobs: dict[str, dict[str, Any]] = {}
        self.endings: dict[str, simpy.Event] = {}

    def handle(self, operation: str, request: dict[str, Any]) -> dict[str, Any]:
        name = request["TrainingJobName"]
        if operation == "StopTrainingJob":
            self._end(name, "Stopped")
            return {}
        if operation == "DescribeTrainingJob":
            if name not in self.jobs:
                raise ServiceError("ValidationException", "Requested resource not found.")
            return self.jobs[name]
        if self.refuse:
            raise self.refuse
        moment = datetime(2026, 1, 5, tzinfo=UTC) + timedelta(seconds=self.env.now)
        self.jobs[name] = {**request, "TrainingJobStatus": "InProgress", "CreationTime": moment}
        self.endings[name] = self.env.event()
        self.env.process(self._work(name))
        return {"TrainingJobArn": f"arn:aws:sagemaker:us-east-1:000000000000:training-job/{name}"}

    def ended(self, kind: str, name: str) -> simpy.Event:
        assert kind == "training"
        return self.endings[name]

    def _work(self, name: str) -> Any:
        yield self.env.timeout(100)
        self._end(name, self.ends)

    def _end(self, name: str, status: str) -> None:
        if not self.endings[name].triggered:
            self.jobs[name]["TrainingJobStatus"] = status
            self.endings[name].succeed(self.jobs[name])


class AwsWorld(World):
    """A world whose Tasks reach jobs, objects and Step Functions itself."""

    def __init__(self, **options: Any) -> None:
        self.clock = VirtualClock()
        self.jobs = Jobs(self.clock.env)
        self.objects = MemoryObjects(self.clock.now, buckets=("bucket",))
        self.integrations = AwsIntegrations(self.jobs, self._other, **options)
        self.api = StepFunctions(self.clock, self.integrations)
        self.integrations.attach(self.api)

    def _other(self, service: str, operation: str, request: dict[str, Any]) -> dict[str, Any]:
        assert service == "s3"
        return self.objects.call(operation, request)


def train(**more: Any) -> dict[str, Any]:
    return {"Type": "Task", "Resource": TRAIN, "Arguments": {"TrainingJobName": "job"}, **more}


def caught(state: dict[str, Any]) -> dict[str, Any]:
    """A machine that gives the error output of its one task."""
    catch = [{"ErrorEquals": ["States.ALL"], "Next": "error"}]
    return {
        "StartAt": "task",
        "States": {"task": {**state, "Catch": catch, "End": True}, "error": {"Type": "Succeed"}},
    }


def test_a_completed_job_is_its_description_with_times_in_milliseconds_and_tags_as_a_map() -> None:
    # given
    world = AwsWorld()
    # when
    execution = world.start(machine(("train", train())))
    output = json.loads(world.finish(execution)["output"])
    # then
    assert output["TrainingJobStatus"] == "Completed"
    assert output["CreationTime"] == 1_767_571_200_000
    assert output["Tags"] == {
        "MANAGED_BY_AWS": "STARTED_BY_STEP_FUNCTIONS",
        "AWS_STEP_FUNCTIONS_EXECUTION_ARN": execution,
    }
    assert world.types(execution)[2:6] == [
        "TaskScheduled",
        "TaskStarted",
        "TaskSubmitted",
        "TaskSucceeded",
    ]


def test_a_failed_job_fails_the_task_with_its_description_as_the_cause() -> None:
    world = AwsWorld()
    world.jobs.ends = "Failed"
    output = world.output(caught(train()))
    assert output["Error"] == "States.TaskFailed"
    assert json.loads(output["Cause"])["TrainingJobStatus"] == "Failed"


@pytest.mark.parametrize("success", [False, True])
def test_a_stopped_job_fails_the_task_or_not_by_the_reading_chosen(success: bool) -> None:
    world = AwsWorld(stopped_is_success=success)
    world.jobs.ends = "Stopped"
    output = world.output(caught(train()))
    assert ("Error" in output) is not success


@pytest.mark.parametrize(
    ("code", "name"),
    [
        ("ResourceLimitExceeded", "SageMaker.ResourceLimitExceededException"),
        ("ResourceInUse", "SageMaker.ResourceInUseException"),
        ("ThrottlingException", "SageMaker.AmazonSageMakerException"),
        ("ValidationException", "SageMaker.AmazonSageMakerException"),
    ],
)
def test_a_refused_create_fails_with_awss_names_and_plain_text(code: str, name: str) -> None:
    # given
    world = AwsWorld()
    world.jobs.refuse = ServiceError(code, "Rate exceeded")
    # when
    execution = world.start(caught(train()))
    output = json.loads(world.finish(execution)["output"])
    # then
    assert output["Error"] == name
    assert output["Cause"].startswith(
        f"Rate exceeded (Service: AmazonSageMaker; Status Code: 400; Error Code: {code}; Request ID"
    )
    assert "TaskSubmitFailed" in world.types(execution)


def test_stopping_the_execution_stops_its_job() -> None:
    # given a running job
    world = AwsWorld()
    execution = world.start(machine(("train", train())))
    world.clock.run(10)
    # when
    world.stop(execution)
    world.clock.run(11)
    # then
    assert world.jobs.jobs["job"]["TrainingJobStatus"] == "Stopped"


def test_a_failing_sibling_stops_the_job_of_its_branch() -> None:
    # given
    world = AwsWorld()
    wait = {"Type": "Wait", "Seconds": 10}
    branches = [
        machine(("train", train())),
        machine(("wait", wait), ("fail", {"Type": "Fail", "Error": "Other"})),
    ]
    # when
    ended = world.run(machine(("both", {"Type": "Parallel", "Branches": branches})))
    # then
    assert ended["error"] == "Other"
    assert world.jobs.jobs["job"]["TrainingJobStatus"] == "Stopped"


def test_a_timeout_leaves_the_job_alone() -> None:
    world = AwsWorld()
    assert world.output(caught(train(TimeoutSeconds=10))) == {"Error": "States.Timeout"}
    assert world.jobs.jobs["job"]["TrainingJobStatus"] == "InProgress"


def test_sdk_results_have_times_as_text_and_bodies_as_strings() -> None:
    # given an object written by the machine itself
    world = AwsWorld()
    where = {"Bucket": "bucket", "Key": "x.json"}
    write = {"Type": "Task", "Resource": PUT, "Arguments": {**where, "Body": {"step": 3}}}
    read = {"Type": "Task", "Resource": GET, "Arguments": where}
    # when
    output = world.output(machine(("write", write), ("read", read)))
    # then
    assert output["Body"] == '{"step":3}'
    assert output["LastModified"] == "2026-01-05T00:00:00.000Z"


def test_a_body_that_is_a_string_is_written_with_its_quotes() -> None:
    world = AwsWorld()
    where = {"Bucket": "bucket", "Key": "x"}
    world.run(machine(("w", {"Type": "Task", "Resource": PUT, "Arguments": {**where, "Body": "hi"}})))
    assert world.objects.get("bucket", "x") == b'"hi"'


def test_sdk_errors_are_named_as_the_java_sdk_names_them() -> None:
    # given
    world = AwsWorld()
    where = {"Bucket": "bucket", "Key": "absent"}
    get = {"Type": "Task", "Resource": GET, "Arguments": where}
    head = {**get, "Resource": "arn:aws:states:::aws-sdk:s3:headObject"}
    describe = {"Type": "Task", "Resource": DESCRIBE, "Arguments": {"TrainingJobName": "absent"}}
    write = {"Type": "Task", "Resource": PUT, "Arguments": {**where, "Body": "x"}}
    again = {**write, "Arguments": {**write["Arguments"], "IfNoneMatch": "*"}}
    # then an error of the model has its own name, any other the service's
    assert world.output(caught(get), name="a")["Error"] == "S3.NoSuchKeyException"
    assert world.output(caught(head), name="b")["Error"] == "S3.NoSuchKeyException"
    missing = world.output(caught(describe), name="c")
    assert missing["Error"] == "SageMaker.SageMakerException"
    assert missing["Cause"].startswith("Requested resource not found. (Service: SageMaker, Status")
    world.output(machine(("write", write)), name="d")
    assert world.output(caught(again), name="e")["Error"] == "S3.S3Exception"


def test_executions_of_one_moment_take_turns_at_their_tasks() -> None:
    # given two executions that begin at once, each with two calls
    called: list[str] = []

    class Noted(AwsWorld):
        def _other(self, service: str, operation: str, request: dict[str, Any]) -> dict[str, Any]:
            called.append(operation)
            return super()._other(service, operation, request)

    world = Noted()
    place = {"Bucket": "bucket", "Key": "k"}
    write = {"Type": "Task", "Resource": PUT, "Arguments": {**place, "Body": "x"}}
    read = {"Type": "Task", "Resource": GET, "Arguments": place}
    both = machine(("write", write), ("read", read))
    # when they run
    for run in [world.start(both, name=name) for name in ("a", "b")]:
        assert world.finish(run)["status"] == "SUCCEEDED"
    # then no call of one waits for all calls of the other, as on AWS, where each call takes a moment
    assert called == ["PutObject", "PutObject", "GetObject", "GetObject"]


def test_an_argument_that_the_api_lacks_ends_the_execution() -> None:
    world = AwsWorld()
    wrong = {"Type": "Task", "Resource": GET, "Arguments": {"Bukket": "x"}}
    ended = world.run(caught(wrong))
    assert ended["error"] == "States.Runtime"
    assert ended["cause"] == 'The field "Bukket" is not supported by Step Functions'


@pytest.mark.parametrize("arguments", ["text", 5, [], {"Bucket": "bucket", "Key": 5}])
def test_arguments_of_the_wrong_type_fail_the_execution_not_the_world(arguments: Any) -> None:
    # given S3 behind boto3, which checks types before it sends anything
    world = AwsWorld()
    client = boto3.client("s3", region_name="us-east-1", aws_access_key_id="x", aws_secret_access_key="x")
    world.integrations.other = lambda _service, _operation, request: client.get_object(**request)
    # when
    ended = world.run(caught({"Type": "Task", "Resource": GET, "Arguments": arguments}))
    # then
    assert ended["error"] == "States.Runtime"
    assert "could not be used to start the Task" in ended["cause"]


def test_a_service_that_does_not_answer_is_an_sdk_client_error() -> None:
    world = AwsWorld()
    client = boto3.client(
        "s3",
        region_name="us-east-1",
        aws_access_key_id="x",
        aws_secret_access_key="x",
        endpoint_url="http://127.0.0.1:9",
        config=Config(retries={"total_max_attempts": 1}, proxies={}),
    )
    world.integrations.other = lambda _service, _operation, request: client.get_object(**request)
    get = {"Type": "Task", "Resource": GET, "Arguments": {"Bucket": "bucket", "Key": "k"}}
    assert world.output(caught(get))["Error"] == "S3.SdkClientException"


@pytest.mark.parametrize(
    "resource",
    [
        "arn:aws:states:::sagemaker:createTransformJob.sync",
        "arn:aws:states:::sagemaker:createTrainingJob",
        "arn:aws:states:::lambda:invoke",
        "arn:aws:states:::aws-sdk:s3:GetObject",
        "arn:aws:states:::aws-sdk:s3:getNothing",
        "arn:aws:states:::aws-sdk:nothing:get",
    ],
)
def test_what_cannot_run_here_is_refused_at_create_with_what_can(resource: str) -> None:
    world = AwsWorld()
    with pytest.raises(ServiceError) as refused:
        world.create(machine(("task", {"Type": "Task", "Resource": resource, "Arguments": {}})))
    assert refused.value.code == "InvalidDefinition"
    assert f"The resource provided {resource} is not recognized" in refused.value.message
    assert "createProcessingJob.sync" in refused.value.message


def test_a_nested_execution_gives_its_output_parsed_and_dies_with_its_parent() -> None:
    # given a child that waits, and a parent that starts it
    world = AwsWorld()
    wait = {"Type": "Wait", "Seconds": 50, "Output": {"n": 1}}
    child = world.create(machine(("wait", wait)), "child")
    nested = {
        "Type": "Task",
        "Resource": "arn:aws:states:::states:startExecution.sync:2",
        "Arguments": {"StateMachineArn": child, "Input": {"a": 1}},
        "Output": "{% $states.result.Output %}",
    }
    # then its output is parsed
    assert world.output(machine(("nest", nested)), name="first") == {"n": 1}
    # and when a second parent is stopped, so is the child
    execution = world.start(machine(("nest", nested)), name="second")
    world.clock.run(60)
    world.stop(execution)
    world.clock.run(61)
    aborted = {"stateMachineArn": child, "statusFilter": "ABORTED"}
    assert len(world.api.handle("ListExecutions", aborted)["executions"]) == 1


def test_starting_the_same_name_twice_through_the_sdk_is_told_by_its_error() -> None:
    world = AwsWorld()
    child = world.create(machine(("end", {"Type": "Succeed"})), "child")
    start = {
        "Type": "Task",
        "Resource": "arn:aws:states:::aws-sdk:sfn:startExecution",
        "Arguments": {"StateMachineArn": child, "Name": "once"},
    }
    output = world.output(machine(("start", start)), name="a")
    assert output["ExecutionArn"].endswith(":child:once")
    assert output["StartDate"] == "2026-01-05T00:00:00.000Z"
    error = world.output(caught(start), name="b")["Error"]
    assert error == "Sfn.ExecutionAlreadyExistsException"


def test_the_role_is_checked_as_an_arn() -> None:
    world = AwsWorld()
    request = {"name": "m", "definition": "{}", "roleArn": ROLE.replace("iam", "s3")}
    with pytest.raises(ServiceError, match="Invalid Role Arn"):
        world.api.handle("CreateStateMachine", request)
