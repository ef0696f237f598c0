"""Many runs at a glance: what Step Functions lists of them, and what their attempts have cost."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from botocore.exceptions import ClientError

from workflows.ledger.attempts import Attempt, read
from workflows.runs.deployed import site_of
from workflows.runs.executions import Runs
from workflows.runs.following import Following

MOST_LOOKED_AT = 10  # histories of runs in progress: AWS throttles reading them
SETTLED = {"done", "skipped", "reused"}


@dataclass(frozen=True)
class ListedRun:
    """One run. Times are ISO 8601 in UTC, seconds those of the world it is in, costs US dollars.

    None is what is not known: stages of a run that has ended, costs without a table.
    """

    run: str
    pipeline: str
    status: str
    started: str
    ended: str | None
    seconds: float
    stages: int | None
    stages_done: int | None
    attempts: int | None
    cost_usd: float | None


def listed(
    runs: Runs,
    dynamodb: Any,
    machines: Mapping[str, str],
    now: Callable[[], datetime],
    *,
    status: str | None,
    limit: int,
) -> list[ListedRun]:
    """The newest runs of the machines (pipeline -> ARN)."""
    names = {arn: name for name, arn in machines.items()}
    executions = runs.listed(machines.values(), limit=limit, status=status)
    asked = {
        name for name, arn in machines.items() if any(each["stateMachineArn"] == arn for each in executions)
    }
    tables = {name: site_of(json.loads(_text(runs, machines[name]))).table for name in asked}
    running = [each["executionArn"] for each in executions if each["status"] == "RUNNING"][:MOST_LOOKED_AT]
    found = []
    for execution in executions:
        pipeline = names[execution["stateMachineArn"]]
        stages = _stages(runs, execution["executionArn"]) if execution["executionArn"] in running else None
        attempts = attempts_of(dynamodb, tables[pipeline], pipeline, execution)
        found.append(_listed(pipeline, execution, stages, attempts, now()))
    return found


def attempts_of(
    dynamodb: Any, table: str, pipeline: str, execution: Mapping[str, Any]
) -> list[Attempt] | None:
    """What the table has of a run; None where there is no such table, or it may not be read."""
    began = execution["startDate"].astimezone(UTC)
    try:
        key = f"{began:%Y%m%dT%H%M%S}-{execution['name']}"
        return list(read(dynamodb.query, table, pipeline, key))
    except ClientError as error:
        if error.response["Error"]["Code"] in {"ResourceNotFoundException", "AccessDeniedException"}:
            return None
        raise


def _text(runs: Runs, machine_arn: str) -> str:
    return str(runs.states.describe_state_machine(stateMachineArn=machine_arn)["definition"])


def _stages(runs: Runs, arn: str) -> tuple[int, int]:
    """How many stages a run has, and how many of them are behind it."""
    following = Following(runs, arn)
    following.look()
    stages = following.view.stages.values()
    return len(stages), sum(stage.status in SETTLED for stage in stages)


def _listed(
    pipeline: str,
    execution: Mapping[str, Any],
    stages: tuple[int, int] | None,
    attempts: list[Attempt] | None,
    now: datetime,
) -> ListedRun:
    started = execution["startDate"].astimezone(UTC)
    ended = execution["stopDate"].astimezone(UTC) if "stopDate" in execution else None
    priced = [attempt.usd for attempt in attempts or []]
    cost = None if attempts is None or None in priced else sum(usd for usd in priced if usd is not None)
    return ListedRun(
        run=str(execution["name"]),
        pipeline=pipeline,
        status=str(execution["status"]),
        started=started.isoformat(timespec="seconds"),
        ended=ended and ended.isoformat(timespec="seconds"),
        seconds=round(max(0.0, ((ended or now) - started).total_seconds()), 3),
        stages=stages and stages[0],
        stages_done=stages and stages[1],
        attempts=None if attempts is None else len(attempts),
        cost_usd=None if cost is None else round(cost, 6),
    )
