"""What SageMaker refuses, in its own words, and what only the emulator refuses."""

from __future__ import annotations

from typing import Any

import pytest

from tests.machine.sagemaker_worlds import World, request
from workflows.local.errors import ServiceError
from workflows.local.sagemaker.container import refusal
from workflows.local.sagemaker.modelled import WorkModel


def refused(world: World, operation: str, arguments: dict[str, Any]) -> tuple[str, str]:
    with pytest.raises(ServiceError) as error:
        world.sagemaker.handle(operation, arguments)
    return error.value.code, error.value.message


def create_refused(**changes: Any) -> str:
    spot = changes.pop("spot", True)
    code, message = refused(World(), "CreateTrainingJob", request(spot=spot, **changes))
    assert code == "ValidationException"
    return message


RESOURCES = request()["ResourceConfig"]
ALGORITHM = request()["AlgorithmSpecification"]
METRIC = {"Name": "m", "Regex": "(a)"}
S3 = {"S3DataType": "S3Prefix", "S3Uri": "s3://bucket/a"}


def channel(**changes: Any) -> list[dict[str, Any]]:
    return [{"ChannelName": "train", "DataSource": {"S3DataSource": S3}} | changes]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"TrainingJobName": "a_b"},
            "1 validation error detected: Value 'a_b' at 'trainingJobName' failed to satisfy "
            "constraint: Member must satisfy regular expression pattern: "
            "[a-zA-Z0-9](-*[a-zA-Z0-9]){0,62}",
        ),
        (
            {"TrainingJobName": "a" * 64},
            f"1 validation error detected: Value '{'a' * 64}' at 'trainingJobName' failed to "
            "satisfy constraint: Member must have length less than or equal to 63",
        ),
        (
            {"RoleArn": None},
            "1 validation error detected: Value null at 'roleArn' failed to satisfy constraint: "
            "Member must not be null",
        ),
        (
            {"ResourceConfig": RESOURCES | {"InstanceCount": -1}},
            "1 validation error detected: Value '-1' at 'resourceConfig.instanceCount' failed to "
            "satisfy constraint: Member must have value greater than or equal to 0",
        ),
        (
            {
                "AlgorithmSpecification": ALGORITHM | {"TrainingInputMode": "Stream"},
                "Tags": [{"Key": "", "Value": "v"}],
            },
            "2 validation errors detected: Value 'Stream' at "
            "'algorithmSpecification.trainingInputMode' failed to satisfy constraint: Member must "
            "satisfy enum value set: [Pipe, File, FastFile]; Value '' at 'tags.1.member.key' "
            "failed to satisfy constraint: Member must have length greater than or equal to 1",
        ),
    ],
)
def test_the_service_model_is_kept_to_with_the_words_of_aws(changes: dict[str, Any], message: str) -> None:
    assert create_refused(**changes) == message


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"spot": False, "StoppingCondition": {"MaxWaitTimeInSeconds": 90}},
            "Invalid MaxWaitTimeInSeconds. It is only supported when EnableManagedSpotTraining is "
            "set to true",
        ),
        (
            {"StoppingCondition": {"MaxRuntimeInSeconds": 91, "MaxWaitTimeInSeconds": 90}},
            "Invalid MaxWaitTimeInSeconds. It must be present and be greater than or equal to "
            "MaxRuntimeInSeconds",
        ),
        ({"StoppingCondition": {"MaxRuntimeInSeconds": 91}}, "Invalid MaxWaitTimeInSeconds. It must"),
        (
            {"ResourceConfig": RESOURCES | {"KeepAlivePeriodInSeconds": 60}},
            "KeepAlivePeriodInSeconds is not supported",
        ),
        (
            {
                "ResourceConfig": {
                    "VolumeSizeInGB": 1,
                    "InstanceCount": 1,
                    "InstancePreferences": [{"InstanceType": "ml.m5.large"}],
                }
            },
            "",
        ),
        (
            {"AlgorithmSpecification": {"TrainingInputMode": "File"}},
            "Exactly one of TrainingImage and AlgorithmName must be specified",
        ),
        (
            {"AlgorithmSpecification": {"AlgorithmName": "x", "TrainingInputMode": "File"}},
            "relay local: AlgorithmName",
        ),
        ({"InputDataConfig": channel(InputMode="Pipe")}, "relay local: channel 'train': Pipe mode"),
        (
            {"InputDataConfig": channel(CompressionType="Gzip")},
            "relay local: channel 'train': CompressionType",
        ),
        (
            {"InputDataConfig": channel(DataSource={"S3DataSource": S3 | {"S3DataType": "ManifestFile"}})},
            "relay local: channel 'train': S3DataType ManifestFile cannot be read",
        ),
        (
            {
                "InputDataConfig": channel(
                    DataSource={
                        "FileSystemDataSource": {
                            "FileSystemId": "fs-12345678901",
                            "FileSystemAccessMode": "ro",
                            "FileSystemType": "EFS",
                            "DirectoryPath": "/a",
                        }
                    }
                )
            },
            "relay local: channel 'train': only an S3DataSource can be read",
        ),
        (
            {"AlgorithmSpecification": ALGORITHM | {"MetricDefinitions": [METRIC | {"Regex": "a(b"}]}},
            "relay local: metric 'm': Regex 'a(b' cannot be read",
        ),
        (
            {"AlgorithmSpecification": ALGORITHM | {"MetricDefinitions": [METRIC | {"Regex": "a"}]}},
            "relay local: metric 'm': Regex 'a' has no group",
        ),
        (
            {"AlgorithmSpecification": ALGORITHM | {"MetricDefinitions": [METRIC] * 41}},
            "1 validation error detected: Value",
        ),
        ({"RetryStrategy": {"MaximumRetryAttempts": 2}}, "relay local: RetryStrategy"),
        ({"Hyperparameters": {}}, "relay local: 'Hyperparameters' is no member of"),
    ],
)
def test_what_cannot_be_is_refused_with_its_reason(changes: dict[str, Any], message: str) -> None:
    assert create_refused(**changes).startswith(message)


