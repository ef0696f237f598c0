"""Why an attempt ended: one ordered rule table that is rendered into the machine.

The facts come from DescribeTrainingJob (DescribeProcessingJob) on the attempt's own job name, from the mark
of the capacity watch, or, when no job was created, from the error of the create call. Sources: the SageMaker
API model for the statuses; the texts of `FailureReason` were recorded from real jobs. A `FailureReason` ends
in up to 1,024 characters that the user's script wrote, so rules look at its anchored prefix only.
"""

from __future__ import annotations

from enum import StrEnum

from workflows.policy.rules import ALWAYS, Fact, Rule, RuleTable


class Outcome(StrEnum):
    """A reason for which an attempt ended."""

    COMPLETED = "completed"
    UNFINISHED = "unfinished"
    INTERRUPTED = "interrupted"
    NO_CAPACITY = "no capacity"
    SLICE_OVER = "slice over"
    PLATFORM_FAULT = "platform fault"
    THROTTLED = "throttled"
    QUOTA = "quota"
    USER_ERROR = "user error"
    BAD_REQUEST = "bad request"
    STOPPED = "stopped by a person"
    STOPPED_WITH_RUN = "stopped with the run"
    STILL_RUNNING = "still running"
    NOT_STARTED = "not started"
    UNKNOWN = "unknown"


class Hold(StrEnum):
    """A reason for which the machine does not start an attempt that is due."""

    REDRIVEN = "redriven"  # the attempt's job may exist already: it is looked at first
    REUSE = "reuse"  # an earlier run may have done the same
    FIND = "find"  # not asked for, but its results are needed: from the newest run that has them
    NOT_FOUND = "not found"
    NOT_ASKED = "skip"
    GATE = "gate"
    NO_BUDGET = "no budget"
    MONEY = "money"
    DEADLINE = "deadline"


STATUS = Fact("status")  # TrainingJobStatus or ProcessingJobStatus; "" when there is no job
SECONDARY = Fact("secondary")  # SecondaryStatus; "" for a processing job
REASON = Fact("reason")  # FailureReason or the create call's Cause, white space collapsed
ERROR = Fact("error")  # error name of the create call; "" when the job exists
WHOLE = Fact("whole")  # complete.json is there
TRAINED = Fact("trained")  # the job got instances and trained
WATCHED = Fact("watched")  # the capacity watch left its mark before it stopped the job
REDRIVEN = Fact("redriven")  # the run was redriven after this attempt was to begin
HELD = Fact("held")  # why the machine itself did not call CreateTrainingJob (`holds.py`); "" when it did

_STOPPED = STATUS.is_("Stopped")
_FAILED = STATUS.is_("Failed")
_NO_JOB = STATUS.is_("")
ASKED_TO_STOP = _STOPPED & ~SECONDARY.is_("MaxWaitTimeExceeded", "MaxRuntimeExceeded")
"""The capacity watch or a person called StopTrainingJob; only the watch's mark tells which of them."""


def _then(outcome: Outcome) -> dict[str, str]:
    return {"outcome": outcome.value}


OUTCOMES = RuleTable(
    (
        Rule(STATUS.is_("Completed") & WHOLE.holds(), _then(Outcome.COMPLETED)),
        # An exit code of 0 after SIGTERM is not success: the work is done when complete.json says so.
        Rule(STATUS.is_("Completed"), _then(Outcome.UNFINISHED)),
        # The create call's answer was lost, or Step Functions gave up waiting: the job lives on.
        Rule(STATUS.is_("InProgress", "Stopping"), _then(Outcome.STILL_RUNNING)),
        Rule(_STOPPED & SECONDARY.is_("MaxRuntimeExceeded"), _then(Outcome.SLICE_OVER)),
        # Who stops a run stops its jobs; the redrive finds the job that it is to go on from.
        Rule(ASKED_TO_STOP & ~WATCHED.holds() & REDRIVEN.holds(), _then(Outcome.STOPPED_WITH_RUN)),
        Rule(ASKED_TO_STOP & ~WATCHED.holds(), _then(Outcome.STOPPED)),
        # What remains is a wait that ended: the watch's patience (its mark is there) or MaxWait.
        Rule(_STOPPED & TRAINED.holds(), _then(Outcome.INTERRUPTED)),
        Rule(_STOPPED, _then(Outcome.NO_CAPACITY)),
        Rule(_FAILED & REASON.starts_with("CapacityError:"), _then(Outcome.NO_CAPACITY)),
        Rule(_FAILED & REASON.starts_with("InternalServerError:"), _then(Outcome.PLATFORM_FAULT)),
        Rule(_FAILED & REASON.starts_with("AlgorithmError:"), _then(Outcome.USER_ERROR)),
        Rule(_FAILED & REASON.starts_with("ClientError:"), _then(Outcome.BAD_REQUEST)),
        Rule(~_NO_JOB, _then(Outcome.UNKNOWN)),
        Rule(HELD.is_(*Hold), _then(Outcome.NOT_STARTED)),
        # No job was found, but what failed was not the create call: its text may be the user's.
        Rule(~ERROR.starts_with("SageMaker."), _then(Outcome.UNKNOWN)),
        # From here on no job exists and the text is AWS's own. Both spellings of each error occur.
        Rule(
            ERROR.is_("SageMaker.ResourceLimitExceededException", "SageMaker.ResourceLimitExceeded")
            | REASON.starts_with("The account-level service limit"),
            _then(Outcome.QUOTA),
        ),
        Rule(
            ERROR.is_("SageMaker.ThrottlingException", "SageMaker.Throttling")
            | REASON.contains("ThrottlingException", "Rate exceeded"),
            _then(Outcome.THROTTLED),
        ),
        Rule(
            REASON.contains("Status Code: 5", "InternalFailure", "ServiceUnavailable"),
            _then(Outcome.PLATFORM_FAULT),
        ),
        Rule(ALWAYS, _then(Outcome.BAD_REQUEST)),
    ),
    key=STATUS,
    values=("Completed", "Failed", "Stopped", "InProgress", "Stopping", ""),
)


def outcome_jsonata() -> str:
    """Returns an expression over `$f` for the outcome; the machine's variable `$policy` holds the table."""
    return f"{OUTCOMES.jsonata('$policy.outcomes')}.outcome"
