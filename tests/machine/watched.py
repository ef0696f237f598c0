"""What the tests of the capacity watch share: one stage, its scenario, and what became of its jobs."""

import pytest

TRAIN = {"name": "train"}
PATIENCE = 600  # seconds, tests.machine.pipelines.PATIENT
LAUNCH = 60  # seconds, the platform's
READINGS = pytest.mark.parametrize("stopped_is_success", [False, True])


def scenario(*entries):
    return {"spot": {"train": list(entries)}}


def job(run, attempt=0):
    """The description of an attempt's job."""
    name = run.view.stages["train"].attempts[attempt].job
    return run.world.sagemaker.handle("DescribeTrainingJob", {"TrainingJobName": name})


def tags(run, attempt=0):
    """The tags of an attempt's job."""
    listed = run.world.sagemaker.handle("ListTags", {"ResourceArn": job(run, attempt)["TrainingJobArn"]})
    return {tag["Key"]: tag["Value"] for tag in listed["Tags"]}


def seconds(run, attempt=0):
    """From the creation of an attempt's job to its end."""
    found = job(run, attempt)
    return (found["LastModifiedTime"] - found["CreationTime"]).total_seconds()


def endings(run):
    """The last state of each of the watch's executions, once all have ended."""
    for arn in run.world.watches:
        run.world.wait(arn)
    assert {run.world.describe(arn)["status"] for arn in run.world.watches} <= {"SUCCEEDED"}
    return [run.states_of(arn)[-1] for arn in run.world.watches]
