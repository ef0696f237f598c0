"""What the triggers may do: a schedule starts the machine, the API also lists, shows and stops its runs."""

from __future__ import annotations

from collections.abc import Iterator

from stacks.grants import OF_LIVE, Grant, Place
from workflows.specification.pipeline import Pipeline

_OF_GROUPS = "API Gateway refuses a role that may not do so for every group, because it serves every API"


def schedule_grants(pipeline: Pipeline, place: Place, queue: str) -> Iterator[Grant]:
    """What EventBridge Scheduler may do; `queue`: the ARN of its dead letters."""
    yield _start(pipeline, place)
    yield Grant("KeepDeadLetters", ["sqs:SendMessage"], [queue])


def api_grants(pipeline: Pipeline, place: Place) -> Iterator[Grant]:
    """What API Gateway may do, whoever calls."""
    yield _start(pipeline, place)
    machine = place.arn("states", f"stateMachine:{pipeline.name}")
    yield Grant("ListRuns", ["states:ListExecutions"], [machine])
    yield Grant(
        "ShowAndStopRuns",
        ["states:DescribeExecution", "states:StopExecution"],
        [place.arn("states", f"execution:{pipeline.name}:*")],
        "Step Functions names the executions, or the caller's key does",
    )


def api_log_grants() -> Iterator[Grant]:
    """What API Gateway may do for the whole account: the statements of AWS's managed policy for it."""
    verbs = ("CreateLogGroup", "CreateLogStream", "DescribeLogGroups", "DescribeLogStreams")
    more = ("PutLogEvents", "GetLogEvents", "FilterLogEvents")
    yield Grant("WriteLogs", [f"logs:{verb}" for verb in (*verbs, *more)], ["*"], _OF_GROUPS)


def _start(pipeline: Pipeline, place: Place) -> Grant:
    machine = place.arn("states", f"stateMachine:{pipeline.name}")
    return Grant("StartRuns", ["states:StartExecution"], [machine], condition=OF_LIVE)
