"""A run whose history Step Functions has dropped (after 90 days), from the table of attempts. Pure.

The table knows attempts: a gate, a registration and a stage that was skipped or reused are not in it, and how
the run ended follows from its last attempts at best.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from workflows.ledger.attempts import Attempt
from workflows.ledger.run_view import RunView
from workflows.ledger.stage_view import Activity, attempt_of

UNKNOWN = "UNKNOWN"  # in the place of the run's status
_STATUS = {"done": "done", "fail": "failed"}  # decision after the last attempt -> the stage


def view_of(run: str, pipeline: str, attempts: Iterable[Attempt]) -> RunView:
    """The run as its attempts tell it."""
    rows = sorted(attempts, key=lambda row: (row.created, attempt_of(row.job)))
    kinds = {row.stage: "train" if row.trial is None else "sweep" for row in rows}
    view = RunView(run, pipeline, kinds, status=UNKNOWN)
    for row in rows:
        stage = view.stages[row.stage]
        activity: Activity = stage if row.trial is None else stage.trial(row.trial)
        activity.attempts.append(entry_of(row))
        activity.status = stage.status = _STATUS.get(row.decision, "stopped")
        activity.why = row.why if activity.status == "failed" else ""
    for stage in view.stages.values():
        if stage.trials:
            ended = {trial.status for trial in stage.trials.values()}
            stage.status = "done" if "done" in ended else "failed"
    view.ended_at = max((row.ended for row in rows), default=None)
    return view


def entry_of(row: Attempt) -> dict[str, Any]:
    """A line of the ledger, as the machine assigned it; what it did not know is left out, as there."""
    entry = {name: value for name, value in vars(row).items() if name not in {"attempt_id", "run"}}
    entry |= {name: _text(entry[name]) for name in ("created", "ended")}
    optional = ("usd", "on_demand_usd", "trial")
    return {name: value for name, value in entry.items() if value is not None or name not in optional}


def _text(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"
