"""The front door: every API over HTTP with boto3, what it refuses, and what outlives a world."""

from __future__ import annotations

import http.client
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from botocore.exceptions import ClientError

from tests.local.worlds import final, statuses, submit, until
from tests.training_jobs import ROLE, training_job
from workflows.local.scenario import parse_scenario
from workflows.local.server import LocalWorld, WorldError

NEVER = parse_scenario({"spot": {"pretrain": ["none"] * 5}})


def refused(call: Callable[..., Any], **arguments: Any) -> tuple[str, str]:
    """Code and message of the error that a call ends with."""
    with pytest.raises(ClientError) as error:
        call(**arguments)
    found = error.value.response["Error"]
    return found["Code"], found["Message"]


def test_training_jobs_are_created_listed_tagged_and_stopped_through_boto3(
    open_world: Callable[..., LocalWorld],
) -> None:
    # given two spot jobs that never get capacity
    world = open_world(scenario=NEVER)
    sagemaker = world.client("sagemaker")
    arn = sagemaker.create_training_job(**training_job("job-a", spot=True))["TrainingJobArn"]
    sagemaker.create_training_job(**training_job("job-b", spot=True))
    # then they are listed, page by page
    first = sagemaker.list_training_jobs(MaxResults=1, SortBy="Name", SortOrder="Descending")
    assert [each["TrainingJobName"] for each in first["TrainingJobSummaries"]] == ["job-b"]
    pages = sagemaker.get_paginator("list_training_jobs").paginate(
        NameContains="job", PaginationConfig={"PageSize": 1}
    )
    names = [each["TrainingJobName"] for page in pages for each in page["TrainingJobSummaries"]]
    assert names == ["job-a", "job-b"]
    assert sagemaker.list_training_jobs(StatusEquals="Failed")["TrainingJobSummaries"] == []
    created = sagemaker.describe_training_job(TrainingJobName="job-a")["CreationTime"]
    late = sagemaker.list_training_jobs(CreationTimeAfter=created)["TrainingJobSummaries"]
    assert len(late) >= 1
    # and carry tags
    sagemaker.add_tags(ResourceArn=arn, Tags=[{"Key": "a", "Value": "b"}])
    sagemaker.delete_tags(ResourceArn=arn, TagKeys=["relay:stage"])
    assert sagemaker.list_tags(ResourceArn=arn)["Tags"] == [{"Key": "a", "Value": "b"}]
    # and stop
    sagemaker.stop_training_job(TrainingJobName="job-a")
    assert statuses(final(world, "job-a")) == ["Starting", "Stopping", "Stopped"]
    assert refused(sagemaker.stop_training_job, TrainingJobName="job-a") == (
        "ValidationException",
        "The request was rejected because the training job is in status Stopped.",
    )


def test_errors_have_the_codes_and_texts_that_boto3_gets_from_aws(
    open_world: Callable[..., LocalWorld],
) -> None:
    world = open_world(scenario=NEVER, quotas={"ml.g5.2xlarge for spot training job usage": 1})
    sagemaker = world.client("sagemaker")
    sagemaker.create_training_job(**training_job("job-a", spot=True))
    assert refused(sagemaker.describe_training_job, TrainingJobName="none") == (
        "ValidationException",
        "Requested resource not found.",
    )
    with pytest.raises(sagemaker.exceptions.ResourceInUse) as taken:
        sagemaker.create_training_job(**training_job("job-a", spot=True))
    assert taken.value.response["Error"]["Message"] == (
        "Training job names must be unique within an AWS account and region, and a training job "
        "with this name already exists"
    )
    with pytest.raises(sagemaker.exceptions.ResourceLimitExceeded) as full:
        sagemaker.create_training_job(**training_job("job-b", spot=True))
    assert full.value.response["Error"]["Message"] == (
        "The account-level service limit 'ml.g5.2xlarge for spot training job usage' is 1 Instances, "
        "with current utilization of 1 Instances and a request delta of 1 Instances. Please "
        "contact AWS support to request an increase for this limit."
    )
    code, _ = refused(sagemaker.list_models)
    assert code == "UnknownOperationException"


