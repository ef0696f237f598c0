"""A program that knows nothing of Relay, only boto3 and an endpoint, drives the local world."""

import json
import time

import boto3
import pytest

from workflows.local.server import LocalWorld

ROLE = "arn:aws:iam::123456789012:role/any"
IMAGE = "123456789012.dkr.ecr.us-east-1.amazonaws.com/python:3"
# Waits for ten minutes when it runs first; one line, since SageMaker takes no line breaks in arguments.
SCRIPT = (
    "import os, pathlib, time; "
    "seen = pathlib.Path(os.environ['SAGEMAKER_BASE_DIR'], 'checkpoints', 'seen'); "
    "seen.exists() or (seen.write_text('once'), time.sleep(600))"
)


@pytest.fixture
def client(tmp_path):
    with LocalWorld(tmp_path / "world", speed=600, grace_seconds=1) as world:

        def client(service):
            return boto3.client(
                service,
                endpoint_url=world.endpoint_url,
                region_name="us-east-1",
                aws_access_key_id="any",
                aws_secret_access_key="any",
            )

        client("s3").create_bucket(Bucket="mine")
        yield client


def request(name):
    return {
        "TrainingJobName": name,
        "AlgorithmSpecification": {
            "TrainingImage": IMAGE,
            "TrainingInputMode": "File",
            "ContainerEntrypoint": ["python3", "-c", SCRIPT],
        },
        "RoleArn": ROLE,
        "OutputDataConfig": {"S3OutputPath": "s3://mine/output"},
        "CheckpointConfig": {"S3Uri": "s3://mine/checkpoints/"},
        "ResourceConfig": {"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 1},
        "StoppingCondition": {"MaxRuntimeInSeconds": 600},
    }


def until(look, *wanted):
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if (found := look()) in wanted:
            return found
        time.sleep(0.05)
    pytest.fail(f"still {found!r}, not one of {wanted}")


@pytest.mark.processes
def test_boto3_alone_starts_follows_stops_and_redrives_an_execution(client):
    states, sagemaker, s3 = client("stepfunctions"), client("sagemaker"), client("s3")
    arguments = request("{% 'job-' & $string($states.context.Execution.RedriveCount) %}")
    definition = {
        "QueryLanguage": "JSONata",
        "StartAt": "Train",
        "States": {
            "Train": {
                "Type": "Task",
                "Resource": "arn:aws:states:::sagemaker:createTrainingJob.sync",
                "Arguments": arguments,
                "Output": "{% $states.result.TrainingJobStatus %}",
                "End": True,
            }
        },
    }
    machine = states.create_state_machine(name="mine", definition=json.dumps(definition), roleArn=ROLE)
    run = states.start_execution(stateMachineArn=machine["stateMachineArn"], name="run", input="{}")
    arn = run["executionArn"]

    def status():
        return states.describe_execution(executionArn=arn)["status"]

    def checkpoint():
        return bool(s3.list_objects_v2(Bucket="mine", Prefix="checkpoints/seen").get("Contents"))

    until(checkpoint, True)
    states.stop_execution(executionArn=arn, error="Mine", cause="enough")
    assert until(status, "ABORTED")
    until(lambda: sagemaker.describe_training_job(TrainingJobName="job-0")["TrainingJobStatus"], "Stopped")

    states.redrive_execution(executionArn=arn)
    assert until(status, "SUCCEEDED", "FAILED") == "SUCCEEDED"

    assert json.loads(states.describe_execution(executionArn=arn)["output"]) == "Completed"
    kinds = [event["type"] for event in states.get_execution_history(executionArn=arn)["events"]]
    assert kinds[0] == "ExecutionStarted"
    assert "ExecutionAborted" in kinds
    assert "ExecutionRedriven" in kinds
    assert kinds[-1] == "ExecutionSucceeded"


@pytest.mark.processes
def test_boto3_alone_creates_a_training_job_and_waits_for_it(client):
    sagemaker = client("sagemaker")
    client("s3").put_object(Bucket="mine", Key="checkpoints/seen", Body=b"once")

    sagemaker.create_training_job(**request("job"))
    sagemaker.get_waiter("training_job_completed_or_stopped").wait(
        TrainingJobName="job", WaiterConfig={"Delay": 0.05, "MaxAttempts": 1200}
    )

    job = sagemaker.describe_training_job(TrainingJobName="job")
    assert job["TrainingJobStatus"] == "Completed"
    assert [change["Status"] for change in job["SecondaryStatusTransitions"]] == [
        "Starting",
        "Downloading",
        "Training",
        "Uploading",
        "Completed",
    ]
