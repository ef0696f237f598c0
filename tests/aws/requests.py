"""What the experiments send, as plain data: checked against botocore's models without an account."""

from __future__ import annotations

import json
from typing import Any

PROBE = "relay-probe"
JOB = "arn:aws:states:::sagemaker:createTrainingJob.sync"
SLEEP = ["-c", "import time; time.sleep(900)"]
KIND = "ml.m5.xlarge"


def training_job(
    name: str, *, image: str, role: str, bucket: str, spot: bool = False, pending: int | None = None,
    volume_key: str | None = None, seconds: int = 1200,
) -> dict[str, Any]:  # fmt: skip
    """A job that sleeps for a quarter of an hour, unless it is stopped."""
    stopping = {"MaxRuntimeInSeconds": seconds}
    if spot:
        stopping["MaxWaitTimeInSeconds"] = seconds + 600
    if pending:
        stopping["MaxPendingTimeInSeconds"] = pending
    request: dict[str, Any] = {
        "TrainingJobName": name,
        "RoleArn": role,
        "AlgorithmSpecification": {
            "TrainingImage": image,
            "TrainingInputMode": "File",
            "ContainerEntrypoint": ["python3"],
            "ContainerArguments": SLEEP,
        },
        "OutputDataConfig": {"S3OutputPath": f"s3://{bucket}/digits/runs/{PROBE}/"},
        "ResourceConfig": {"InstanceType": KIND, "InstanceCount": 1, "VolumeSizeInGB": 5},
        "StoppingCondition": stopping,
        "EnableManagedSpotTraining": spot,
    }
    if volume_key:
        request["ResourceConfig"]["VolumeKmsKeyId"] = volume_key
    return request


def trust(service: str, account: str) -> str:
    """The trust policy of the suite's own role."""
    statement = {
        "Effect": "Allow",
        "Principal": {"Service": service},
        "Action": "sts:AssumeRole",
        "Condition": {"StringEquals": {"aws:SourceAccount": account}},
    }
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


def probe_policy(region: str, account: str, job_role: str) -> str:
    """What the suite's small machines may do: start and follow jobs and children of the suite's own names."""
    jobs = f"arn:aws:sagemaker:{region}:{account}:training-job/{PROBE}*"
    rule = f"arn:aws:events:{region}:{account}:rule/StepFunctionsGetEventsForSageMakerTrainingJobsRule"
    statements = [
        {
            "Action": [f"sagemaker:{verb}TrainingJob" for verb in ("Create", "Describe", "Stop")]
            + ["sagemaker:AddTags", "sagemaker:ListTags"],
            "Resource": jobs,
        },
        {"Action": ["events:PutTargets", "events:PutRule", "events:DescribeRule"], "Resource": rule},
        {"Action": "iam:PassRole", "Resource": job_role},
        {
            "Action": ["states:StartExecution", "states:DescribeExecution", "states:StopExecution"],
            "Resource": f"arn:aws:states:{region}:{account}:*:{PROBE}*",
        },
    ]
    return json.dumps(
        {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", **each} for each in statements]}
    )


def machine(states: dict[str, Any], start: str) -> str:
    """A definition in JSONata."""
    return json.dumps({"QueryLanguage": "JSONata", "StartAt": start, "States": states})


def following_a_job(job: dict[str, Any]) -> str:
    """Succeeds with {"way": "success"} or {"way": "error", "error": its name}."""
    caught = {
        "ErrorEquals": ["States.ALL"],
        "Next": "error",
        "Assign": {"seen": "{% $states.errorOutput.Error %}"},
    }
    return machine(
        {
            "job": {"Type": "Task", "Resource": JOB, "Arguments": job, "Catch": [caught], "Next": "success"},
            "success": {"Type": "Succeed", "Output": {"way": "success"}},
            "error": {"Type": "Succeed", "Output": {"way": "error", "error": "{% $seen %}"}},
        },
        "job",
    )


def failing_expression(job: dict[str, Any], *, caught: str, retried: tuple[tuple[str, int], ...] = ()) -> str:
    """A task whose Arguments cannot be evaluated: no job is ever made. Says which Catch saw it; `retried` are
    (error, attempts) of its Retry, in order."""
    task: dict[str, Any] = {
        "Type": "Task",
        "Resource": JOB,
        "Arguments": {**job, "TrainingJobName": "{% $error('held') %}"},
        "Catch": [
            {"ErrorEquals": [caught], "Next": "named"},
            {"ErrorEquals": ["States.ALL"], "Next": "other"},
        ],
        "End": True,
    }
    if retried:
        task["Retry"] = [
            {"ErrorEquals": [error], "IntervalSeconds": 1, "MaxAttempts": attempts}
            for error, attempts in retried
        ]
    ends = {name: {"Type": "Succeed", "Output": {"caught": name}} for name in ("named", "other")}
    return machine({"task": task, **ends}, "task")


def children() -> str:
    """A Distributed Map with two children that fail and are tolerated."""
    child = {
        "ProcessorConfig": {"Mode": "DISTRIBUTED", "ExecutionType": "STANDARD"},
        "StartAt": "fail",
        "States": {"fail": {"Type": "Fail", "Error": "Probe"}},
    }
    each = {
        "Type": "Map",
        "Items": [1, 2],
        "Label": "Child",
        "ItemProcessor": child,
        "ToleratedFailurePercentage": 100,
        "End": True,
    }
    return machine({"each": each}, "each")


def fails_unless(word: str) -> str:
    """Fails; a redrive under a definition with another word would tell that word."""
    return machine({"fail": {"Type": "Fail", "Error": "Probe", "Cause": word}}, "fail")


def status_rule(account: str) -> str:
    """The pattern of every ended execution of the suite's own machines."""
    return json.dumps(
        {
            "source": ["aws.states"],
            "detail-type": ["Step Functions Execution Status Change"],
            "account": [account],
            "detail": {"status": ["FAILED", "SUCCEEDED"], "executionArn": [{"wildcard": f"*:{PROBE}*"}]},
        }
    )


def queue_policy(queue_arn: str, rule_arn: str) -> str:
    """EventBridge's rule, and nobody else, may send to the queue."""
    statement = {
        "Effect": "Allow",
        "Principal": {"Service": "events.amazonaws.com"},
        "Action": "sqs:SendMessage",
        "Resource": queue_arn,
        "Condition": {"ArnEquals": {"aws:SourceArn": rule_arn}},
    }
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


# (service, operation, parameters): one of each that holds more than names.
def samples() -> list[tuple[str, str, dict[str, Any]]]:
    """Every request that the suite builds, with values as an account would have them."""
    role = "arn:aws:iam::123456789012:role/relay-probe"
    job = {
        "image": "123456789012.dkr.ecr.us-east-1.amazonaws.com/a:1",
        "role": role,
        "bucket": "relay-bucket",
    }
    jobs = [
        training_job(f"{PROBE}-1", **job),
        training_job(f"{PROBE}-2", **job, spot=True, pending=7200),
        training_job(f"{PROBE}-3", **job, volume_key="arn:aws:kms:us-east-1:123456789012:key/a"),
    ]
    return [("sagemaker", "CreateTrainingJob", each) for each in jobs]
