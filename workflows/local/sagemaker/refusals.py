"""Refuses requests that keep to SageMaker's model: those that SageMaker refuses, and those that only we do.

Texts without a prefix are AWS's own (AWS.md 3 and 7, or the API reference of CreateTrainingJob where no
execution was quoted). Texts that begin with "relay local:" say what this emulator cannot honestly run,
although SageMaker would.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from workflows.local.sagemaker.members import not_followed
from workflows.local.sagemaker.metrics import unreadable
from workflows.local.sagemaker.preferences import impossible
from workflows.local.sagemaker.workload import s3_location
from workflows.local.service_errors import ServiceError

if TYPE_CHECKING:
    from workflows.local.objects import Objects

DAY = 86400
DEFAULT_MAX_RUNTIME = DAY
"""MaxRuntimeInSeconds when the request names none (AWS.md 3.1)."""


def refuse_training(request: Mapping[str, Any]) -> None:
    """Raise for a CreateTrainingJob request that AWS, or this emulator, does not accept."""
    resources = request.get("ResourceConfig", {})
    for message in (
        *_stopping(request),
        *_spot(request),
        *_algorithm(request),
        *impossible(resources),
        *_volume_key(resources),
    ):
        raise invalid(message)
    for message in (*_resources(resources), *_channels(request), *_rest(request), *unreadable(request)):
        raise invalid(f"relay local: {message}")


def refuse_empty_channels(request: Mapping[str, Any], objects: Objects, region: str) -> None:
    """Raise for a training job with a channel in which there is nothing.

    The text was seen (AWS.md 6.7). A processing job with an empty input is created, and fails.
    """
    for channel in request.get("InputDataConfig", []):
        uri = channel["DataSource"]["S3DataSource"]["S3Uri"]
        bucket, prefix = s3_location(uri)
        if not objects.any(bucket, prefix):
            raise invalid(
                f'No S3 objects found under S3 URL "{uri}" given in input data source. Please ensure that '
                f"the bucket exists in the selected region ({region}), that objects exist under that S3 "
                f'prefix, and that the role "{request["RoleArn"]}" has "s3:ListBucket" permissions on '
                f'bucket "{bucket}".'
            )


def refuse_processing(request: Mapping[str, Any]) -> None:
    """Raise for a CreateProcessingJob request that AWS, or this emulator, does not accept."""
    cluster = request["ProcessingResources"]["ClusterConfig"]
    for message in (*impossible(cluster), *_volume_key(cluster)):
        raise invalid(message)
    found = (
        *_resources(cluster),
        *_inputs(request),
        *_outputs(request),
        *(f"{path} cannot be had" for path in not_followed("processing", request)),
    )
    for message in found:
        raise invalid(f"relay local: {message}")


def invalid(message: str) -> ServiceError:
    """The ValidationException with this text."""
    return ServiceError("ValidationException", message)


def _stopping(request: Mapping[str, Any]) -> Iterator[str]:
    condition = request.get("StoppingCondition", {})
    longest_wait = condition.get("MaxWaitTimeInSeconds")
    longest_run = condition.get("MaxRuntimeInSeconds", DEFAULT_MAX_RUNTIME)
    if longest_run > 28 * DAY:
        yield "Invalid MaxRuntimeInSeconds. It must be less than or equal to 28 days"
    if not request.get("EnableManagedSpotTraining"):
        if longest_wait is not None:
            yield (
                "Invalid MaxWaitTimeInSeconds. It is only supported when "
                "EnableManagedSpotTraining is set to true"
            )
    elif longest_wait is None or longest_wait < longest_run:
        yield (
            "Invalid MaxWaitTimeInSeconds. It must be present and be greater than or equal to "
            "MaxRuntimeInSeconds when EnableManagedSpotTraining is set to true"
        )


def _spot(request: Mapping[str, Any]) -> Iterator[str]:
    resources = request.get("ResourceConfig", {})
    if request.get("EnableManagedSpotTraining"):
        if resources.get("KeepAlivePeriodInSeconds"):
            yield "KeepAlivePeriodInSeconds is not supported when EnableManagedSpotTraining is true"
        if resources.get("InstancePreferences"):
            yield "InstancePreferences is not supported when EnableManagedSpotTraining is true"


def _algorithm(request: Mapping[str, Any]) -> Iterator[str]:
    algorithm = request.get("AlgorithmSpecification")
    if not algorithm:
        yield "AlgorithmSpecification is required"
    elif bool(algorithm.get("TrainingImage")) == bool(algorithm.get("AlgorithmName")):
        yield "Exactly one of TrainingImage and AlgorithmName must be specified"


def _volume_key(resources: Mapping[str, Any]) -> Iterator[str]:
    """Refuse a volume key where instances have local storage (AWS.md 3.9); the words are ours."""
    if not resources.get("VolumeKmsKeyId"):
        return
    for each in resources.get("InstancePreferences") or [resources]:
        kind = each.get("InstanceType", "")
        if _has_local_storage(kind):
            yield f"VolumeKmsKeyId is not supported for {kind}, whose local storage has a key of its own"


def _has_local_storage(instance_type: str) -> bool:
    """Whether instances of this type have local storage, by the rule of AWS's own SDK.

    Source: sagemaker 2.257, utils.volume_size_supported.
    """
    family = instance_type.removeprefix("ml.").partition(".")[0]
    return "d" in family or family.startswith(("g5", "g6", "p5", "trn1"))


def _resources(resources: Mapping[str, Any]) -> Iterator[str]:
    if resources.get("InstanceGroups"):
        yield "InstanceGroups (heterogeneous clusters) cannot be run; give InstanceType"
    one = resources.get("InstanceType") and resources.get("InstanceCount")
    if not (one or resources.get("InstanceGroups") or resources.get("InstancePreferences")):
        yield "an InstanceType and an InstanceCount are needed"
    if any(each.get("TrainingPlanArns") for each in resources.get("InstancePreferences", [])):
        yield "training plans cannot be run"
    if resources.get("TrainingPlanArn"):
        yield "training plans cannot be run"
    if resources.get("KeepAlivePeriodInSeconds"):
        yield "KeepAlivePeriodInSeconds: there are no warm pools here"


def _channels(request: Mapping[str, Any]) -> Iterator[str]:
    algorithm = request.get("AlgorithmSpecification", {})
    names = [channel["ChannelName"] for channel in request.get("InputDataConfig", [])]
    if len(set(names)) < len(names):
        yield f"channel names must be unique, found {names}"
    for channel in request.get("InputDataConfig", []):
        name, source = channel["ChannelName"], channel["DataSource"]
        mode = channel.get("InputMode") or algorithm.get("TrainingInputMode")
        if "S3DataSource" not in source:
            yield f"channel {name!r}: only an S3DataSource can be read, not {sorted(source)}"
        elif not source["S3DataSource"]["S3Uri"].startswith("s3://"):
            yield f"channel {name!r}: {source['S3DataSource']['S3Uri']} cannot be read; give an s3:// URI"
        elif source["S3DataSource"]["S3DataType"] != "S3Prefix":
            kind = source["S3DataSource"]["S3DataType"]
            yield f"channel {name!r}: S3DataType {kind} cannot be read, only S3Prefix"
        if mode == "Pipe":
            yield f"channel {name!r}: Pipe mode cannot be run; use File"
        if channel.get("CompressionType", "None") != "None":
            yield f"channel {name!r}: CompressionType {channel['CompressionType']} is not undone"
        if channel.get("RecordWrapperType", "None") != "None":
            yield f"channel {name!r}: RecordWrapperType is for Pipe mode, which cannot be run"
        yield from _unfollowed(channel)


def _unfollowed(channel: Mapping[str, Any]) -> Iterator[str]:
    # Not among them: InputMode FastFile, which shows the same files under the same paths.
    for member in ("AttributeNames", "InstanceGroupNames", "ModelAccessConfig", "HubAccessConfig"):
        if channel["DataSource"].get("S3DataSource", {}).get(member):
            yield f"channel {channel['ChannelName']!r}: {member} cannot be had"
    if channel.get("ShuffleConfig"):
        yield f"channel {channel['ChannelName']!r}: the order of its objects is not shuffled (ShuffleConfig)"


def _rest(request: Mapping[str, Any]) -> Iterator[str]:
    if request.get("AlgorithmSpecification", {}).get("AlgorithmName"):
        yield "AlgorithmName (a built-in or marketplace algorithm) cannot be run; give TrainingImage"
    if request["OutputDataConfig"].get("CompressionType") == "NONE":
        yield "OutputDataConfig.CompressionType NONE cannot be had; the model goes to S3 as model.tar.gz"
    for path in not_followed("training", request):
        yield f"{path} cannot be had"


def _inputs(request: Mapping[str, Any]) -> Iterator[str]:
    for entry in request.get("ProcessingInputs", []):
        name, s3 = entry["InputName"], entry.get("S3Input")
        if s3 is None or entry.get("DatasetDefinition") or entry.get("AppManaged"):
            yield f"input {name!r}: only S3Input can be read"
        elif s3.get("S3InputMode", "File") != "File" or s3.get("S3DataType") != "S3Prefix":
            yield f"input {name!r}: only S3Prefix in File mode can be read"
        elif s3.get("S3CompressionType", "None") != "None" or not s3.get("LocalPath"):
            yield f"input {name!r}: it needs a LocalPath and no compression"


def _outputs(request: Mapping[str, Any]) -> Iterator[str]:
    for output in request.get("ProcessingOutputConfig", {}).get("Outputs", []):
        name, s3 = output["OutputName"], output.get("S3Output")
        if s3 is None or output.get("FeatureStoreOutput") or output.get("AppManaged"):
            yield f"output {name!r}: only S3Output is known"
        elif s3.get("S3UploadMode") != "EndOfJob" or not s3.get("LocalPath"):
            yield f"output {name!r}: only EndOfJob from a LocalPath can be uploaded"
