"""The integrations that Task states call: SageMaker jobs with `.sync`, and any AWS API through `aws-sdk`."""

from __future__ import annotations

import json
from collections.abc import Callable, Generator
from contextlib import suppress
from typing import Any, Literal, NamedTuple, Protocol

import simpy
from botocore.exceptions import BotoCoreError, ClientError, ParamValidationError
from botocore.model import OperationModel

from workflows.ledger.aws_error_names import NO_ANSWER, SERVICES, optimized_error
from workflows.local.json_texts import Text, text_of
from workflows.local.messages import in_milliseconds
from workflows.local.service_errors import ServiceError, TaskError
from workflows.local.service_model import operation_model
from workflows.local.step_functions.limits import RUNTIME
from workflows.local.step_functions.sdk import (
    SDK,
    Action,
    action_of,
    error_name,
    job_result,
    request_id,
    to_request,
    to_result,
    to_written_result,
)

ABORTED = "aborted"
"""Cause of the Interrupt when the execution was stopped or a sibling failed: stop the job."""

TIMED_OUT = "timed out"
"""Cause of the Interrupt when TimeoutSeconds ran out: leave the job alone, as AWS does."""


class Answer(NamedTuple):
    """The answer that a call gives at once, and its JSON text; only jobs and executions are waited for."""

    result: Any
    text: Text


class TaskCall(Protocol):
    """One attempt of a Task, as its integration sees it."""

    resource: str
    arguments: Any
    """Shared with the machine: read, never change."""
    execution_arn: str
    state_name: str

    def submitted(self, output: Any) -> None:
        """Record that the job exists (TaskSubmitted, `.sync` only)."""

    def heartbeat(self) -> None:
        """Restart the HeartbeatSeconds."""


class Integrations(Protocol):
    """The integrations that Task states call."""

    def run(self, task: TaskCall) -> Answer | Generator[simpy.Event, Any, Any]:
        """Do one task and return its result as JSON; raises TaskError.

        On simpy.Interrupt the task ends at once: with cause "aborted" (the execution was stopped,
        or a sibling failed) it first stops the job that it started, as Step Functions does on its
        best effort; with cause "timed out" it leaves the job alone, as Step Functions does.
        """

    def refusal(self, resource: str) -> str | None:
        """Say why a machine with this Task resource cannot be created, None when it can."""


class JobApi(Protocol):
    """The part of the SageMaker emulator that Tasks use."""

    def handle(self, operation: str, request: dict[str, Any]) -> dict[str, Any]:
        """Answer one API request; raises ServiceError."""

    def ended(self, kind: Literal["training", "processing"], name: str) -> simpy.Event:
        """Return an event that succeeds with the final description of a job."""


class ExecutionApi(Protocol):
    """The part of the Step Functions emulator that Tasks use."""

    def handle(self, operation: str, request: dict[str, Any]) -> dict[str, Any]:
        """Answer one API request; raises ServiceError."""

    def ended(self, execution_arn: str) -> simpy.Event:
        """Return an event that succeeds with the description of the ended execution."""


JOBS: dict[str, Literal["training", "processing"]] = {
    "createTrainingJob": "training",
    "createProcessingJob": "processing",
}
SYNC = "arn:aws:states:::sagemaker:"
NESTED = "arn:aws:states:::states:startExecution"
NESTED_KINDS = ("", ".sync", ".sync:2")
SUPPORTED = (
    f"{SYNC}createTrainingJob.sync, {SYNC}createProcessingJob.sync, {NESTED}, {NESTED}.sync, "
    f"{NESTED}.sync:2 and {SDK}<service>:<action> for {', '.join(sorted(SERVICES))}"
)
# The tags that Step Functions adds to jobs (AWS.md 8.8).
MANAGED = {"Key": "MANAGED_BY_AWS", "Value": "STARTED_BY_STEP_FUNCTIONS"}
EXECUTION_TAG = "AWS_STEP_FUNCTIONS_EXECUTION_ARN"