def test_a_wrong_type_is_a_serialization_error() -> None:
    code, _ = refused(World(), "CreateTrainingJob", request(HyperParameters={"epochs": 3}))
    assert code == "SerializationException"


def test_an_unknown_operation_is_refused_as_aws_refuses_it() -> None:
    assert refused(World(), "MakeCoffee", {})[0] == "UnknownOperationException"


def test_creating_too_fast_is_throttled_in_machine_time() -> None:
    world = World(WorkModel(seconds=10), requests_per_second=1)
    world.create("job-1")
    assert refused(world, "CreateTrainingJob", request("job-2")) == (
        "ThrottlingException",
        "Rate exceeded",
    )
    world.clock.run(1.5)
    world.create("job-2")


def test_a_quota_counts_what_runs_and_frees_what_ended() -> None:
    world = World(WorkModel(seconds=10), quotas={"ml.g5.2xlarge for spot training job usage": 1})
    world.create("job-1")
    code, message = refused(world, "CreateTrainingJob", request("job-2"))
    assert code == "ResourceLimitExceeded"
    assert "is 1 Instances, with current utilization of 1 Instances and a request delta" in message
    world.create("on-demand", spot=False)  # that quota is another one
    world.run("job-1")
    world.create("job-2")


def test_a_name_is_taken_for_ever() -> None:
    world = World(WorkModel(seconds=10))
    world.create()
    world.run()
    assert refused(world, "CreateTrainingJob", request())[0] == "ResourceInUse"


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"AlgorithmSpecification": {"TrainingImage": "i"}}, "names no ContainerEntrypoint"),
        (
            {"AlgorithmSpecification": {"ContainerEntrypoint": ["no-such-program"]}},
            "'no-such-program' is not on this computer",
        ),
        ({"CheckpointConfig": {"S3Uri": "s3://b/k", "LocalPath": "/tmp"}}, "not below /opt/ml"),
        (
            {"CheckpointConfig": {"S3Uri": "s3://b/k", "LocalPath": "/opt/ml/../../etc"}},
            "not below /opt/ml",
        ),
        ({"OutputDataConfig": {"S3OutputPath": "https://b/k"}}, "does not begin with s3://"),
    ],
)
def test_what_this_computer_cannot_run_is_refused(changes: dict[str, Any], reason: str) -> None:
    found = refusal("CreateTrainingJob", request(**changes))
    assert found is not None
    assert found.startswith("relay local: ")
    assert reason in found
