"""Lists the members of a request that the platform follows, and those that it may ignore honestly.

Every other member is refused, new ones of SageMaker too: to ignore a member would be to pretend it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

FOLLOWED = {
    "training": {
        *("TrainingJobName", "HyperParameters", "Environment", "Tags", "CheckpointConfig", "InputDataConfig"),
        *("StoppingCondition.MaxRuntimeInSeconds", "StoppingCondition.MaxWaitTimeInSeconds"),
        *("EnableManagedSpotTraining", "OutputDataConfig.S3OutputPath", "OutputDataConfig.CompressionType"),
        *("AlgorithmSpecification.TrainingInputMode", "AlgorithmSpecification.MetricDefinitions"),
        *("AlgorithmSpecification.ContainerEntrypoint", "AlgorithmSpecification.ContainerArguments"),
        *(
            "ResourceConfig.InstanceType",
            "ResourceConfig.InstanceCount",
            "ResourceConfig.InstancePreferences",
        ),
        "ProfilerConfig.DisableProfiler",
    },
    "processing": {
        *("ProcessingJobName", "Environment", "Tags", "ProcessingInputs", "ProcessingOutputConfig.Outputs"),
        *("AppSpecification.ContainerEntrypoint", "AppSpecification.ContainerArguments"),
        "ProcessingResources.ClusterConfig.InstanceType",
        "ProcessingResources.ClusterConfig.InstanceCount",
        "ProcessingResources.ClusterConfig.InstancePreferences",
        "StoppingCondition.MaxRuntimeInSeconds",
    },
}
"""Members by their path; one that is named whole is looked into elsewhere (`refusals.py`)."""

_ROLE = "the jobs are this user's own processes: they have his rights and assume no role"
_IMAGE = "no image is pulled: the entry point runs with what is installed on this computer"
_VOLUME = "the instance's disk is a folder of this computer, private to its user and removed with the job"
_KEY = "encryption at rest: whoever may read the objects reads the same bytes"
_NETWORK = "it says which network the instances stand in; here that is this computer's own"
_ISOLATION = "a job that keeps to it does the same work; one that breaks it fails on AWS only"
_WIRE = "the instances of a job are on one computer: nothing goes over a wire"

HARMLESS = {
    "training": {
        "RoleArn": _ROLE,
        "SessionChainingConfig": _ROLE,
        "AlgorithmSpecification.TrainingImage": _IMAGE,
        "AlgorithmSpecification.TrainingImageConfig": _IMAGE,
        "AlgorithmSpecification.EnableSageMakerMetricsTimeSeries": "only Studio shows the series",
        "ResourceConfig.VolumeSizeInGB": _VOLUME,
        "ResourceConfig.VolumeKmsKeyId": _VOLUME,
        "OutputDataConfig.KmsKeyId": _KEY,
        "VpcConfig": _NETWORK,
        "EnableNetworkIsolation": _ISOLATION,
        "EnableInterContainerTrafficEncryption": _WIRE,
        "InfraCheckConfig": "a health check of the instances before the training",
    },
    "processing": {
        "RoleArn": _ROLE,
        "AppSpecification.ImageUri": _IMAGE,
        "ProcessingResources.ClusterConfig.VolumeSizeInGB": _VOLUME,
        "ProcessingResources.ClusterConfig.VolumeKmsKeyId": _VOLUME,
        "ProcessingOutputConfig.KmsKeyId": _KEY,
        "NetworkConfig.VpcConfig": _NETWORK,
        "NetworkConfig.EnableNetworkIsolation": _ISOLATION,
        "NetworkConfig.EnableInterContainerTrafficEncryption": _WIRE,
    },
}
"""Members that are accepted and described back, each with the reason why the work's result is the same."""


def not_followed(kind: str, request: Mapping[str, Any], path: str = "") -> Iterator[str]:
    """The paths of what a request asks for and the platform would ignore."""
    for name, value in request.items():
        here = f"{path}{name}"
        if here in FOLLOWED[kind] or here in HARMLESS[kind]:
            continue
        if isinstance(value, Mapping):
            yield from not_followed(kind, value, f"{here}.")
        elif value not in (False, None, []):
            yield here
