"""What the machines of a template need to be allowed, read from their texts alone.

Every task's Arguments are evaluated with the interpreter of the local world, for a run with the input `{}`;
what comes out is a list of API actions on concrete resources. Nothing here knows how the roles are made.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.stacks.samples import arn, evaluated, evaluated_watch, states

RULE = "rule/StepFunctionsGetEventsForSageMaker{}JobsRule"
LOGGING = [f"{verb}LogDelivery" for verb in ("Create", "Get", "Update", "Delete")]
LOGGING += ["ListLogDeliveries", "PutResourcePolicy", "DescribeResourcePolicies", "DescribeLogGroups"]
TRACING = ["PutTraceSegments", "PutTelemetryRecords", "GetSamplingRules", "GetSamplingTargets"]
NETWORK = [f"{verb}NetworkInterface{what}" for verb in ("Create", "Delete") for what in ("", "Permission")]
NETWORK += [
    f"Describe{what}" for what in ("NetworkInterfaces", "Vpcs", "DhcpOptions", "Subnets", "SecurityGroups")
]
# A job without checkpoints has no progress: the watch reads what cannot be there, and catches any refusal.
NEVER_THERE = "/outputprogress.json"


@dataclass(frozen=True)
class Need:
    """One call that a role must be allowed."""

    action: str
    resource: str = "*"
    context: Mapping[str, str] = field(default_factory=dict)


def s3(uri: str) -> str:
    return f"arn:aws:s3:::{uri.removeprefix('s3://')}"


def listing(uri: str) -> Need:
    bucket, _, prefix = uri.removeprefix("s3://").partition("/")
    return Need("s3:ListBucket", s3(bucket), {"s3:prefix": prefix})


# ---------------------------------------------------------------------------------------------- machines
def of_machine(machine: Mapping[str, Any], key: str | None = None) -> list[Need]:
    """The needs of the pipeline machine's role; `machine`: the resource's properties, `key`: the bucket's."""
    found: list[Need] = []
    for name, state in states(json.loads(machine["DefinitionString"])):
        if state.get("ItemProcessor", {}).get("ProcessorConfig", {}).get("Mode") == "DISTRIBUTED":
            found += _distributed(machine["StateMachineName"])
        if state["Type"] == "Task":
            calls = [
                need
                for arguments in evaluated(machine, name)
                for need in of_call(state["Resource"], arguments)
            ]
            assert calls, f"no way of a run leads to the task `{name}`"
            found += calls
    return [*found, *_of_key(found, key), *_of_service(machine)]


def of_watch(watch: Mapping[str, Any], machine: Mapping[str, Any], key: str | None = None) -> list[Need]:
    """The needs of the capacity watch's role, for every spot job that the pipeline's machine starts."""
    found = [
        need
        for resource, arguments in evaluated_watch(watch, machine)
        for need in of_call(resource, arguments)
        if not need.resource.endswith(NEVER_THERE)
    ]
    return [*found, *_of_key(found, key), *_of_service(watch)]


def of_call(resource: str, arguments: Mapping[str, Any]) -> list[Need]:
    """The needs of one call, as the task's resource and Arguments say it."""
    service, _, action = resource.removeprefix("arn:aws:states:::").removeprefix("aws-sdk:").partition(":")
    if resource.endswith(".sync"):
        return _sync("Training" if "TrainingJobName" in arguments else "Processing", arguments)
    services = {
        "sagemaker": _sagemaker,
        "s3": _s3,
        "sfn": _states,
        "dynamodb": _dynamodb,
        "cloudwatch": _cloudwatch,
    }
    return services[service](action[:1].upper() + action[1:], arguments)


