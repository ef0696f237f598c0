"""How the machine finds the facts of an attempt: JSONata over what SageMaker says of a job.

Every function returns the text of one expression. The rules that are asked with these facts come from
`outcomes.py` and `decisions.py` (`verdict.py` puts them together).
"""

from __future__ import annotations

import json

from workflows.jobs.job import text_of
from workflows.jobs.jsonata_text import fields
from workflows.jobs.variables import settings
from workflows.ledger.vocabulary import variable
from workflows.policy import outcomes, tally
from workflows.specification.stages import JobStage

LONGEST_CAUSE = 1000  # characters of a create call's error
REDRIVES = "$states.context.Execution.RedriveCount"


# ---------------------------------------------------------------------------------------------- small ones
def merged(stage: str, *parts: str) -> str:
    """The stage's variable with more fields laid over it."""
    return f"$merge([${variable(stage)}, {', '.join(parts)}])"


# --------------------------------------------------------------------------------------- before an attempt
BEGINNING = dict.fromkeys(("rung", *tally.COUNTERS), "0")
"""What a stage begins with, and begins with again when it goes on after a redrive: fresh budgets."""


def fresh(stage: JobStage, *, place: str = "", more: dict[str, str] | None = None) -> str:
    """The stage's variable before its first attempt; `place` is the end of its key prefix (an expression)."""
    home = f'$run.prefix & "/{stage.name}"{place}'
    known = {
        "attempt": "1",
        "market": json.dumps(stage.first_market),
        "step": "0",
        "ledger": "[]",
        "redrive": REDRIVES,
        # Where it keeps checkpoints and outputs, and where it would if it had not found another's.
        "place": home,
        "home": home,
        "do": f"{settings(stage.name)}.do",
        "print": f"{settings(stage.name)}.print",
        "left": f"{settings(stage.name)}.expected",
        **BEGINNING,
    }
    return fields({**known, **(more or {})})


# ------------------------------------------------------------------------------------------ why did it end
def refused(stage: str, name: str) -> str:
    """In a catcher: what the create call said; the job's name is kept for later.

    States.TaskFailed means that the job existed: its Cause is the job's description, which is asked for anew.
    """
    error, cause = "$states.errorOutput.Error", text_of("$states.errorOutput.Cause")
    kept = f'{error} = "States.TaskFailed" ? "" : $substring({cause}, 0, {LONGEST_CAUSE})'
    return merged(stage, fields({"job": name, "error": error, "cause": kept}))


def job_to_look_at(stage: str, hold: str) -> str:
    """The name of the job to describe, or an error where the machine itself did not call for one.

    `hold`: as of `never_created`. After a redrive the job may exist although this call was not made.
    """
    own = f"${variable(stage)}"
    held = (
        f'{own}.error = "States.QueryEvaluationError" and '
        f'($held := {hold}; $held != "" and $held != "{outcomes.Hold.REDRIVEN}")'
    )
    return f'{held} ? $error("no job was asked for") : {own}.job'


def never_created(stage: str, hold: str, money: str) -> str:
    """In the catcher of the describe call: there is no such job, so the create call's error tells.

    `hold`: why the attempt was not to start. It is only asked when the machine's own expression failed: an
    error from SageMaker is the error of a call that was made. `money`: what is left of the spending limit.
    """
    own = f"${variable(stage)}"
    facts = {
        "status": '""',
        "secondary": '""',
        "reason": f"$trim({own}.cause)",
        "error": f"{own}.error",
        "held": f'{own}.error = "States.QueryEvaluationError" ? {hold} : ""',
        "money": f'$exists($run.budget) ? {money} : ""',
        "whole": "false",
    }
    nothing = ("trained_seconds", "billed_seconds", "seen", "queued")
    figures = {"trained": "false", **dict.fromkeys(nothing, "0")}
    return fields({**facts, **figures})


def looks_for_mark(stage: str) -> str:
    """Whether the watch's mark is to be read, not progress.json: the mark of a job that was asked to stop."""
    return f"($f := ${variable(stage)}.end; {MARK_READ})"


MARK_READ = f"{outcomes.ASKED_TO_STOP.jsonata} and $not($exists($f.unmarked))"
