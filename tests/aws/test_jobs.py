"""What SageMaker does with jobs: stops, seconds billed, spot, keys, checkpoints."""

import json
import os

import pytest
from botocore.exceptions import ClientError

from tests.aws.assumptions import settle
from tests.aws.requests import PROBE, following_a_job, training_job
from workflows.jobs.job_names import job_prefix


def job_name():
    return f"{PROBE}-{os.urandom(4).hex()}"


def jobs_of(account, run):
    """The training jobs that a run of the digits has had."""
    pages = account.sagemaker.get_paginator("list_training_jobs").paginate(
        NameContains=job_prefix("digits"), CreationTimeAfter=run["startDate"]
    )
    names = [each["TrainingJobName"] for page in pages for each in page["TrainingJobSummaries"]]
    return [account.sagemaker.describe_training_job(TrainingJobName=name) for name in names]


def test_a_stopped_job_is_an_error_of_its_sync_task(account, name, probe_role, job_role, image):
    job = job_name()
    request = training_job(job, image=image, role=job_role, bucket=account.site.bucket)
    machine = account.stepfunctions.create_state_machine(
        name=name, definition=following_a_job(request), roleArn=probe_role
    )
    started = account.stepfunctions.start_execution(stateMachineArn=machine["stateMachineArn"], input="{}")
    account.until("the job", lambda: is_there(account, job), minutes=3)

    account.sagemaker.stop_training_job(TrainingJobName=job)

    seen = account.ended(started["executionArn"], minutes=15).get("output", "")
    settle("stopped-job", '"error"' in seen and "States.TaskFailed" in seen, seen)


def is_there(account, job):
    try:
        return account.sagemaker.describe_training_job(TrainingJobName=job)
    except ClientError:
        return None


def test_billable_seconds_are_there_and_hold_the_discount(account, finished):
    spot = [job for job in jobs_of(account, finished) if job.get("EnableManagedSpotTraining")]
    if not spot:
        pytest.skip("no attempt of the run was on spot: there was no capacity; try again later")
    seen = [(job.get("BillableTimeInSeconds"), job.get("TrainingTimeInSeconds")) for job in spot]

    settle("billable-seconds", all(b is not None and b < t for b, t in seen), f"(billable, training): {seen}")


def test_a_longest_wait_with_spot_is_refused(account, job_role, image):
    job = job_name()
    request = training_job(
        job, image=image, role=job_role, bucket=account.site.bucket, spot=True, pending=7200
    )
    try:
        account.sagemaker.create_training_job(**request)
    except ClientError as error:
        seen, refused = str(error), "MaxPendingTime" in str(error)
    else:
        account.sagemaker.stop_training_job(TrainingJobName=job)
        seen, refused = "the job was created", False

    settle("pending-with-spot", refused, seen)


def test_channels_and_checkpoints_arrive_with_the_conditions_of_the_job_role(account, finished):
    reasons = [job.get("FailureReason", "") for job in jobs_of(account, finished)]

    settle("list-bucket", not any("Denied" in r or "403" in r for r in reasons), reasons)
    assert finished["status"] == "SUCCEEDED", finished.get("cause")


def test_sync_needs_no_more_than_the_machines_role_allows(finished):
    cause = finished.get("cause", "")

    settle("list-tags", "not authorized" not in cause, cause)
    assert finished["status"] == "SUCCEEDED", cause


def test_what_the_library_prunes_is_deleted_in_s3(account, finished):
    pages = account.s3.get_paginator("list_object_versions").paginate(
        Bucket=account.site.bucket, Prefix="digits/runs/"
    )
    pruned = [each["Key"] for page in pages for each in page.get("DeleteMarkers", [])]

    settle("agent-deletes", any("/checkpoints/" in key for key in pruned), f"{len(pruned)} deleted objects")


def test_volumes_are_encrypted_with_the_grants_of_the_job_role(account, job_role, image):
    key = account.kms.create_key(Description=PROBE)["KeyMetadata"]
    role = job_role.rpartition("/")[2]
    # What `stacks/job_grants.py` gives a stage with a `volume_key`.
    statement = {"Effect": "Allow", "Action": ["kms:CreateGrant", "kms:DescribeKey"], "Resource": key["Arn"]}
    policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    account.iam.put_role_policy(RoleName=role, PolicyName=PROBE, PolicyDocument=policy)
    job = job_name()
    try:
        account.pause(15)  # IAM is eventually consistent
        request = training_job(
            job, image=image, role=job_role, bucket=account.site.bucket, volume_key=key["Arn"], seconds=60
        )
        account.sagemaker.create_training_job(**request)
        told = account.job_ended(job)
    finally:
        account.iam.delete_role_policy(RoleName=role, PolicyName=PROBE)
        account.kms.schedule_key_deletion(KeyId=key["KeyId"], PendingWindowInDays=7)

    seen = f"{told['SecondaryStatus']} {told.get('FailureReason', '')}"
    settle("kms-grants", told["SecondaryStatus"] == "MaxRuntimeExceeded", seen)


def test_an_interruption_of_one_instance_restarts_them_all(account):
    """Nobody can order an interruption: it is looked for among the spot jobs of the account's last months."""
    pages = account.sagemaker.get_paginator("list_training_jobs").paginate(
        SortBy="CreationTime", SortOrder="Descending", PaginationConfig={"MaxItems": 300}
    )
    for page in pages:
        for each in page["TrainingJobSummaries"]:
            job = account.sagemaker.describe_training_job(TrainingJobName=each["TrainingJobName"])
            words = [told["Status"] for told in job.get("SecondaryStatusTransitions", [])]
            if job.get("ResourceConfig", {}).get("InstanceCount", 1) > 1 and "Interrupted" in words:
                after = words[words.index("Interrupted") + 1 :]
                settle("multi-instance", "Starting" in after, f"{job['TrainingJobName']}: {words}")
                return
    pytest.skip("no spot job on several instances was interrupted here yet: run one for some days")
