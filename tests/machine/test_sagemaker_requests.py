"""What SageMaker refuses, in its own words, and what only the emulator refuses."""

from __future__ import annotations

from typing import Any

import pytest

from tests.machine.sagemaker_worlds import World, request
from workflows.local.sagemaker.container import refusal
from workflows.local.sagemaker.work_model import WorkModel
from workflows.local.service_errors import ServiceError


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


HARMLESS: dict[str, Any] = {
    "VpcConfig": {"SecurityGroupIds": ["sg-1"], "Subnets": ["subnet-1"]},
    "EnableNetworkIsolation": True,
    "EnableInterContainerTrafficEncryption": True,
    "AlgorithmSpecification": ALGORITHM | {"TrainingInputMode": "FastFile"},
    "InputDataConfig": channel(),
    "ResourceConfig": RESOURCES | {"InstanceType": "ml.m5.large", "VolumeKmsKeyId": "key"},
    "OutputDataConfig": {"S3OutputPath": "s3://bucket/out", "KmsKeyId": "key"},
}


def test_what_changes_nothing_of_the_work_is_accepted_and_described_back() -> None:
    world = World()
    world.objects.put("bucket", "a", b"")
    world.create(**HARMLESS)
    found = world.describe()
    [train] = HARMLESS["InputDataConfig"]
    source = {"S3DataDistributionType": "FullyReplicated", **train["DataSource"]["S3DataSource"]}
    filled = {"CompressionType": "None", "RecordWrapperType": "None", "DataSource": {"S3DataSource": source}}
    assert found.pop("InputDataConfig") == [train | filled]
    rest = {name: value for name, value in HARMLESS.items() if name != "InputDataConfig"}
    assert {name: found[name] for name in rest} == rest


def test_a_channel_without_an_object_is_refused_at_once_in_the_words_of_aws() -> None:
    world = World()
    with pytest.raises(ServiceError) as error:
        world.create(InputDataConfig=channel())
    assert error.value.code == "ValidationException"
    assert error.value.message == (
        'No S3 objects found under S3 URL "s3://bucket/a" given in input data source. Please ensure that the '
        "bucket exists in the selected region (us-east-1), that objects exist under that S3 prefix, and that "
        'the role "arn:aws:iam::123456789012:role/relay" has "s3:ListBucket" permissions on bucket "bucket".'
    )


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"ResourceConfig": RESOURCES | {"VolumeKmsKeyId": "k"}},
            "VolumeKmsKeyId is not supported for ml.g5",
        ),
        (
            {"OutputDataConfig": {"S3OutputPath": "s3://b/o", "CompressionType": "NONE"}},
            "relay local: OutputDataConfig.CompressionType NONE cannot be had",
        ),
        (
            {"InputDataConfig": channel(ShuffleConfig={"Seed": 1})},
            "relay local: channel 'train': the order of its objects is not shuffled",
        ),
        (
            {"DebugHookConfig": {"S3OutputPath": "s3://b/o"}},
            "relay local: DebugHookConfig.S3OutputPath cannot be had",
        ),
        ({"ExperimentConfig": {"TrialName": "t"}}, "relay local: ExperimentConfig.TrialName cannot be had"),
        (
            {"StoppingCondition": {"MaxWaitTimeInSeconds": 99999, "MaxPendingTimeInSeconds": 7200}},
            "relay local: StoppingCondition.MaxPendingTimeInSeconds cannot be had",
        ),
    ],
)
def test_what_would_be_ignored_is_refused(changes: dict[str, Any], message: str) -> None:
    assert create_refused(**changes).startswith(message)


def test_a_processing_job_takes_a_network_and_keys_but_no_experiment() -> None:
    world = World()
    arguments: dict[str, Any] = {
        "ProcessingJobName": "prepare",
        "RoleArn": request()["RoleArn"],
        "AppSpecification": {"ImageUri": "image", "ContainerEntrypoint": ["python3", "a.py"]},
        "ProcessingResources": {
            "ClusterConfig": RESOURCES | {"InstanceType": "ml.m5.large", "VolumeKmsKeyId": "key"}
        },
        "NetworkConfig": {
            "EnableNetworkIsolation": True,
            "VpcConfig": {"SecurityGroupIds": ["sg-1"], "Subnets": ["subnet-1"]},
        },
    }
    world.sagemaker.handle("CreateProcessingJob", arguments)
    found = world.sagemaker.handle("DescribeProcessingJob", {"ProcessingJobName": "prepare"})
    assert {name: found[name] for name in arguments} == arguments
    more = {**arguments, "ProcessingJobName": "b", "ExperimentConfig": {"ExperimentName": "e"}}
    assert refused(world, "CreateProcessingJob", more)[1] == (
        "relay local: ExperimentConfig.ExperimentName cannot be had"
    )


