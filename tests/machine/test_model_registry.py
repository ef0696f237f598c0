"""The model registry: groups, versions, their approval, and what AWS refuses of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.machine.sagemaker_worlds import World
from workflows.local.service_errors import ServiceError
from workflows.local.virtual import VirtualWorld

GROUP = "arn:aws:sagemaker:us-east-1:000000000000:model-package-group/digits"
VERSION = "arn:aws:sagemaker:us-east-1:000000000000:model-package/digits"
CONTAINER = {"Image": "image", "ModelDataUrl": "s3://bucket/model.tar.gz"}


def opened(**options: Any) -> World:
    """A world with a model artifact and a group."""
    world = World(**options)
    world.objects.put("bucket", "model.tar.gz", b"model")
    ask(world, "CreateModelPackageGroup", ModelPackageGroupName="Digits", ModelPackageGroupDescription="d")
    return world


def ask(world: World, operation: str, **request: Any) -> dict[str, Any]:
    return world.sagemaker.handle(operation, request)


def specification(**container: Any) -> dict[str, Any]:
    return {"Containers": [CONTAINER | container], "SupportedContentTypes": ["text/csv"]}


def register(world: World, **changes: Any) -> str:
    request = {"ModelPackageGroupName": "Digits", "InferenceSpecification": specification(), **changes}
    kept = {name: value for name, value in request.items() if value is not None}
    return str(ask(world, "CreateModelPackage", **kept)["ModelPackageArn"])


def refused(world: World, operation: str, **request: Any) -> tuple[str, str]:
    with pytest.raises(ServiceError) as error:
        ask(world, operation, **request)
    return error.value.code, error.value.message


def test_versions_of_a_group_are_numbered_and_wait_for_their_approval() -> None:
    # given two versions in a group
    world = opened()
    register(world, ModelMetrics={"ModelQuality": {"Statistics": {"ContentType": "j", "S3Uri": "s3://b/k"}}})
    second = register(world, CustomerMetadataProperties={"run": "1", "old": "x"})
    assert second == f"{VERSION}/2"
    # when the second is approved
    told: list[dict[str, Any]] = []
    world.sagemaker.subscribers.append(told.append)
    world.clock.run(60)
    changes = {"CustomerMetadataProperties": {"by": "me"}, "CustomerMetadataPropertiesToRemove": ["old"]}
    ask(world, "UpdateModelPackage", ModelPackageArn=second, ModelApprovalStatus="Approved", **changes)
    # then it says so, under its ARN, and an event tells of it
    found = ask(world, "DescribeModelPackage", ModelPackageName=second)
    assert (found["ModelPackageGroupName"], found["ModelPackageVersion"]) == ("Digits", 2)
    assert (found["ModelApprovalStatus"], found["ModelPackageStatus"]) == ("Approved", "Completed")
    assert found["CustomerMetadataProperties"] == {"run": "1", "by": "me"}
    assert (found["LastModifiedTime"] - found["CreationTime"]).total_seconds() == 60
    assert "ModelPackageName" not in found
    assert told[0]["detail-type"] == "SageMaker Model Package State Change"
    assert told[0]["detail"]["ModelApprovalStatus"] == "Approved"
    # and the lists find it
    listed = ask(
        world,
        "ListModelPackages",
        ModelPackageGroupName="Digits",
        ModelApprovalStatus="PendingManualApproval",
    )
    assert [each["ModelPackageVersion"] for each in listed["ModelPackageSummaryList"]] == [1]
    newest = ask(
        world, "ListModelPackages", ModelPackageGroupName=GROUP, SortOrder="Descending", MaxResults=1
    )
    assert [each["ModelPackageArn"] for each in newest["ModelPackageSummaryList"]] == [second]
    assert "NextToken" in newest
    assert ask(world, "ListModelPackages")["ModelPackageSummaryList"] == []  # unversioned ones only


def test_the_same_client_token_gives_the_same_version_and_no_second_one() -> None:
    world = opened()
    first = register(world, ClientToken="t-1")
    ask(world, "UpdateModelPackage", ModelPackageArn=first, ModelApprovalStatus="Rejected")
    assert register(world, ClientToken="t-1") == first
    assert register(world, ClientToken="t-2") == f"{VERSION}/2"
    request = {"ModelPackageGroupName": "Digits", "InferenceSpecification": specification()}
    changed = {**request, "ModelPackageDescription": "another", "ClientToken": "t-1"}
    assert refused(world, "CreateModelPackage", **changed)[0] == "ConflictException"


def test_a_deleted_version_leaves_its_number_unused_and_a_group_is_deleted_when_it_is_empty() -> None:
    world = opened()
    first = register(world)
    assert refused(world, "DeleteModelPackageGroup", ModelPackageGroupName="Digits")[0] == "ConflictException"
    ask(world, "DeleteModelPackage", ModelPackageName=first)
    second = register(world)
    assert second == f"{VERSION}/2"
    ask(world, "DeleteModelPackage", ModelPackageName=second)
    ask(world, "DeleteModelPackageGroup", ModelPackageGroupName="Digits")
    assert refused(world, "DescribeModelPackageGroup", ModelPackageGroupName="Digits") == (
        "ValidationException",
        f"ModelPackageGroup {GROUP} does not exist.",
    )


def test_a_package_without_a_group_has_a_name_of_its_own() -> None:
    world = opened()
    types = {
        "SupportedTransformInstanceTypes": ["ml.m5.large"],
        "SupportedRealtimeInferenceInstanceTypes": ["ml.m5.large"],
    }
    inference = {"InferenceSpecification": specification() | types}
    ask(world, "CreateModelPackage", ModelPackageName="alone", **inference)
    assert "ModelApprovalStatus" not in ask(world, "DescribeModelPackage", ModelPackageName="alone")
    code, message = refused(world, "CreateModelPackage", ModelPackageName="alone", **inference)
    assert (code, "ModelPackage already exists" in message) == ("ValidationException", True)
    listed = ask(world, "ListModelPackages", NameContains="alo")["ModelPackageSummaryList"]
    assert [each["ModelPackageName"] for each in listed] == ["alone"]
    bare = {"InferenceSpecification": specification()}
    assert "required for unversioned" in refused(world, "CreateModelPackage", ModelPackageName="b", **bare)[1]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"ModelPackageName": "a"}, "Both ModelPackageName and ModelPackageGroupName are provided"),
        ({"ModelPackageGroupName": None}, "Missing ARN"),
        ({"ModelPackageGroupName": "none"}, "Model Package Group does not exist."),
        ({"InferenceSpecification": None}, "InferenceSpecification or SourceAlgorithmSpecification must"),
        ({"InferenceSpecification": specification(Image=None)}, "Container 1 of the inference specification"),
        (
            {"InferenceSpecification": specification(ModelDataUrl="model.tar.gz")},
            "1 validation error detected: Value 'model.tar.gz' at "
            "'inferenceSpecification.containers.1.member.modelDataUrl' failed to satisfy constraint",
        ),
        (
            {"InferenceSpecification": specification(ModelDataUrl="s3://bucket/none.tar.gz")},
            "Cannot find S3 object: none.tar.gz in bucket bucket. Please check if your S3 object exists "
            "and has proper permissions for SageMaker.",
        ),
        ({"SourceUri": "arn:aws:sagemaker:us-east-1:1:model/m"}, "relay local: SourceUri is not emulated"),
    ],
)
def test_what_cannot_be_registered_is_refused_with_its_reason(changes: dict[str, Any], message: str) -> None:
    world = opened()
    with pytest.raises(ServiceError) as error:
        register(world, **changes)
    assert error.value.code == "ValidationException"
    assert error.value.message.startswith(message)


def test_a_group_that_exists_is_refused_in_the_words_that_clients_look_for() -> None:
    assert refused(opened(), "CreateModelPackageGroup", ModelPackageGroupName="Digits") == (
        "ValidationException",
        "Model Package Group already exists.",
    )


def test_groups_versions_and_their_tags_outlive_the_world(tmp_path: Path) -> None:
    world = opened(state_dir=tmp_path)
    arn = register(world, Tags=[{"Key": "a", "Value": "b"}])
    ask(world, "AddTags", ResourceArn=arn, Tags=[{"Key": "c", "Value": "d"}])
    ask(world, "DeleteModelPackage", ModelPackageName=register(world))
    before = ask(world, "DescribeModelPackage", ModelPackageName=arn)
    # when it is opened again
    later = World(state_dir=tmp_path)
    later.objects.put("bucket", "model.tar.gz", b"model")
    # then everything is there, and numbers go on
    assert ask(later, "DescribeModelPackage", ModelPackageName=arn) == before
    assert ask(later, "ListTags", ResourceArn=arn)["Tags"] == [
        {"Key": "a", "Value": "b"},
        {"Key": "c", "Value": "d"},
    ]
    assert register(later) == f"{VERSION}/3"


def test_a_machine_registers_a_model_in_virtual_time() -> None:
    # given a machine that makes a group, registers a version in it, and takes a group that exists for granted
    world = VirtualWorld({}, bucket="bucket")
    world.objects.put("bucket", "model.tar.gz", b"model")
    resource = "arn:aws:states:::aws-sdk:sagemaker:"
    make = {
        "Type": "Task",
        "Resource": f"{resource}createModelPackageGroup",
        "Arguments": {"ModelPackageGroupName": "digits"},
        "Next": "again",
    }
    caught = {"ErrorEquals": ["SageMaker.SageMakerException"], "Next": "register"}
    create = {
        "Type": "Task",
        "Resource": f"{resource}createModelPackage",
        "Arguments": {
            "ModelPackageGroupName": "digits",
            "InferenceSpecification": specification(),
            "ClientToken": "{% $hash($states.context.Execution.Id, 'MD5') %}",
        },
        "End": True,
    }
    states = {"make": make, "again": {**make, "Next": "register", "Catch": [caught]}, "register": create}
    arn = world.run({"QueryLanguage": "JSONata", "StartAt": "make", "States": states})
    # then
    assert json.loads(world.describe(arn)["output"]) == {"ModelPackageArn": f"{VERSION}/1"}


def test_the_model_of_a_finished_job_can_be_registered() -> None:
    world = opened()
    world.create()
    model = world.run()["ModelArtifacts"]["S3ModelArtifacts"]
    assert register(world, InferenceSpecification=specification(ModelDataUrl=model)) == f"{VERSION}/1"
