"""Retries of what only time cures, before anything has happened that could happen twice.

The names are those that throttling, faults and lost connections of an action come under
(`ledger/aws_error_names.py`).
Most services model no throttling: it comes as their base exception, and so do refusals that no time cures. So
a look that finds its object in the ordinary case waits for minutes, and one that may be refused does not.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from workflows.ledger.aws_error_names import SDK, known_errors
from workflows.state_machine import language as asl


def retry(errors: Sequence[str], *, first: int, attempts: int, longest: int) -> Any:
    """Doubling delays with full jitter, from `first` to `longest` seconds."""
    return asl.Retry(
        error_equals=list(errors),
        interval_seconds=first,
        max_attempts=attempts,
        backoff_rate=2.0,
        max_delay_seconds=longest,
        jitter_strategy="FULL",
    )


def busy(
    action: str, *, first: int = 2, attempts: int = 8, longest: int = 60, also: Sequence[str] = ()
) -> Any:
    """The retrier of an `aws-sdk` call that changes nothing, or does the same when it is made twice.

    As it stands it waits four minutes at most, and half of that on average; ListTrainingJobs is reported to
    take two requests a second. `also`: what else time cures here, without the service's name.
    """
    known = known_errors(f"{SDK}{action}")
    if known is None:
        raise ValueError(f"{action} is no action of a service in workflows.ledger.aws_error_names.SERVICES")
    prefix = known.base.partition(".")[0]
    names = [*known.busy, *(f"{prefix}.{name}" for name in also)]
    return retry(names, first=first, attempts=attempts, longest=longest)


def create_busy(resource: str) -> Any:
    """The retrier of a job's creation: a quota that may be free in a minute, and no answer.

    Not of the base exception: a request that is wrong comes under it, too. What of it was throttling tells
    the Cause, and the decision table then waits longer than a retry would (`outcomes.py`). A job that was
    created though its answer was lost is found by its name: the retry is told ResourceInUse.
    """
    known = known_errors(resource)
    if known is None:
        raise ValueError(f"{resource} is no integration in workflows.ledger.aws_error_names")
    quota = [name for name in known.modelled if "ResourceLimitExceeded" in name]
    return retry([*quota, known.no_answer], first=5, attempts=4, longest=120)


def no_answer(action: str) -> Any:
    """The retrier of a write on a condition: a refusal under the base exception is the condition's."""
    known = known_errors(f"{SDK}{action}")
    assert known is not None, action
    return retry([known.no_answer], first=1, attempts=4, longest=20)


def whatever_it_was() -> list[Any]:
    """For a call that the run does not need: once more after any error but one of the machine's own
    expression, for which time is no cure. Every retry takes three of a history's events."""
    own = asl.Retry(error_equals=["States.QueryEvaluationError"], max_attempts=0)
    return [own, retry(["States.TaskFailed"], first=4, attempts=1, longest=20)]
