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
from workflows.specification.pipeline import END_OF_OWNER

OWNER = "aws:ResourceTag/relay:pipeline"
RULE = "rule/StepFunctionsGetEventsForSageMaker{}JobsRule"
LOGGING = [f"{verb}LogDelivery" for verb in ("Create", "Get", "Update", "Delete")]
LOGGING += ["ListLogDeliveries", "PutResourcePolicy", "DescribeResourcePolicies", "DescribeLogGroups"]
TRACING = ["PutTraceSegments", "PutTelemetryRecords", "GetSamplingRules", "GetSamplingTargets"]
NETWORK = [f"{verb}NetworkInterface{what}" for verb in ("Create", "Delete") for what in ("", "Permission")]
NETWORK += [
    f"Describe{what}" for what in ("NetworkInterfaces", "Vpcs", "DhcpOptions", "Subnets", "SecurityGroups")
]
# What SageMaker itself does in the role of a job, whatever its script does: "CreateTrainingJob API" and
# "CreateProcessingJob API: Execution Role Permissions" in its developer guide, "SageMaker roles".
IN_THE_ROLE = {
    "always": (
        "cloudwatch:PutMetricData", "logs:CreateLogStream", "logs:PutLogEvents", "logs:CreateLogGroup",
        "logs:DescribeLogStreams", "s3:GetObject", "s3:PutObject", "s3:ListBucket",
        "ecr:GetAuthorizationToken", "ecr:BatchCheckLayerAvailability", "ecr:GetDownloadUrlForLayer",
        "ecr:BatchGetImage",
    ),
    "in a network": tuple(f"ec2:{verb}" for verb in NETWORK),
    "with an encrypted input": ("kms:Decrypt",),
    "with a key for the output": ("kms:Encrypt",),
    "with a key for the volume": ("kms:CreateGrant",),
}  # fmt: skip
# S3 asks of whoever uploads to, or in parts under, a key ("Protecting data using SSE-KMS"); the volume's key
# is described before it is used.
OF_OUTPUT_KEY = ("kms:Encrypt", "kms:Decrypt", "kms:GenerateDataKey")
OF_VOLUME_KEY = ("kms:CreateGrant", "kms:DescribeKey")
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
    calls = [f"{verb}{kind}Job" for verb in ("Create", "Describe")] + ["AddTags", "ListTags"]
    rule = arn("events", RULE.format(kind))
    tags = {f"aws:ResourceTag/{tag['Key']}": tag["Value"] for tag in arguments["Tags"]}
    return [
        *(Need(f"sagemaker:{call}", job) for call in calls),
        Need(f"sagemaker:Stop{kind}Job", job, tags),
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
    name = arguments[f"{kind.capitalize()}JobName"]
    # Of the job's tags only what its name says, too, is known here.
    tags = {OWNER: name.partition(END_OF_OWNER)[0]} if action.startswith("Stop") else {}
    return [Need(f"sagemaker:{action}", arn("sagemaker", f"{kind}-job/{name}"), tags)]


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
def requests_of(machine: Mapping[str, Any], role: str) -> list[dict[str, Any]]:
    """The requests of the jobs that a machine starts in that role."""
    return [
        request
        for name, state in states(json.loads(machine["DefinitionString"]))
        if str(state.get("Resource")).endswith(".sync")
        for request in evaluated(machine, name)
        if request["RoleArn"] == role
    ]


def of_jobs(machine: Mapping[str, Any], role: str, key: str | None = None) -> list[Need]:
    """The needs of the jobs that a machine starts in that role."""
    found = [need for request in requests_of(machine, role) for need in _of_request(request)]
    return found + _of_key(found, key)


def in_the_role(request: Mapping[str, Any], key: str | None) -> set[str]:
    """The actions of SageMaker's guide for one request; `key`: that of the bucket with its inputs."""
    cluster, output = _keyed(request)
    holds = {
        "always": True,
        "in a network": _in_a_network(request),
        "with an encrypted input": key is not None,
        "with a key for the output": "KmsKeyId" in output,
        "with a key for the volume": "VolumeKmsKeyId" in cluster,
    }
    return {action for when, actions in IN_THE_ROLE.items() if holds[when] for action in actions}


def _in_a_network(request: Mapping[str, Any]) -> bool:
    return bool(request.get("VpcConfig") or request.get("NetworkConfig", {}).get("VpcConfig"))


def _keyed(request: Mapping[str, Any]) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    """The cluster and the output of a request, which may name keys."""
    cluster = request.get("ResourceConfig") or request["ProcessingResources"]["ClusterConfig"]
    return cluster, request.get("OutputDataConfig") or request["ProcessingOutputConfig"]


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
    if _in_a_network(request):
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
    cluster, output = _keyed(request)
    for key, verbs in (
        (cluster.get("VolumeKmsKeyId"), OF_VOLUME_KEY),
        (output.get("KmsKeyId"), OF_OUTPUT_KEY),
    ):
        if key:
            alias = {"kms:ResourceAliases": key} if key.startswith("alias/") else {}
            place = "some-id" if alias else key
            resource = place if place.startswith("arn:") else arn("kms", f"key/{place}")
            yield from (Need(verb, resource, alias) for verb in verbs)