def test_models_are_registered_and_approved_through_boto3(open_world: Callable[..., LocalWorld]) -> None:
    world = open_world()
    sagemaker = world.client("sagemaker")
    world.client("s3").put_object(Bucket="bucket", Key="m.tar.gz", Body=b"model")
    sagemaker.create_model_package_group(ModelPackageGroupName="digits")
    container = {"Image": "image", "ModelDataUrl": "s3://bucket/m.tar.gz"}
    inference = {"Containers": [container], "SupportedContentTypes": ["text/csv"]}
    arn = sagemaker.create_model_package(
        ModelPackageGroupName="digits", InferenceSpecification=inference, ClientToken="t-1"
    )["ModelPackageArn"]
    sagemaker.update_model_package(ModelPackageArn=arn, ModelApprovalStatus="Approved")
    found = sagemaker.describe_model_package(ModelPackageName=arn)
    assert (found["ModelApprovalStatus"], found["ModelPackageVersion"]) == ("Approved", 1)
    pages = sagemaker.get_paginator("list_model_packages").paginate(ModelPackageGroupName="digits")
    assert [each["ModelPackageArn"] for page in pages for each in page["ModelPackageSummaryList"]] == [arn]
    for bucket in ("bucket", "none"):
        lost = {"Containers": [container | {"ModelDataUrl": f"s3://{bucket}/lost.tar.gz"}]}
        code, message = refused(
            sagemaker.create_model_package, ModelPackageGroupName="digits", InferenceSpecification=lost
        )
        assert code == "ValidationException"
        assert message.startswith(f"Cannot find S3 object: lost.tar.gz in bucket {bucket}.")


def test_step_functions_answer_at_the_same_door(open_world: Callable[..., LocalWorld]) -> None:
    world = open_world()
    states = world.client("stepfunctions")
    definition = {
        "QueryLanguage": "JSONata",
        "StartAt": "wait",
        "States": {
            "wait": {"Type": "Wait", "Seconds": 60, "Next": "done"},
            "done": {"Type": "Pass", "End": True, "Output": {"ok": "{% $states.input.a + 1 %}"}},
        },
    }
    machine = states.create_state_machine(name="m", definition=json.dumps(definition), roleArn=ROLE)[
        "stateMachineArn"
    ]
    run = states.start_execution(stateMachineArn=machine, input='{"a": 1}')["executionArn"]
    ended = until(
        lambda: (found := states.describe_execution(executionArn=run))["status"] != "RUNNING" and found
    )
    assert json.loads(ended["output"]) == {"ok": 2}
    assert (ended["stopDate"] - ended["startDate"]).total_seconds() >= 60
    assert refused(states.describe_execution, executionArn=run + "x")[0] == "ExecutionDoesNotExist"


