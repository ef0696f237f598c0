"""Names of the errors that a Task of Step Functions can see, from the service's model and the integration.

    arn:aws:states:::aws-sdk:SERVICE:action        the SDK for Java, version 2: `S3.NoSuchKeyException`
    arn:aws:states:::sagemaker:createX.sync        an optimized integration, on its version 1

The SDK has a class for each error in the service's model; every other one, throttling and refusals of most
services among them, comes as the service's base exception, `SageMaker.SageMakerException`; no answer at all
is an `SdkClientException`. The names were reported by Step Functions' TestState for `DynamoDb.`, `Sqs.`,
`Sfn.`, `S3.`, `CloudWatchLogs.` and others (AWS.md 8.6, 8.12). The emulator raises by this table, the
retriers are made from it, and the lint of `relay check` refuses what is not in it.
"""

from __future__ import annotations

import re
from functools import cache
from typing import NamedTuple

import botocore.loaders
from botocore.model import OperationModel, ServiceModel

SERVICES = {
    "s3": ("s3", "S3"),
    "sagemaker": ("sagemaker", "SageMaker"),
    "sfn": ("stepfunctions", "Sfn"),
    "dynamodb": ("dynamodb", "DynamoDb"),
    "sns": ("sns", "Sns"),
    "sqs": ("sqs", "Sqs"),
    "eventbridge": ("events", "EventBridge"),
    "cloudwatch": ("cloudwatch", "CloudWatch"),
    "cloudwatchlogs": ("logs", "CloudWatchLogs"),
    "scheduler": ("scheduler", "Scheduler"),
    "ssm": ("ssm", "Ssm"),
    "sts": ("sts", "Sts"),
}
"""aws-sdk name -> botocore's name, and the SDK for Java's, which begins the errors."""

STATES = frozenset(
    f"States.{name}"
    for name in (
        "ALL",
        "TaskFailed",
        "Timeout",
        "HeartbeatTimeout",
        "Permissions",
        "Runtime",
        "DataLimitExceeded",
        "QueryEvaluationError",
    )
)
"""What Step Functions itself gives any Task, or matches any Task's errors with."""

SDK = "arn:aws:states:::aws-sdk:"
NO_ANSWER = "SdkClientException"
_OPTIMIZED = {"sagemaker": ("sagemaker", "SageMaker"), "states": ("stepfunctions", "StepFunctions")}
_BASE = {"sagemaker": "AmazonSageMakerException", "states": "AWSStepFunctionsException"}
_BUSY = re.compile(r"Throttl|Provisioned|RequestLimit|InternalS|SlowDown|ServiceUnavailable")
_ARN = re.compile(r"arn:[\w-]+:states:::(?P<sdk>aws-sdk:)?(?P<service>\w+):(?P<action>\w+)(?P<mode>[.:\w]*)$")


class Known(NamedTuple):
    """The names of one action's errors, without those of Step Functions itself."""

    base: str
    """Whatever the service does not model: throttling, refusals, internal errors."""
    no_answer: str
    modelled: tuple[str, ...]

    @property
    def all(self) -> frozenset[str]:
        """Every name that `Retry` and `Catch` may match."""
        return STATES | {self.base, self.no_answer, *self.modelled}

    @property
    def busy(self) -> list[str]:
        """The names under which throttling, faults of the service and lost connections come."""
        return [self.base, self.no_answer, *(each for each in self.modelled if _BUSY.search(each))]


@cache
def service_model(service: str) -> ServiceModel:
    """The service model that botocore ships; loading it takes about 50 ms, once."""
    return ServiceModel(botocore.loaders.Loader().load_service_model(service, "service-2"), service)


@cache
def known_errors(resource: str) -> Known | None:
    """The errors of what a Task's `Resource` calls; None for a resource that is not known here."""
    match = _ARN.fullmatch(resource)
    table = SERVICES if match and match["sdk"] else _OPTIMIZED
    if match is None or match["service"] not in table:
        return None
    service, prefix = table[match["service"]]
    name = match["action"][:1].upper() + match["action"][1:]
    if name not in service_model(service).operation_names:
        return None
    shapes = [shape.name for shape in service_model(service).operation_model(name).error_shapes]
    names = [f"{prefix}.{java_name(shape)}" for shape in shapes]
    base = f"{prefix}Exception"
    if not match["sdk"]:
        # The spelling without `Exception` is seen as well (AWS.md 8.3).
        names += [each.removesuffix("Exception") for each in names]
        base = _BASE[match["service"]]
    return Known(f"{prefix}.{base}", f"{prefix}.{NO_ANSWER}", tuple(names))


def java_name(shape: str) -> str:
    """The SDK for Java's class for a modelled error: `NoSuchKeyException` of `NoSuchKey`, and
    `InternalServiceException` of `InternalServiceFault`."""
    stem = shape.removesuffix("Exception") if shape.endswith("Exception") else shape.removesuffix("Fault")
    return f"{stem}Exception"


def sdk_error(prefix: str, service: str, operation: OperationModel, code: str) -> str:
    """What an `aws-sdk` Task sees of an error code that the service answered with.

    `prefix`: the SDK for Java's name of the service; `service`: botocore's.
    """
    if code in ("404", "NotFound") and len(operation.error_shapes) == 1:
        # A HEAD has no body to carry the code; the SDK takes the operation's only error.
        code = operation.error_shapes[0].name
    shape = _shapes_by_code(service).get(code)
    return f"{prefix}.{java_name(shape) if shape else f'{prefix}Exception'}"


def optimized_error(integration: str, operation: OperationModel, code: str) -> str:
    """What a Task of an optimized integration (`sagemaker`, `states`) sees of an error code."""
    _, prefix = _OPTIMIZED[integration]
    modelled = {java_name(shape.name) for shape in operation.error_shapes}
    name = java_name(code)
    return f"{prefix}.{name if name in modelled else _BASE[integration]}"


@cache
def _shapes_by_code(service: str) -> dict[str, str]:
    """Code on the wire, and name in the model -> name in the model."""
    model, found = service_model(service), {}
    for name in model.shape_names:
        metadata = model.shape_for(name).metadata
        if metadata.get("exception"):
            found[name] = name
            found[str(metadata.get("error", {}).get("code", name))] = name
    return found
