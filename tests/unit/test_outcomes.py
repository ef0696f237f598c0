"""Every text that AWS was seen to write is told for what it is, and no script can pretend another."""

import pytest

from tests.oracle.policy import classify
from workflows.policy.outcomes import Outcome

BASE = {
    "status": "Failed",
    "secondary": "Failed",
    "reason": "",
    "error": "",
    "whole": False,
    "trained": True,
    "watched": False,
    "redriven": False,
    "held": "",
}

FAILURES = [
    (
        "CapacityError: Unable to provision requested ML compute capacity. "
        "Please retry using a different ML instance type.",
        Outcome.NO_CAPACITY,
    ),
    ("InternalServerError: We encountered an internal error. Please try again.", Outcome.PLATFORM_FAULT),
    ("InternalServerError: We encountered an internal error.  Please try again.", Outcome.PLATFORM_FAULT),
    (
        'AlgorithmError: ExecuteUserScriptError:\nCommand "/opt/conda/bin/python3.6 train.py --epochs 3"',
        Outcome.USER_ERROR,
    ),
    ("AlgorithmError: , exit code: 1", Outcome.USER_ERROR),
    ("AlgorithmError: Exit Code: 1", Outcome.USER_ERROR),
    ("AlgorithmError: framework error: \nTraceback (most recent call last): ...", Outcome.USER_ERROR),
    ("AlgorithmError: uncaught exception during training: ...", Outcome.USER_ERROR),
    (
        "ClientError: Please use an instance type with more memory, or reduce the size of job data processed "
        "on an instance.",
        Outcome.BAD_REQUEST,
    ),
    (
        "ClientError: Artifact upload failed:ClientError: Out of Memory. Please use a larger instance",
        Outcome.BAD_REQUEST,
    ),
    (
        "ClientError: Data download failed:failed to download data. 403 Forbidden (403): Forbidden",
        Outcome.BAD_REQUEST,
    ),
    (
        "ClientError: Data download failed:Please ensure that the subnet's route table has a route to an S3 "
        "VPC endpoint or a NAT device, both the security groups and the subnet's network ACL allow these",
        Outcome.BAD_REQUEST,
    ),
    ("ClientError: Artifact upload failed:Error 7: AccessDenied (403): Access Denied", Outcome.BAD_REQUEST),
    ("ClientError: SageMaker was unable to assume the role 'arn:aws:iam::1:role/x'", Outcome.BAD_REQUEST),
    ("ClientError: ClientError: Data download failed:Failed to download data. x", Outcome.BAD_REQUEST),
    ("ClientError: Please use a GPU instance for training", Outcome.BAD_REQUEST),
    ("AlgorithmError: CapacityError: no capacity, says the script", Outcome.USER_ERROR),
    ("AlgorithmError: InternalServerError: We encountered an internal error.", Outcome.USER_ERROR),
    ("something that nobody has seen", Outcome.UNKNOWN),
]


@pytest.mark.parametrize(("text", "outcome"), FAILURES)
def test_a_failure_reason_is_told_by_its_prefix(text, outcome):
    normalised = " ".join(text.split())  # as the machine's $trim does

    assert classify({**BASE, "reason": normalised}) == outcome


@pytest.mark.parametrize(
    ("error", "cause", "outcome"),
    [
        (
            "SageMaker.ResourceLimitExceededException",
            "The account-level service limit 'ml.p3.2xlarge for training job usage' is 0 Instances, with "
            "current utilization of 0 Instances and a request delta of 1 Instances.",
            Outcome.QUOTA,
        ),
        ("SageMaker.ResourceLimitExceeded", "x", Outcome.QUOTA),
        (
            "SageMaker.AmazonSageMakerException",
            "Rate exceeded (Error Code: ThrottlingException)",
            Outcome.THROTTLED,
        ),
        ("SageMaker.ThrottlingException", "Rate exceeded", Outcome.THROTTLED),
        (
            "SageMaker.AmazonSageMakerException",
            "User: arn:aws:sts::1:x is not authorized to perform: sagemaker:CreateTrainingJob on resource: y "
            "(Service: AmazonSageMaker; Status Code: 400; Error Code: AccessDeniedException; Request ID: z)",
            Outcome.BAD_REQUEST,
        ),
        (
            "SageMaker.AmazonSageMakerException",
            "We encountered an internal error (Service: AmazonSageMaker; Status Code: 500; Error Code: "
            "InternalFailure)",
            Outcome.PLATFORM_FAULT,
        ),
        ("States.QueryEvaluationError", "Rate exceeded", Outcome.UNKNOWN),
        ("States.TaskFailed", "", Outcome.UNKNOWN),
    ],
)
def test_an_attempt_without_a_job_is_told_by_the_error_of_the_create_call(error, cause, outcome):
    attempt = {**BASE, "status": "", "secondary": "", "error": error, "reason": cause, "trained": False}

    assert classify(attempt) == outcome


@pytest.mark.parametrize(
    ("status", "secondary", "trained", "whole", "outcome"),
    [
        ("Completed", "Completed", True, True, Outcome.COMPLETED),
        ("Completed", "Completed", True, False, Outcome.UNFINISHED),
        ("Stopped", "MaxWaitTimeExceeded", True, False, Outcome.INTERRUPTED),
        ("Stopped", "MaxWaitTimeExceeded", False, False, Outcome.NO_CAPACITY),
        ("Stopped", "MaxRuntimeExceeded", True, False, Outcome.SLICE_OVER),
        ("Stopped", "Stopped", True, False, Outcome.STOPPED),
        ("InProgress", "Training", True, False, Outcome.STILL_RUNNING),
        ("Stopping", "Stopping", True, False, Outcome.STILL_RUNNING),
        ("Deleting", "AStatusOfNextYear", True, False, Outcome.UNKNOWN),
    ],
)
def test_a_job_is_told_by_its_status(status, secondary, trained, whole, outcome):
    attempt = {**BASE, "status": status, "secondary": secondary, "trained": trained, "whole": whole}

    assert classify(attempt) == outcome


@pytest.mark.parametrize(
    ("secondary", "trained", "outcome"),
    [
        ("Stopped", True, Outcome.INTERRUPTED),
        ("Stopped", False, Outcome.NO_CAPACITY),
        ("AStatusOfNextYear", False, Outcome.NO_CAPACITY),
        # MaxWait or MaxRuntime ran out in the very moment in which the watch left its mark.
        ("MaxWaitTimeExceeded", True, Outcome.INTERRUPTED),
        ("MaxRuntimeExceeded", True, Outcome.SLICE_OVER),
    ],
)
def test_a_stop_by_the_watch_is_no_stop_by_a_person(secondary, trained, outcome):
    attempt = {**BASE, "status": "Stopped", "secondary": secondary, "trained": trained, "watched": True}

    assert classify(attempt) == outcome


@pytest.mark.parametrize("status", ["Completed", "Failed", "InProgress"])
def test_the_mark_of_a_stop_that_came_too_late_changes_nothing(status):
    late = {**BASE, "status": status, "reason": "AlgorithmError: x", "whole": True, "watched": True}

    assert classify(late) == classify({**late, "watched": False})