@pytest.mark.processes
def test_a_processing_job_reads_its_inputs_and_uploads_its_outputs(
    open_world: Callable[..., LocalWorld],
) -> None:
    world = open_world()
    s3, sagemaker = world.client("s3"), world.client("sagemaker")
    s3.put_object(
        Bucket="bucket",
        Key="code/prepare.py",
        Body=b"import os, json\n"
        b"base = os.environ['SAGEMAKER_BASE_DIR']\n"
        b"config = json.load(open(base + '/config/processingjobconfig.json'))\n"
        b"out = open(base + '/processing/output/train/sub.txt', 'w')\n"
        b"out.write(config['ProcessingJobName'])\n"
        b"open(base + '/output/message', 'w').write('all is well')\n",
    )
    code = {
        "S3Uri": "s3://bucket/code/",
        "LocalPath": "/opt/ml/processing/input/code",
        "S3DataType": "S3Prefix",
        "S3InputMode": "File",
    }
    output = {
        "S3Uri": "s3://bucket/prepared",
        "LocalPath": "/opt/ml/processing/output/train",
        "S3UploadMode": "EndOfJob",
    }
    arguments: dict[str, Any] = {
        "ProcessingJobName": "prepare-1",
        "RoleArn": ROLE,
        "AppSpecification": {
            "ImageUri": "image",
            "ContainerEntrypoint": ["python3", "/opt/ml/processing/input/code/prepare.py"],
        },
        "ProcessingResources": {
            "ClusterConfig": {
                "InstanceCount": 1,
                "InstanceType": "ml.m5.large",
                "VolumeSizeInGB": 5,
            }
        },
        "ProcessingInputs": [{"InputName": "code", "S3Input": code}],
        "ProcessingOutputConfig": {"Outputs": [{"OutputName": "train", "S3Output": output}]},
    }
    sagemaker.create_processing_job(**arguments)

    def ended() -> Any:
        job = sagemaker.describe_processing_job(ProcessingJobName="prepare-1")
        return job["ProcessingJobStatus"] in ("Completed", "Failed") and job

    job = until(ended)
    assert job["ProcessingJobStatus"] == "Completed", job
    assert job["ExitMessage"] == "all is well"
    found = s3.get_object(Bucket="bucket", Key="prepared/sub.txt")["Body"].read()
    assert found == b"prepare-1"
    listed = sagemaker.list_processing_jobs()["ProcessingJobSummaries"]
    assert [each["ProcessingJobName"] for each in listed] == ["prepare-1"]
    code_, message = refused(sagemaker.stop_processing_job, ProcessingJobName="prepare-1")
    assert (code_, message) == (
        "ValidationException",
        "The request was rejected because the processing job is in status Completed.",
    )


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "evil.example"},
        {"Origin": "https://evil.example"},
        {"Host": "127.0.0.1.evil.example:80"},
    ],
)
def test_requests_of_web_pages_are_refused(
    open_world: Callable[..., LocalWorld], headers: dict[str, str]
) -> None:
    world = open_world()
    connection = http.client.HTTPConnection("127.0.0.1", urlsplit(world.endpoint_url).port or 0)
    connection.putrequest("GET", "/", skip_host=True)
    for name, value in ({"Host": "127.0.0.1"} | headers).items():
        connection.putheader(name, value)
    connection.endheaders()
    assert connection.getresponse().status == 403


def test_the_inside_of_moto_is_out_of_reach(open_world: Callable[..., LocalWorld]) -> None:
    world = open_world()
    connection = http.client.HTTPConnection("127.0.0.1", urlsplit(world.endpoint_url).port or 0)
    connection.request("POST", "/moto-api/reset")
    assert connection.getresponse().status == 403


def test_s3_and_ended_jobs_outlive_the_world(tmp_path: Path) -> None:
    # given a world with objects whose keys are hard to keep as files
    keys = ["a", "a/b", "../../x", "ä ö+%2F", "k" * 1000, "deleted", "deleted-2", "moved"]
    root = tmp_path / "world"
    with LocalWorld(root, speed=600, scenario=NEVER) as world:
        s3 = world.client("s3")
        s3.create_bucket(Bucket="bucket")
        s3.create_bucket(Bucket="empty")
        s3.create_bucket(Bucket="gone")
        s3.delete_bucket(Bucket="gone")
        for key in keys:
            s3.put_object(Bucket="bucket", Key=key, Body=key.encode(), Metadata={"m": "1"})
        s3.copy_object(Bucket="bucket", Key="copied", CopySource={"Bucket": "bucket", "Key": "a"})
        s3.delete_object(Bucket="bucket", Key="deleted")
        s3.delete_objects(Bucket="bucket", Delete={"Objects": [{"Key": "deleted-2"}]})
        upload = s3.create_multipart_upload(Bucket="bucket", Key="parts")["UploadId"]
        tag = s3.upload_part(Bucket="bucket", Key="parts", UploadId=upload, PartNumber=1, Body=b"part")[
            "ETag"
        ]
        s3.complete_multipart_upload(
            Bucket="bucket",
            Key="parts",
            UploadId=upload,
            MultipartUpload={"Parts": [{"ETag": tag, "PartNumber": 1}]},
        )
        file = tmp_path / "large"
        file.write_bytes(bytes(range(256)) * 40_000)  # ten megabytes: boto3 sends it in parts
        s3.upload_file(str(file), "bucket", "large")
        with file.open("rb") as body:
            s3.put_object(Bucket="bucket", Key="from-file", Body=body)
        world.client("sagemaker").create_training_job(**training_job("job-a", spot=True))
        world.client("sagemaker").stop_training_job(TrainingJobName="job-a")
        last = final(world, "job-a")["LastModifiedTime"]
    assert not (tmp_path / "x").exists()
    # when it is opened again
    with LocalWorld(root, speed=600) as world:
        s3 = world.client("s3")
        # then everything is there
        others = {"copied", "parts", "large", "from-file"}
        found = {each["Key"] for each in s3.list_objects_v2(Bucket="bucket")["Contents"]}
        assert found == (set(keys) - {"deleted", "deleted-2"}) | others
        for key in found - others:
            answer = s3.get_object(Bucket="bucket", Key=key)
            assert answer["Body"].read() == key.encode()
            assert answer["Metadata"] == {"m": "1"}
        for key in ("large", "from-file"):
            answer = s3.get_object(Bucket="bucket", Key=key)
            assert answer["Body"].read() == file.read_bytes()
        buckets = {each["Name"] for each in s3.list_buckets()["Buckets"]}
        assert buckets == {"bucket", "empty"}
        job = world.client("sagemaker").describe_training_job(TrainingJobName="job-a")
        assert job["TrainingJobStatus"] == "Stopped"
        assert world.clock.call(world.clock.now) >= last


