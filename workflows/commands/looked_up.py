"""A run as `relay explain` and `relay receipt` find it: in its history, else in the table of attempts."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from workflows.ledger.run_view import RunView
    from workflows.runs.connection import Connection
    from workflows.runs.executions import Runs

HISTORY, TABLE = "history", "table"


@dataclass(frozen=True)
class LookedUp:
    """What is known of a run, and from where."""

    runs: Runs
    view: RunView
    source: str


def look_up(connection: Connection, run: str) -> LookedUp:
    """The run of that id, or beginning of one. Raises UnknownRunError when nothing knows it."""
    from workflows.runs.executions import ENDED, Runs, UnknownRunError
    from workflows.runs.following import Following

    runs = Runs(connection.client)
    try:
        arn = runs.find(run)["executionArn"]
    except UnknownRunError:
        remembered = _remembered(connection, runs, run)
        if remembered is None:
            raise
        return LookedUp(runs, remembered, TABLE)
    following = Following(runs, arn)
    following.look()
    while following.view.status in ENDED and not following.settled:
        following.look()  # at trials that are executions of their own
    if following.view.status in ENDED:
        runs.add_stopped_jobs(following.view)
    return LookedUp(runs, following.view, HISTORY)


def _remembered(connection: Connection, runs: Runs, run: str) -> RunView | None:
    """Looks a run up in the table, which keeps attempts longer than histories; only by the whole id."""
    from botocore.exceptions import ClientError

    from workflows.ledger.attempts import read
    from workflows.ledger.remembered import view_of
    from workflows.runs.deployed import site_of

    query = connection.client("dynamodb").query
    for pipeline, machine in runs.pipelines().items():
        text = runs.states.describe_state_machine(stateMachineArn=machine)["definition"]
        try:
            rows = [row for row in read(query, site_of(json.loads(text)).table, pipeline) if row.run == run]
        except ClientError as error:
            if error.response["Error"]["Code"] != "ResourceNotFoundException":
                raise
            continue
        if rows:
            newest = max(rows, key=lambda row: row.created).run_key
            return view_of(run, pipeline, [row for row in rows if row.run_key == newest])
    return None