def preferring(*types: str, **changes: Any) -> dict[str, Any]:
    preferences = [{"InstanceType": kind, "InstanceCount": place} for place, kind in enumerate(types, 1)]
    return {"VolumeSizeInGB": 10, "InstancePreferences": preferences} | changes


@pytest.mark.parametrize(
    ("entries", "quotas", "chosen"),
    [
        ([], {}, ("ml.m5.large", 1)),
        (["none"], {}, ("ml.m5.xlarge", 2)),
        ([{"error": "CapacityError"}], {}, ("ml.m5.xlarge", 2)),
        ([{"wait": "1h"}, {"wait": "10m"}], {}, ("ml.m5.xlarge", 2)),
        ([], {"ml.m5.large for training job usage": 0}, ("ml.m5.xlarge", 2)),
    ],
)
def test_a_job_runs_on_the_first_of_its_preferences_that_can_be_had(
    entries: list[Any], quotas: dict[str, int], chosen: tuple[str, int]
) -> None:
    world = World(WorkModel(seconds=10), scenario={"on_demand": {"pretrain": entries}}, quotas=quotas)
    resources = preferring("ml.m5.large", "ml.m5.xlarge")
    world.create(spot=False, ResourceConfig=resources)
    job = world.run()
    assert job["TrainingJobStatus"] == "Completed"
    selected = {"SelectedInstanceType": chosen[0], "SelectedInstanceCount": chosen[1]}
    assert job["ResourceConfig"] == resources | selected


def test_a_job_none_of_whose_preferences_can_be_had_fails_for_capacity_or_is_refused_for_quota() -> None:
    scenario = {"on_demand": {"pretrain": [{"error": "CapacityError"}] * 2}}
    quotas = {"ml.m5.large for training job usage": 1, "ml.m5.xlarge for training job usage": 1}
    world = World(scenario=scenario, quotas=quotas)
    world.create(spot=False, ResourceConfig=preferring("ml.g5.2xlarge", "ml.g5.4xlarge"))
    job = world.run()
    assert job["FailureReason"].startswith("CapacityError: ")
    assert "SelectedInstanceType" not in job["ResourceConfig"]
    resources = preferring("ml.m5.xlarge", "ml.m5.large", InstanceCount=2)
    resources["InstancePreferences"] = [{"InstanceType": "ml.m5.xlarge"}, {"InstanceType": "ml.m5.large"}]
    arguments = request("job-2", spot=False, ResourceConfig=resources)
    code, message = refused(world, "CreateTrainingJob", arguments)
    assert code == "ResourceLimitExceeded"
    assert message.startswith("The account-level service limit 'ml.m5.xlarge for training job usage' is 1")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"InstanceType": "ml.m5.large"}, "InstancePreferences and InstanceType are mutually exclusive"),
        ({"InstanceCount": 1}, "InstanceCount must be set on every one"),
        (
            {"InstancePreferences": [{"InstanceType": "ml.m5.large"}]},
            "InstanceCount must be set on every one",
        ),
        (
            {"InstancePreferences": [{"InstanceType": "ml.m5.large", "InstanceCount": 1}] * 2},
            "An instance type can appear only once",
        ),
        (
            {"InstancePreferences": [{"InstanceType": "ml.m5.large", "InstanceCount": 1}] * 6},
            "1 validation error detected",
        ),
        ({"SelectedInstanceType": "ml.m5.large"}, "SelectedInstanceType is read-only"),
    ],
)
def test_impossible_preferences_are_refused(changes: dict[str, Any], message: str) -> None:
    resources = preferring("ml.m5.large", "ml.m5.xlarge") | changes
    assert create_refused(spot=False, ResourceConfig=resources).startswith(message)
