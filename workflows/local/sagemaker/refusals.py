"""What SageMaker refuses although the request keeps to its model, and what only we refuse.

Texts without a prefix are AWS's own (AWS.md, or the API reference of CreateTrainingJob where no
execution was quoted); texts that begin with "relay local:" say what this emulator cannot honestly
run, although SageMaker would.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from workflows.local.errors import ServiceError
from workflows.local.sagemaker.metrics import unreadable

DAY = 86400
DEFAULT_MAX_RUNTIME = DAY
"""MaxRuntimeInSeconds when the request names none (StoppingCondition API reference)."""


def refuse_training(request: Mapping[str, Any]) -> None:
    """Raise for a CreateTrainingJob request that AWS, or this emulator, does not accept."""
    for message in (*_stopping(request), *_spot(request), *_algorithm(request)):
        raise invalid(message)
    found = (*_resources(request), *_channels(request), *_features(request), *unreadable(request))
    for message in found:
        raise invalid(f"relay local: {message}")


def refuse_processing(request: Mapping[str, Any]) -> None:
    """Raise for a CreateProcessingJob request that this emulator cannot run."""
    for entry in request.get("ProcessingInputs", []):
        if "S3Input" not in entry or entry.get("DatasetDefinition"):
            raise invalid(f"relay local: input {entry['InputName']!r}: only S3Input can be read")
        s3 = entry["S3Input"]
        if s3.get("S3InputMode", "File") != "File" or s3.get("S3DataType") != "S3Prefix":
            raise invalid(
                f"relay local: input {entry['InputName']!r}: only S3Prefix in File mode can be read"
            )
        if s3.get("S3CompressionType", "None") != "None" or not s3.get("LocalPath"):
            raise invalid(
                f"relay local: input {entry['InputName']!r}: it needs a LocalPath and no compression"
            )
    for output in request.get("ProcessingOutputConfig", {}).get("Outputs", []):
        if "S3Output" not in output:
            raise invalid(f"relay local: output {output['OutputName']!r}: only S3Output is known")
        s3 = output["S3Output"]
        if s3.get("S3UploadMode") != "EndOfJob" or not s3.get("LocalPath"):
            raise invalid(
                f"relay local: output {output['OutputName']!r}: only EndOfJob from a LocalPath "
                "can be uploaded"
            )


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


def _resources(request: Mapping[str, Any]) -> Iterator[str]:
    resources = request.get("ResourceConfig", {})
    if resources.get("InstanceGroups"):
        yield "InstanceGroups (heterogeneous clusters) cannot be run; give InstanceType"
    elif resources.get("InstancePreferences"):
        yield "InstancePreferences cannot be run; give one InstanceType"
    elif not resources.get("InstanceType") or not resources.get("InstanceCount"):
        yield "ResourceConfig needs an InstanceType and an InstanceCount"
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
        elif source["S3DataSource"]["S3DataType"] != "S3Prefix":
            kind = source["S3DataSource"]["S3DataType"]
            yield f"channel {name!r}: S3DataType {kind} cannot be read, only S3Prefix"
        if mode == "Pipe":
            yield f"channel {name!r}: Pipe mode cannot be run; use File"
        if channel.get("CompressionType", "None") != "None":
            yield f"channel {name!r}: CompressionType {channel['CompressionType']} is not undone"
        if channel.get("RecordWrapperType", "None") != "None":
            yield f"channel {name!r}: RecordWrapperType is for Pipe mode, which cannot be run"


def _features(request: Mapping[str, Any]) -> Iterator[str]:
    if request.get("AlgorithmSpecification", {}).get("AlgorithmName"):
        yield "AlgorithmName (a built-in or marketplace algorithm) cannot be run; give TrainingImage"
    for member in ("RetryStrategy", "ServerlessJobConfig", "ModelPackageConfig"):
        if request.get(member):
            yield f"{member} cannot be run"