Other = Callable[[str, str, dict[str, Any]], dict[str, Any]]
"""(botocore's service name, operation such as GetObject, request) -> answer, or ServiceError."""


class AwsIntegrations:
    """Service integrations over the emulators of this world.

    SageMaker and Step Functions are called in process; every other `aws-sdk` service goes to
    `other`. `stopped_is_success` chooses between the two readings of how `.sync` takes a job that
    was Stopped (AWS.md 8.2).
    """

    def __init__(self, sagemaker: JobApi, other: Other, *, stopped_is_success: bool = False) -> None:
        self.sagemaker = sagemaker
        self.other = other
        self.stopped_is_success = stopped_is_success
        self.executions: ExecutionApi | None = None
        self._requests = 0

    def attach(self, executions: ExecutionApi) -> None:
        """Make executions startable by Tasks; the two need each other, so this comes second."""
        self.executions = executions

    def refusal(self, resource: str) -> str | None:
        """Say why a machine with this Task resource cannot be created, None when it can."""
        if resource.startswith(SYNC):
            action, _, mode = resource.removeprefix(SYNC).partition(".")
            known = action in JOBS and mode == "sync"
        elif resource.startswith(SDK):
            known = action_of(resource) is not None
        else:
            known = resource in tuple(NESTED + kind for kind in NESTED_KINDS)
        if known:
            return None
        return (
            f"The resource provided {resource} is not recognized. The value is not a valid "
            "resource ARN, or the resource is not available in this region. The local world runs "
            f"{SUPPORTED}."
        )

    def run(self, task: TaskCall) -> Answer | Generator[simpy.Event, Any, Any]:
        """Do one task and return its result as JSON; raises TaskError."""
        self._requests += 1
        action = action_of(task.resource)
        if action is not None:
            return self._call(action, task)
        if task.resource.startswith(SYNC):
            name = task.resource.removeprefix(SYNC).partition(".")[0]
            return self._job(JOBS[name], task)
        if task.resource.startswith(NESTED):
            return self._execution(task.resource.removeprefix(NESTED), task)
        raise TaskError(RUNTIME, str(self.refusal(task.resource)))

    # aws-sdk

    def _call(self, action: Action, task: TaskCall) -> Answer:
        service, name, model = action
        request = _request(model, task)
        try:
            answer = self._answer(service, model.name, request)
        except ServiceError as error:
            cause = (
                f"{error.message} (Service: {name}, Status Code: {error.status}, "
                f"Request ID: {request_id(self._requests)})"
            )
            if error.code == NO_ANSWER:
                raise TaskError(f"{name}.SdkClientException", error.message) from error
            raise TaskError(error_name(action, error.code), cause) from error
        return Answer(*to_written_result(model.output_shape, answer))

    def _answer(self, service: str, operation: str, request: dict[str, Any]) -> dict[str, Any]:
        if service == "sagemaker":
            return self.sagemaker.handle(operation, request)
        if service == "stepfunctions" and self.executions is not None:
            return self.executions.handle(operation, request)
        try:
            return self.other(service, operation, request)
        except ParamValidationError as error:
            raise TaskError(RUNTIME, _unusable(request, str(error))) from error
        except BotoCoreError as error:
            # No answer at all: the SDK for Java raises its SdkClientException.
            raise ServiceError(NO_ANSWER, str(error)) from error
        except ClientError as error:
            told = error.response["Error"]
            status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 400)
            raise ServiceError(told["Code"], told.get("Message", ""), status) from error

    # Jobs

    def _job(
        self, kind: Literal["training", "processing"], task: TaskCall
    ) -> Generator[simpy.Event, Any, Any]:
        word = kind.capitalize()
        model = operation_model("sagemaker", f"Create{word}Job")
        request = _request(model, task)
        own = {"Key": EXECUTION_TAG, "Value": task.execution_arn}
        tags = request.get("Tags", [])
        if isinstance(tags, list):
            request["Tags"] = [*tags, MANAGED, own]
        try:
            created = self.sagemaker.handle(model.name, request)
        except ServiceError as error:
            raise self._creation_error(model, error) from error
        name = request[f"{word}JobName"]
        task.submitted({**created, **self._metadata()})
        try:
            job = yield self.sagemaker.ended(kind, name)
        except simpy.Interrupt as interrupt:
            if interrupt.cause != TIMED_OUT:
                self._stop(word, name)
            raise
        result = job_result(job)
        status = result[f"{word}JobStatus"]
        if status == "Completed" or (status == "Stopped" and self.stopped_is_success):
            return result
        raise TaskError("States.TaskFailed", text_of(result))

    def _creation_error(self, model: OperationModel, error: ServiceError) -> TaskError:
        """Makes the error of a create call: those of the model, or the base (AWS.md 8.3)."""
        cause = (
            f"{error.message} (Service: AmazonSageMaker; Status Code: {error.status}; "
            f"Error Code: {error.code}; Request ID: {request_id(self._requests)}; Proxy: null)"
        )
        return TaskError(optimized_error("sagemaker", model, error.code), cause)

    def _stop(self, word: str, name: str) -> None:
        # Best effort, as Step Functions promises (AWS.md 8.5): the job may have ended in the same moment.
        with suppress(ServiceError):
            self.sagemaker.handle(f"Stop{word}Job", {f"{word}JobName": name})

    def _metadata(self) -> dict[str, Any]:
        return {
            "SdkHttpMetadata": {"HttpStatusCode": 200},
            "SdkResponseMetadata": {"RequestId": request_id(self._requests)},
        }

    # Executions

    def _execution(self, mode: str, task: TaskCall) -> Generator[simpy.Event, Any, Any]:
        if self.executions is None:
            raise TaskError(RUNTIME, "No Step Functions API is attached to this world")
        model = operation_model("stepfunctions", "StartExecution")
        request = _request(model, task)
        try:
            started = self.executions.handle("StartExecution", request)
        except ServiceError as error:
            cause = (
                f"{error.message} (Service: AWSStepFunctions; Status Code: {error.status}; "
                f"Error Code: {error.code}; Request ID: {request_id(self._requests)}; Proxy: null)"
            )
            raise TaskError(optimized_error("states", model, error.code), cause) from error
        arn = started["executionArn"]
        shown = in_milliseconds(to_result(model.output_shape, {"executionArn": arn}))
        shown["StartDate"] = in_milliseconds(started["startDate"])
        if not mode:
            return {**shown, **self._metadata()}
        task.submitted({**shown, **self._metadata()})
        try:
            ended = yield self.executions.ended(arn)
        except simpy.Interrupt as interrupt:
            if interrupt.cause != TIMED_OUT:
                with suppress(ServiceError):
                    self.executions.handle("StopExecution", {"executionArn": arn})
            raise
        return _nested_result(ended, mode)


def _request(model: OperationModel, task: TaskCall) -> dict[str, Any]:
    if not isinstance(task.arguments, dict):
        raise TaskError(RUNTIME, _unusable(task.arguments, "The Arguments must be an object"))
    request: dict[str, Any] = to_request(model.input_shape, task.arguments)
    return request


def _unusable(arguments: Any, reason: str) -> str:
    return f"The Arguments '{arguments}' could not be used to start the Task: [{reason}]"


def _nested_result(ended: dict[str, Any], mode: str) -> Any:
    shown = {f"{key[:1].upper()}{key[1:]}": in_milliseconds(item) for key, item in ended.items()}
    if mode == ".sync:2":
        for key in ("Input", "Output"):
            if key in shown:
                shown[key] = json.loads(shown[key])
    if ended["status"] != "SUCCEEDED":
        raise TaskError("States.TaskFailed", text_of(shown))
    return shown