def _sync(kind: str, arguments: Mapping[str, Any]) -> list[Need]:
    """As AWS.md lists them: Step Functions follows a job by a rule of its own, and stops and tags it."""
    job = arn("sagemaker", f"{kind.lower()}-job/{arguments[f'{kind}JobName']}")
    calls = [f"{verb}{kind}Job" for verb in ("Create", "Describe", "Stop")] + ["AddTags", "ListTags"]
    rule = arn("events", RULE.format(kind))
    return [
        *(Need(f"sagemaker:{call}", job) for call in calls),
        *(Need(f"events:{verb}", rule) for verb in ("PutTargets", "PutRule", "DescribeRule")),
        Need("iam:PassRole", arguments["RoleArn"], {"iam:PassedToService": "sagemaker.amazonaws.com"}),
    ]


def _sagemaker(action: str, arguments: Mapping[str, Any]) -> list[Need]:
    if action.startswith("List"):
        return [Need(f"sagemaker:{action}")]
    if action == "CreateModelPackageGroup":
        return [
            Need(
                f"sagemaker:{action}",
                arn("sagemaker", f"model-package-group/{arguments['ModelPackageGroupName']}"),
            )
        ]
    if action == "CreateModelPackage":
        group = arguments["ModelPackageGroupName"]
        models = [each["ModelDataUrl"] for each in arguments["InferenceSpecification"]["Containers"]]
        return [
            Need(f"sagemaker:{action}", arn("sagemaker", f"model-package-group/{group}")),
            Need(f"sagemaker:{action}", arn("sagemaker", f"model-package/{group}/1")),
            *(Need("s3:GetObject", s3(uri)) for uri in models),
        ]
    kind = "training" if "TrainingJobName" in arguments else "processing"
    return [
        Need(
            f"sagemaker:{action}", arn("sagemaker", f"{kind}-job/{arguments[f'{kind.capitalize()}JobName']}")
        )
    ]


def _s3(action: str, arguments: Mapping[str, Any]) -> list[Need]:
    if action == "ListObjectsV2":
        return [listing(f"{arguments['Bucket']}/{arguments['Prefix']}")]
    return [Need(f"s3:{action}", s3(f"{arguments['Bucket']}/{arguments['Key']}"))]


def _states(action: str, arguments: Mapping[str, Any]) -> list[Need]:
    return [Need(f"states:{action}", arguments["ExecutionArn"])]


def _dynamodb(action: str, arguments: Mapping[str, Any]) -> list[Need]:
    leading = {"dynamodb:LeadingKeys": arguments["Item"]["pipeline"]["S"]}
    return [Need(f"dynamodb:{action}", arn("dynamodb", f"table/{arguments['TableName']}"), leading)]


def _cloudwatch(action: str, arguments: Mapping[str, Any]) -> list[Need]:
    return [Need(f"cloudwatch:{action}", "*", {"cloudwatch:namespace": arguments["Namespace"]})]


def _distributed(machine: str) -> list[Need]:
    return [
        Need("states:StartExecution", arn("states", f"stateMachine:{machine}")),
        Need("states:DescribeExecution", arn("states", f"execution:{machine}:1")),
        Need("states:StopExecution", arn("states", f"execution:{machine}:1")),
        Need("states:RedriveExecution", arn("states", f"execution:{machine}/map-run:1")),
    ]


def _of_service(machine: Mapping[str, Any]) -> Iterator[Need]:
    if machine["LoggingConfiguration"]["Level"] != "OFF":
        yield from (Need(f"logs:{verb}") for verb in LOGGING)
    if machine["TracingConfiguration"]["Enabled"]:
        yield from (Need(f"xray:{verb}") for verb in TRACING)


def _of_key(needs: Iterable[Need], key: str | None) -> list[Need]:
    """Reading an encrypted object takes the key, and so does writing one, and an item of a table."""
    if not key:
        return []
    asked = {need.action for need in needs}
    reads = bool({"s3:GetObject", "dynamodb:PutItem"} & asked)
    return [Need("kms:Decrypt", key)] * reads + [Need("kms:GenerateDataKey", key)] * ("s3:PutObject" in asked)