def test_tables_outlive_the_world_and_a_killed_write_costs_only_itself(tmp_path: Path) -> None:
    # given a table with an item that was changed, and one that was removed
    keys = [("a", "HASH"), ("b", "RANGE")]
    with LocalWorld(tmp_path) as world:
        tables = world.client("dynamodb")
        tables.create_table(
            TableName="t",
            BillingMode="PAY_PER_REQUEST",
            KeySchema=[{"AttributeName": name, "KeyType": kind} for name, kind in keys],
            AttributeDefinitions=[{"AttributeName": name, "AttributeType": "S"} for name, _ in keys],
        )
        place = {"a": {"S": "é"}, "b": {"S": "1"}}
        for number in ("1", "2"):
            tables.put_item(TableName="t", Item=place | {"n": {"N": number}})
        tables.put_item(TableName="t", Item=place | {"b": {"S": "2"}})
        tables.delete_item(TableName="t", Key=place | {"b": {"S": "2"}})
        missing = {"TableName": "none", "Item": place}
        assert refused(tables.put_item, **missing)[0] == "ResourceNotFoundException"
    with (tmp_path / "dynamodb.jsonl").open("a") as file:
        file.write('{"target": "DynamoDB_20120810.PutItem", "bo')
    # when it is opened again, twice
    for _ in range(2):
        with LocalWorld(tmp_path) as world:
            found = world.client("dynamodb").scan(TableName="t")["Items"]
            # then
            assert found == [place | {"n": {"N": "2"}}]


def test_two_worlds_on_one_folder_are_refused_with_the_holder_named(tmp_path: Path) -> None:
    program = (
        "import sys, time; from pathlib import Path; "
        "from workflows.local.server import LocalWorld; "
        "world = LocalWorld(Path(sys.argv[1])); print('open', flush=True); time.sleep(60)"
    )
    other = subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path)], stdout=subprocess.PIPE, text=True
    )
    try:
        assert other.stdout is not None
        assert other.stdout.readline() == "open\n"
        with pytest.raises(WorldError, match=f"in process {other.pid}"):
            LocalWorld(tmp_path)
    finally:
        other.kill()
        other.wait()


