"""How the machine finds the facts of an attempt: JSONata over what SageMaker says of a job.

Every function returns the text of one expression. The rules that are asked with these facts come from
`outcomes.py` and `decisions.py` (`verdict.py` puts them together).
"""

from __future__ import annotations

import json

from workflows.jobs.requests import settings
from workflows.jobs.watch_pattern import WAITING
from workflows.ledger.vocabulary import variable
from workflows.policy import outcomes, tally
from workflows.specification.stages import JobStage, TrainStage

LONGEST_CAUSE = 1000  # characters of a create call's error
REDRIVES = "$states.context.Execution.RedriveCount"


# ---------------------------------------------------------------------------------------------- small ones
def fields(values: dict[str, str]) -> str:
    """An object of expressions."""
    return "{" + ", ".join(f'"{name}": {text}' for name, text in values.items()) + "}"


def or_else(path: str, default: str) -> str:
    """The value at a path, or the default where AWS left it out."""
    return f"($exists({path}) ? {path} : {default})"


def millis(path: str) -> str:
    """A moment in milliseconds, whether AWS wrote it as text (SDK integrations) or as a number (.sync)."""
    return f"($type({path}) = 'string' ? $toMillis({path}) : {path})"


def second(path: str) -> str:
    """A moment as text, to the second; now, where AWS named none (a job that was never made)."""
    return f'$substring($fromMillis($exists({path}) ? {millis(path)} : $millis()), 0, 19) & "Z"'


def merged(stage: str, *parts: str) -> str:
    """The stage's variable with more fields laid over it."""
    return f"$merge([${variable(stage)}, {', '.join(parts)}])"


def _text(path: str) -> str:
    return or_else(path, '""')


# --------------------------------------------------------------------------------------- before an attempt
def first_market(stage: JobStage) -> str:
    """Where the first attempt runs, unless the run's input or the clock says otherwise."""
    return "spot" if isinstance(stage, TrainStage) and stage.on_spot else "on-demand"


BEGINNING = dict.fromkeys(("rung", *tally.COUNTERS), "0")
"""What a stage begins with, and begins with again when it goes on after a redrive: fresh budgets."""


def fresh(stage: JobStage, *, place: str = "", more: dict[str, str] | None = None) -> str:
    """The stage's variable before its first attempt; `place` is the end of its key prefix (an expression)."""
    home = f'$run.prefix & "/{stage.name}"{place}'
    known = {
        "attempt": "1",
        "market": json.dumps(first_market(stage)),
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
_RESULT = "$states.result"


def refused(stage: str, name: str) -> str:
    """In a catcher: what the create call said; the job's name is kept for later.

    States.TaskFailed means that the job existed: its Cause is the job's description, which is asked for anew.
    """
    error, cause = "$states.errorOutput.Error", _text("$states.errorOutput.Cause")
    kept = f'{error} = "States.TaskFailed" ? "" : $substring({cause}, 0, {LONGEST_CAUSE})'
    return merged(stage, fields({"job": name, "error": error, "cause": kept}))


def training_end() -> str:
    """From DescribeTrainingJob: how the job ended."""
    facts = {
        "status": f"{_RESULT}.TrainingJobStatus",
        "secondary": f"{_RESULT}.SecondaryStatus",
        "reason": f"$trim({_text(f'{_RESULT}.FailureReason')})",
        "error": '""',
        "held": '""',
        "whole": "false",
    }
    return fields({**facts, **training_figures()})


def training_figures() -> dict[str, str]:
    """From DescribeTrainingJob: what the job used.

    BillableTimeInSeconds may be absent: then it is 0 for a job that never got instances, and null otherwise.
    """
    trained = f"$exists({_RESULT}.TrainingStartTime)"
    return {
        "trained": trained,
        "trained_seconds": or_else(f"{_RESULT}.TrainingTimeInSeconds", "0"),
        "billed_seconds": or_else(f"{_RESULT}.BillableTimeInSeconds", f"({trained} ? null : 0)"),
        "seen": f"$count({_RESULT}.SecondaryStatusTransitions[Status = 'Interrupted'])",
        "created": f"{_RESULT}.CreationTime",
        # TrainingEndTime is that of jobs that got instances.
        "ended": or_else(f"{_RESULT}.TrainingEndTime", f"{_RESULT}.LastModifiedTime"),
        "queued": _without_instances(),
        # Of a job that named several types (InstancePreferences): the one that it got.
        "type": f"{_RESULT}.ResourceConfig.SelectedInstanceType",
    }


def _without_instances() -> str:
    """Seconds that the job waited for its instances and their launch, at its start and after each
    interruption inside it."""
    spells = f"{_RESULT}.SecondaryStatusTransitions[Status in {json.dumps(WAITING)} and $exists(EndTime)]"
    return f"$round($sum([0, {spells}.({millis('EndTime')} - {millis('StartTime')})]) / 1000)"


def training_metrics() -> str:
    """From DescribeTrainingJob and complete.json (`$p`): the last value of every metric, by its name.

    What the script reported itself goes before what SageMaker read in its output.
    """
    listed = f"{_RESULT}.FinalMetricDataList.{{MetricName: Value}}"
    reported = '($type($p.metrics) = "object" ? $p.metrics : {})'
    return f"$merge($append($append([{{}}], {listed}), {reported}))"


def processing_end() -> str:
    """From DescribeProcessingJob: how the job ended."""
    facts = {
        "status": f"{_RESULT}.ProcessingJobStatus",
        "secondary": '""',
        "reason": f"$trim({_text(f'{_RESULT}.FailureReason')})",
        "error": '""',
        "held": '""',
        "whole": "true",
    }
    return fields({**facts, **processing_figures()})


def processing_figures() -> dict[str, str]:
    """From DescribeProcessingJob: it has no billable seconds and bills from its start to its end."""
    start, end = f"{_RESULT}.ProcessingStartTime", f"{_RESULT}.ProcessingEndTime"
    ran = f"($exists({start}) and $exists({end}) ? $round(({millis(end)} - {millis(start)}) / 1000) : 0)"
    return {
        "trained": f"$exists({start})",
        "trained_seconds": ran,
        "billed_seconds": ran,
        "seen": "0",
        "created": f"{_RESULT}.CreationTime",
        "ended": or_else(end, f"{_RESULT}.LastModifiedTime"),
        "queued": f"($exists({start}) ? $round(({millis(start)} - "
        f"{millis(f'{_RESULT}.CreationTime')}) / 1000) : 0)",
    }


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