# -------------------------------------------------------------------------------------------------- jobs
def of_jobs(machine: Mapping[str, Any], role: str, key: str | None = None) -> list[Need]:
    """The needs of the jobs that a machine starts in that role."""
    requests = [
        request
        for name, state in states(json.loads(machine["DefinitionString"]))
        if str(state.get("Resource")).endswith(".sync")
        for request in evaluated(machine, name)
        if request["RoleArn"] == role
    ]
    found = [need for request in requests for need in _of_request(request)]
    return found + _of_key(found, key)


def _of_request(request: Mapping[str, Any]) -> Iterator[Need]:
    training = "TrainingJobName" in request
    kind = "Training" if training else "Processing"
    yield from _files(request, training)
    image = (
        request["AlgorithmSpecification"]["TrainingImage"]
        if training
        else request["AppSpecification"]["ImageUri"]
    )
    registry, _, repository = image.partition("/")
    account, region = registry.split(".")[0], registry.split(".")[3]
    for verb in ("BatchCheckLayerAvailability", "BatchGetImage", "GetDownloadUrlForLayer"):
        yield Need(f"ecr:{verb}", f"arn:aws:ecr:{region}:{account}:repository/{repository.partition(':')[0]}")
    yield Need("ecr:GetAuthorizationToken")
    group = f"log-group:/aws/sagemaker/{kind}Jobs"
    for verb in ("CreateLogGroup", "CreateLogStream", "DescribeLogStreams", "PutLogEvents"):
        yield Need(f"logs:{verb}", arn("logs", f"{group}:log-stream:job/algo-1"))
    yield Need("cloudwatch:PutMetricData", "*", {"cloudwatch:namespace": f"/aws/sagemaker/{kind}Jobs"})
    if request.get("VpcConfig") or request.get("NetworkConfig", {}).get("VpcConfig"):
        yield from (Need(f"ec2:{verb}") for verb in NETWORK)


def _files(request: Mapping[str, Any], training: bool) -> Iterator[Need]:
    if training:
        read = [each["DataSource"]["S3DataSource"]["S3Uri"] for each in request.get("InputDataConfig", [])]
        written = [request["OutputDataConfig"]["S3OutputPath"] + "/job/output/model.tar.gz"]
    else:
        read = [each["S3Input"]["S3Uri"] for each in request["ProcessingInputs"]]
        outputs = request["ProcessingOutputConfig"]["Outputs"]
        written = [each["S3Output"]["S3Uri"] + "/file" for each in outputs]
    for uri in read:
        yield Need("s3:GetObject", s3(uri + ("x" if "/" in uri.removeprefix("s3://") else "/x")))
        yield listing(uri)
    checkpoints = request.get("CheckpointConfig", {}).get("S3Uri")
    if checkpoints:
        yield listing(checkpoints)
        yield Need("s3:GetObject", s3(checkpoints + "x"))
        yield Need("s3:DeleteObject", s3(checkpoints + "x"))
        written.append(checkpoints + "x")
    for uri in written:
        yield Need("s3:PutObject", s3(uri))
        yield Need("s3:AbortMultipartUpload", s3(uri))
    yield from _keys(request)


def _keys(request: Mapping[str, Any]) -> Iterator[Need]:
    cluster = request.get("ResourceConfig") or request["ProcessingResources"]["ClusterConfig"]
    output = request.get("OutputDataConfig") or request["ProcessingOutputConfig"]
    for key, verbs in (
        (cluster.get("VolumeKmsKeyId"), ("CreateGrant", "DescribeKey")),
        (output.get("KmsKeyId"), ("Decrypt", "GenerateDataKey")),
    ):
        if key:
            alias = {"kms:ResourceAliases": key} if key.startswith("alias/") else {}
            place = "some-id" if alias else key
            resource = place if place.startswith("arn:") else arn("kms", f"key/{place}")
            yield from (Need(f"kms:{verb}", resource, alias) for verb in verbs)
