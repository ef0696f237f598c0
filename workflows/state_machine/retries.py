"""Retries of what only time cures, before anything has happened that could happen twice."""

from __future__ import annotations

from typing import Any

from workflows.state_machine import language as asl

# Errors of a create call. Which of them arrives, and with or without `Exception`, is not documented (AWS.md
# 8.3); a throttled call that comes as AmazonSageMakerException is recognised by its text afterwards.
CREATE_BUSY = [
    "SageMaker.ThrottlingException",
    "SageMaker.Throttling",
    "SageMaker.ResourceLimitExceededException",
    "SageMaker.ResourceLimitExceeded",
]
SAGEMAKER_BUSY = ["SageMaker.ThrottlingException"]
S3_BUSY = ["S3.S3Exception", "S3.SdkClientException", "S3.SlowDownException"]

STATES_BUSY = ["Sfn.SfnException", "Sfn.SdkClientException", "Sfn.ThrottlingException"]


def retry(errors: list[str], *, first: int, attempts: int, longest: int) -> Any:
    """Doubling delays with full jitter, from `first` to `longest` seconds."""
    return asl.Retry(
        error_equals=errors,
        interval_seconds=first,
        max_attempts=attempts,
        backoff_rate=2.0,
        max_delay_seconds=longest,
        jitter_strategy="FULL",
    )


def sagemaker_busy() -> Any:
    """For a call of SageMaker's that changes nothing, or that does the same when it is made twice."""
    return retry(SAGEMAKER_BUSY, first=2, attempts=8, longest=60)


def whatever_it_was() -> list[Any]:
    """For a call that the run does not need: once more after any error but one of the machine's own
    expression, for which time is no cure. Every retry takes three of a history's events."""
    own = asl.Retry(error_equals=["States.QueryEvaluationError"], max_attempts=0)
    return [own, retry(["States.TaskFailed"], first=4, attempts=1, longest=20)]


def states_busy() -> Any:
    """For looking at an execution."""
    return retry(STATES_BUSY, first=1, attempts=4, longest=20)


def s3_busy() -> Any:
    """For reading or writing one small object."""
    return retry(S3_BUSY, first=1, attempts=4, longest=20)
