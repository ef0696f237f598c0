"""A run whose history Step Functions has dropped (after 90 days), from the table of attempts. Pure.

The table knows attempts: a gate, a registration and a stage that was skipped or reused are not in it, and how
the run ended follows from its last attempts at best.
"""

from __future__ import annotations

from collections.abc import Iterable

from workflows.ledger.attempts import Attempt
from workflows.ledger.run_view import RunView
from workflows.ledger.stage_view import Activity

UNKNOWN = "UNKNOWN"  # in the place of the run's status
_STATUS = {"done": "done", "fail": "failed"}  # decision after the last attempt -> the stage


def view_of(run: str, pipeline: str, attempts: Iterable[Attempt]) -> RunView:
    """The run as its attempts tell it."""
    rows = sorted(attempts, key=lambda row: (row.created, row.order))
    kinds = {row.stage: "train" if row.trial is None else "sweep" for row in rows}
    view = RunView(run, pipeline, kinds, status=UNKNOWN)
    for row in rows:
        stage = view.stages[row.stage]
        activity: Activity = stage if row.trial is None else stage.trial(row.trial)
        activity.attempts.append(row)
        activity.status = stage.status = _STATUS.get(row.decision, "stopped")
        activity.why = row.why if activity.status == "failed" else ""
    for stage in view.stages.values():
        if stage.trials:
            ended = {trial.status for trial in stage.trials.values()}
            stage.status = "done" if "done" in ended else "failed"
    view.ended_at = max((row.ended for row in rows), default=None)
    return view
