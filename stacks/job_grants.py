"""What the jobs may do: SageMaker and the script, in the role of every stage that names none of its own.

    own code, inputs -> read    own runs -> read and write    images, logs, metrics, network, keys -> use

What a team's own role may do is the team's matter.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

from stacks.grants import NO_RESOURCE, OF_RUNS, Grant, Place, use_key
from workflows.jobs.kinds import job_of
from workflows.jobs.site import CODE, INPUTS
from workflows.specification.pipeline import Pipeline
from workflows.specification.stages import REFERENCE, JobStage

_ECR = re.compile(r"^([0-9]{12})\.dkr\.ecr\.([a-z0-9-]+)\.amazonaws\.com(?:\.cn)?/([^:@]+)")


def job_grants(pipeline: Pipeline, place: Place, images: Iterable[str]) -> Iterator[Grant]:
    """What SageMaker and the script do in the role of a stage that names none of its own."""
    stages = [stage for stage in pipeline.jobs if stage.role is None]
    if not stages:
        return
    yield from _job_files(pipeline, place, stages)
    yield from _other_buckets(place, stages)
    yield from _pull(place, images)
    yield from _job_logs(place, stages)
    yield from _job_network(stages)
    yield from _installation_key(place, stages)
    yield from _stage_keys(place, stages)


def _job_files(pipeline: Pipeline, place: Place, stages: Sequence[JobStage]) -> Iterator[Grant]:
    scripts = any(stage.script for stage in stages)
    local = any(_is_local(value) for stage in stages for value in stage.inputs.values())
    given = [f"{pipeline.name}/{CODE}*"] * scripts + [f"{pipeline.name}/{INPUTS}*"] * local
    if given:
        why = "a run goes on with the code of its own version while a newer one is deployed"
        keys = [place.s3(f"{place.bucket}/{key}") for key in given]
        yield Grant("ReadCodeAndInputs", ["s3:GetObject"], keys, why)
    written = ["s3:GetObject", "s3:PutObject", "s3:AbortMultipartUpload"]
    runs = f"{pipeline.name}/runs/*"
    yield Grant("OwnFiles", written, [place.s3(f"{place.bucket}/{runs}")], OF_RUNS)
    if any(stage.checkpoints and not stage.shared_prefix for stage in stages):
        # What the library prunes goes in S3, too; models and other outputs cannot be deleted.
        checkpoints = place.s3(f"{place.bucket}/{runs}/checkpoints/*")
        yield Grant("PruneCheckpoints", ["s3:DeleteObject"], [checkpoints], OF_RUNS)
    listed = {"StringLike": {"s3:prefix": [*given, runs]}}
    yield Grant("ListOwnBucket", ["s3:ListBucket"], [place.s3(place.bucket)], condition=listed)
    shared = [place.s3(f"{stage.shared_prefix}/*") for stage in stages if stage.shared_prefix]
    if shared:
        yield Grant("SharedCheckpoints", [*written, "s3:DeleteObject"], shared, "a checkpoint is many files")


def _other_buckets(place: Place, stages: Sequence[JobStage]) -> Iterator[Grant]:
    """Inputs and shared checkpoints that a pipeline names by their URI."""
    read = list(dict.fromkeys(_key(uri) for stage in stages for uri in stage.inputs.values() if _is_s3(uri)))
    if read:
        keys = [place.s3(f"{key}*") for key in read]
        yield Grant("ReadInputs", ["s3:GetObject"], keys, "an input is every object under a prefix")
    shared = [f"{stage.shared_prefix}/" for stage in stages if stage.shared_prefix]
    by_bucket: dict[str, list[str]] = {}
    for key in (*read, *shared):
        bucket, _, prefix = key.partition("/")
        by_bucket.setdefault(bucket, []).append(f"{prefix}*")
    for number, (bucket, prefixes) in enumerate(by_bucket.items()):
        listed = {"StringLike": {"s3:prefix": prefixes}}
        yield Grant(f"ListBucket{number}", ["s3:ListBucket"], [place.s3(bucket)], condition=listed)


def _pull(place: Place, images: Iterable[str]) -> Iterator[Grant]:
    found = [match for image in sorted(images) if (match := _ECR.match(image))]
    if not found:
        return
    repositories = dict.fromkeys(
        f"arn:{place.settings.partition}:ecr:{match[2]}:{match[1]}:repository/{match[3]}" for match in found
    )
    pulled = ("BatchCheckLayerAvailability", "BatchGetImage", "GetDownloadUrlForLayer")
    yield Grant("PullImages", [f"ecr:{verb}" for verb in pulled], list(repositories))
    yield Grant("EnterRegistry", ["ecr:GetAuthorizationToken"], ["*"], NO_RESOURCE)


def _job_logs(place: Place, stages: Sequence[JobStage]) -> Iterator[Grant]:
    kinds = dict.fromkeys(job_of(stage).type.word for stage in stages)
    groups = [place.arn("logs", f"log-group:/aws/sagemaker/{kind}Jobs*") for kind in kinds]
    verbs = ("CreateLogGroup", "CreateLogStream", "DescribeLogStreams", "PutLogEvents")
    yield Grant("WriteLogs", [f"logs:{verb}" for verb in verbs], groups, "SageMaker names the streams")
    namespace = {"StringLike": {"cloudwatch:namespace": [f"/aws/sagemaker/{kind}Jobs*" for kind in kinds]}}
    yield Grant("WriteMetrics", ["cloudwatch:PutMetricData"], ["*"], NO_RESOURCE, namespace)


def _job_network(stages: Sequence[JobStage]) -> Iterator[Grant]:
    """As SageMaker's guide lists them for jobs in a VPC."""
    if not any(stage.network.subnets for stage in stages):
        return
    made = ("CreateNetworkInterface", "CreateNetworkInterfacePermission")
    gone = ("DeleteNetworkInterface", "DeleteNetworkInterfacePermission")
    seen = [
        f"Describe{what}"
        for what in ("NetworkInterfaces", "Vpcs", "DhcpOptions", "Subnets", "SecurityGroups")
    ]
    verbs = [f"ec2:{verb}" for verb in (*made, *gone, *seen)]
    why = "SageMaker makes and removes the interfaces, and most of these actions know no resource"
    yield Grant("UseNetwork", verbs, ["*"], why)