@pytest.mark.processes
def test_a_world_never_reads_the_users_own_profile_or_proxy(
    open_world: Callable[..., LocalWorld], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_PROFILE", "no-such-profile")
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    world = open_world()
    submit(world, "job-1", "print('done')")
    assert final(world, "job-1")["TrainingJobStatus"] == "Completed"


def test_a_rule_on_job_events_starts_a_machine_with_what_its_target_asks_for(
    open_world: Callable[..., LocalWorld],
) -> None:
    # given a rule on starting jobs of one stage, with a machine as its target
    world = open_world(scenario=NEVER)
    states, events = world.client("stepfunctions"), world.client("events")
    definition = {"StartAt": "a", "States": {"a": {"Type": "Succeed"}}, "QueryLanguage": "JSONata"}
    machine = states.create_state_machine(name="watch", definition=json.dumps(definition), roleArn=ROLE)[
        "stateMachineArn"
    ]
    pattern = {
        "source": ["aws.sagemaker"],
        "detail-type": ["SageMaker Training Job State Change"],
        "detail": {"SecondaryStatus": ["Starting"], "Tags": {"relay:stage": ["pretrain"]}},
    }
    events.put_rule(Name="starting", EventPattern=json.dumps(pattern))
    transformer = {
        "InputPathsMap": {"job": "$.detail.TrainingJobName"},
        "InputTemplate": '{"job": <job>, "say": "it is <job>"}',
    }
    events.put_targets(
        Rule="starting",
        Targets=[{"Id": "1", "Arn": machine, "RoleArn": ROLE, "InputTransformer": transformer}],
    )
    # when a job of that stage starts, and one of another
    world.client("sagemaker").create_training_job(**training_job("job-a", spot=True))
    other = training_job("job-b", Tags=[{"Key": "relay:stage", "Value": "other"}])
    world.client("sagemaker").create_training_job(**other)
    # then the machine runs once
    until(lambda: states.list_executions(stateMachineArn=machine)["executions"])
    final(world, "job-b")
    runs = states.list_executions(stateMachineArn=machine)["executions"]
    assert len(runs) == 1
    found = states.describe_execution(executionArn=runs[0]["executionArn"])
    assert json.loads(found["input"]) == {"job": "job-a", "say": "it is job-a"}


def test_boto3_sees_the_children_of_a_distributed_map(open_world: Callable[..., LocalWorld]) -> None:
    # given a Map of three items, one of which fails and may
    states = open_world().client("stepfunctions")
    choice = {"Type": "Choice", "Choices": [{"Condition": "{% $states.input = 2 %}", "Next": "no"}]}
    body = {
        "ProcessorConfig": {"Mode": "DISTRIBUTED", "ExecutionType": "STANDARD"},
        "StartAt": "which",
        "States": {
            "which": {**choice, "Default": "yes"},
            "yes": {"Type": "Succeed"},
            "no": {"Type": "Fail", "Error": "Two"},
        },
    }
    spread = {
        "Type": "Map",
        "Items": [1, 2, 3],
        "ItemProcessor": body,
        "ToleratedFailureCount": 1,
        "End": True,
    }
    definition = {"QueryLanguage": "JSONata", "StartAt": "spread", "States": {"spread": spread}}
    machine = states.create_state_machine(name="spread", definition=json.dumps(definition), roleArn=ROLE)
    started = states.start_execution(stateMachineArn=machine["stateMachineArn"])
    until(lambda: states.describe_execution(executionArn=started["executionArn"])["status"] == "SUCCEEDED")
    # when
    [run] = states.list_map_runs(executionArn=started["executionArn"])["mapRuns"]
    described = states.describe_map_run(mapRunArn=run["mapRunArn"])
    pages = states.get_paginator("list_executions").paginate(
        mapRunArn=run["mapRunArn"], PaginationConfig={"PageSize": 2}
    )
    children = [child for page in pages for child in page["executions"]]
    # then
    assert (described["executionCounts"]["succeeded"], described["executionCounts"]["failed"]) == (2, 1)
    assert [child["status"] for child in children].count("FAILED") == 1
    [failed] = [child["executionArn"] for child in children if child["status"] == "FAILED"]
    assert states.describe_execution(executionArn=failed)["error"] == "Two"
    events = states.get_execution_history(executionArn=failed, reverseOrder=True)["events"]
    assert [event["type"] for event in events] == [
        "ExecutionFailed",
        "FailStateEntered",
        "ChoiceStateExited",
        "ChoiceStateEntered",
        "ExecutionStarted",
    ]
