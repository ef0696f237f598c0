"""What a stage's optional settings add to its job request: network, keys, metrics, registry, role.

Each function takes a stage and returns the part of the request that these settings make up, in AWS's names;
`requests.py` lays it over the rest. A setting that is not given adds nothing, so AWS's own default holds.
"""

from __future__ import annotations

from typing import Any

from workflows.specification.settings import Container, ImageRepository
from workflows.specification.stages import ProcessStage, TrainStage

Json = Any


def training_settings(stage: TrainStage) -> dict[str, Json]:
    """The part of CreateTrainingJob."""
    algorithm = _given(
        MetricDefinitions=[{"Name": name, "Regex": regex} for name, regex in stage.metrics.items()],
        EnableSageMakerMetricsTimeSeries=stage.metrics_time_series,
        TrainingImageConfig=_image_config(stage.image_repository),
    )
    return _given(
        RoleArn=stage.role,
        AlgorithmSpecification=algorithm,
        ResourceConfig=_given(VolumeKmsKeyId=stage.encryption.volume_key),
        OutputDataConfig=_given(KmsKeyId=stage.encryption.output_key),
        VpcConfig=_vpc(stage),
        EnableNetworkIsolation=stage.network.isolation or None,
        EnableInterContainerTrafficEncryption=stage.network.encrypt_traffic or None,
        ProfilerConfig=_given(DisableProfiler=None if stage.profiler else True),
    )


def processing_settings(stage: ProcessStage) -> dict[str, Json]:
    """The part of CreateProcessingJob, which has the network's settings in one place."""
    network = _given(
        VpcConfig=_vpc(stage),
        EnableNetworkIsolation=stage.network.isolation or None,
        EnableInterContainerTrafficEncryption=stage.network.encrypt_traffic or None,
    )
    cluster = _given(VolumeKmsKeyId=stage.encryption.volume_key)
    return _given(
        RoleArn=stage.role,
        NetworkConfig=network,
        ProcessingResources=_given(ClusterConfig=cluster),
        ProcessingOutputConfig=_given(KmsKeyId=stage.encryption.output_key),
    )


def own_program(container: Container) -> dict[str, Json]:
    """What the container starts without Relay's launcher; nothing here is the image's own entry point."""
    return _given(
        ContainerEntrypoint=list(container.entrypoint), ContainerArguments=list(container.arguments)
    )


def _vpc(stage: TrainStage | ProcessStage) -> dict[str, Json]:
    return _given(Subnets=list(stage.network.subnets), SecurityGroupIds=list(stage.network.security_groups))


def _image_config(repository: ImageRepository | None) -> dict[str, Json]:
    if repository is None:
        return {}
    credentials = _given(TrainingRepositoryCredentialsProviderArn=repository.credentials_provider)
    return {
        "TrainingRepositoryAccessMode": repository.access,
        **_given(TrainingRepositoryAuthConfig=credentials),
    }


def _given(**members: Json) -> dict[str, Json]:
    """The members that say something: AWS takes neither null nor most empty lists and structures."""
    return {name: value for name, value in members.items() if value not in (None, [], {})}