_OUTPUT = ("kms:Decrypt", "kms:GenerateDataKey", "kms:Encrypt")
"""What SageMaker does with an output key: Encrypt is its guide's word (execution role permissions of
CreateTrainingJob and CreateProcessingJob), the others are what S3 asks of whoever uploads in parts."""


def _installation_key(place: Place, stages: Sequence[JobStage]) -> Iterator[Grant]:
    """The bucket's own key; it is the output key, too, of every stage that names none."""
    key = place.settings.kms_key
    if key and any(stage.encryption.output_key == key for stage in stages):
        yield Grant("UseKey", _OUTPUT, [key])
    else:
        yield from use_key(place, write=True)


def _stage_keys(place: Place, stages: Sequence[JobStage]) -> Iterator[Grant]:
    """Keys that stages name themselves, by ARN, id or alias."""
    volumes = {stage.encryption.volume_key for stage in stages}
    outputs = {stage.encryption.output_key for stage in stages} - {place.settings.kms_key}
    for sid, keys, actions in (
        ("Volumes", volumes, ["kms:CreateGrant", "kms:DescribeKey"]),
        ("Outputs", outputs, _OUTPUT),
    ):
        named = sorted(key for key in keys if key and "alias/" not in key)
        if named:
            arns = [key if key.startswith("arn:") else place.arn("kms", f"key/{key}") for key in named]
            yield Grant(f"Encrypt{sid}", actions, arns)
        aliases = sorted("alias/" + key.partition("alias/")[2] for key in keys if key and "alias/" in key)
        if aliases:
            of = {"ForAnyValue:StringEquals": {"kms:ResourceAliases": aliases}}
            why = "IAM knows a key's alias only as a condition"
            yield Grant(f"Encrypt{sid}ByAlias", actions, [place.arn("kms", "key/*")], why, of)


def _is_local(value: str) -> bool:
    """Whether an input is a file or folder that was uploaded."""
    return not _is_s3(value) and not REFERENCE.match(value)


def _is_s3(value: str) -> bool:
    return value.startswith("s3://")


def _key(uri: str) -> str:
    """BUCKET/PREFIX; of a whole bucket BUCKET/, or a `*` behind it would mean other buckets, too."""
    place = uri.removeprefix("s3://")
    return place if "/" in place else f"{place}/"
