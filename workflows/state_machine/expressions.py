"""The JSONata that a stage's states share: facts, outcome, decision, ledger entry.

Every function returns the text of one expression. The rules themselves come from `outcomes.py` and
`decisions.py`; what is written here is only how the machine finds the facts.
"""

from __future__ import annotations

import json
from typing import Any

from workflows import decisions, outcomes
from workflows.pipeline import ProcessStage, TrainStage
from workflows.settings import Backoff
from workflows.training_job import variable

LONGEST_CAUSE = 1000  # characters of a create call's error
LONGEST_MESSAGE = 500  # characters of a FailureReason kept in a ledger entry
READ_ON = "read on"  # in the place of a decision: the watch left no mark, so progress.json is to be read
_STEEPEST = 30  # exponent of the back-off: more only overflows


def fresh(stage: TrainStage | ProcessStage) -> dict[str, Any]:
    """The stage's variable before its first attempt."""
    return {
        "attempt": 1,
        "market": first_market(stage),
        "rung": 0,
        "step": 0,
        **dict.fromkeys(decisions.COUNTERS, 0),
        "ledger": [],
    }


def first_market(stage: TrainStage | ProcessStage) -> str:
    """Where the first attempt runs."""
    if isinstance(stage, ProcessStage):
        return "on-demand"
    return decisions.first_market(spot=stage.spot.enabled, retry_budget=stage.spot.retry_budget)


def merged(stage: str, *parts: str) -> str:
    """The stage's variable with more fields laid over it."""
    return f"$merge([${variable(stage)}, {', '.join(parts)}])"


def refused(stage: str, name: str) -> str:
    """In a catcher: what the create call said; the job's name is kept for later.

    States.TaskFailed means that the job existed: its Cause is the job's description, which is asked for anew.
    """
    error, cause = "$states.errorOutput.Error", _text("$states.errorOutput.Cause")
    kept = f'{error} = "States.TaskFailed" ? "" : $substring({cause}, 0, {LONGEST_CAUSE})'
    return merged(stage, fields({"job": name, "error": error, "cause": kept}))


def or_else(path: str, default: str) -> str:
    """The value at a path, or the default where AWS left it out."""
    return f"($exists({path}) ? {path} : {default})"


def _text(path: str) -> str:
    return or_else(path, '""')


# -------------------------------------------------------------------------------------- why did it end
_RESULT = "$states.result"


def training_end() -> str:
    """From DescribeTrainingJob: how the job ended."""
    facts = {
        "status": f"{_RESULT}.TrainingJobStatus",
        "secondary": f"{_RESULT}.SecondaryStatus",
        "reason": f"$trim({_text(f'{_RESULT}.FailureReason')})",
        "error": '""',
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
    }


def processing_end() -> str:
    """From DescribeProcessingJob: how the job ended."""
    facts = {
        "status": f"{_RESULT}.ProcessingJobStatus",
        "secondary": '""',
        "reason": f"$trim({_text(f'{_RESULT}.FailureReason')})",
        "error": '""',
        "whole": "true",
    }
    return fields({**facts, **processing_figures()})


def processing_figures() -> dict[str, str]:
    """From DescribeProcessingJob: it has no billable seconds and bills from its start to its end."""
    start, end = f"{_RESULT}.ProcessingStartTime", f"{_RESULT}.ProcessingEndTime"
    span = f"$round(({millis(end)} - {millis(start)}) / 1000)"
    ran = f"($exists({start}) and $exists({end}) ? {span} : 0)"
    return {
        "trained": f"$exists({start})",
        "trained_seconds": ran,
        "billed_seconds": ran,
        "seen": "0",
    }


def never_created(stage: str) -> str:
    """In the catcher of the describe call: there is no such job, so the create call's error tells."""
    own = f"${variable(stage)}"
    facts = {
        "status": '""',
        "secondary": '""',
        "reason": f"$trim({own}.cause)",
        "error": f"{own}.error",
        "whole": "false",
    }
    figures = {"trained": "false", "trained_seconds": "0", "billed_seconds": "0", "seen": "0"}
    return fields({**facts, **figures})


def looks_for_mark(stage: str) -> str:
    """Whether the watch's mark is to be read, not progress.json: the mark of a job that was asked to stop."""
    return f"($f := ${variable(stage)}.end; {_MARK_READ})"


_MARK_READ = f"{outcomes.ASKED_TO_STOP.jsonata} and $not($exists($f.unmarked))"


def not_found(stage: TrainStage) -> str:
    """In the catcher of the read: no mark of the watch, so progress.json comes next; or no progress.json."""
    own = f"${variable(stage.name)}"
    unmarked = f'{{"next": "{READ_ON}", "end": $merge([{own}.end, {{"unmarked": true}}])}}'
    return f"{looks_for_mark(stage.name)} ? {merged(stage.name, unmarked)} : {decided(stage, '{}')}"


def fields(values: dict[str, str]) -> str:
    """An object of expressions."""
    return "{" + ", ".join(f'"{name}": {text}' for name, text in values.items()) + "}"


def millis(path: str) -> str:
    """A moment in milliseconds, whether AWS wrote it as text (SDK integrations) or as a number (.sync)."""
    return f"($type({path}) = 'string' ? $toMillis({path}) : {path})"


# ------------------------------------------------------------------------------------- what happens next
def decided(stage: TrainStage | ProcessStage, found: str, end: str = "$s.end") -> str:
    """The stage's variable after an attempt: outcome, counters, decision, ledger entry, and the next place.

    `found` is an expression for the contents of progress.json, or of the watch's mark, which holds the same
    and more; an empty object when there is none. `end` is one for how the job ended.
    """
    saved = or_else("$p.saved_step", "$s.step")
    # Only what was read in the mark's place is the mark: a script may write the same into progress.json.
    watched = '{"watched": $marked, "reason": $marked ? $p.because : $f.reason}'
    return (
        f"($s := ${variable(stage.name)}; $p := {found}; $f := {end}; "
        f"$marked := {_MARK_READ} and $exists($p.stopped_by_watch); "
        f"$f := $merge([$f, {watched}]); $e := $merge([$f, {outcomes.OUTCOMES.jsonata()}]); "
        f"$saved := {saved}; "
        f"$f := $merge([$s, {_facts(stage)}]); "
        f"$t := {decisions.tally_jsonata()}; $f := $merge([$f, $t]); "
        f"$d := {decisions.decision_jsonata()}; "
        '$d.next in ["look again", "done"] ? $merge([$s, $d]) : '
        f"$merge([$s, $t, $d, {_next_place(stage)}]))"
    )


def finished(stage: TrainStage | ProcessStage, figures: dict[str, str], outputs: dict[str, str]) -> str:
    """What a finished stage leaves to those after it: outputs, ledger, the last progress."""
    progress = or_else("$s.final", "{}")
    decision = '"decision": "done", "why": "the work is complete", "wait_seconds": 0'
    line = entry(stage, outcome='"completed"', decision=decision)
    result = fields({"outputs": fields(outputs), "ledger": f"$append($s.ledger, [{line}])", "final": "$p"})
    end = fields({**figures, "reason": '""'})
    return f"($s := ${variable(stage.name)}; $e := {end}; $p := {progress}; {result})"


def _facts(stage: TrainStage | ProcessStage) -> str:
    spot = stage.spot if isinstance(stage, TrainStage) else None
    return fields(
        {
            "outcome": "$e.outcome",
            "reported": "$exists($p.step)",
            "progressed": "$saved > $s.step",
            "trained": "$e.trained",
            "seen": "$e.seen",
            "retry_budget": str(spot.retry_budget if spot else 0),
            "no_progress_limit": str(spot.no_progress_limit if spot else 1),
            "on_demand_enabled": json.dumps(stage.on_demand.enabled),
        }
    )


def entry(stage: TrainStage | ProcessStage, *, outcome: str, decision: str) -> str:
    """One line of the ledger, over `$s` (the stage), `$e` (the attempt's end) and `$p` (its progress)."""
    places = {"on-demand": [{"type": t, "count": c} for t, c in stage.on_demand_rungs()]}
    if isinstance(stage, TrainStage):
        places["spot"] = [{"type": t, "count": c} for t, c in stage.spot_rungs()]
    ran = "$e.trained and $exists($p.step)"
    line = fields(
        {
            "stage": json.dumps(stage.name),
            "attempt": "$s.attempt",
            "job": "$s.job",
            "market": "$s.market",
            "instance_type": "$place.type",
            "instance_count": "$place.count",
            "outcome": outcome,
            "message": f"$substring($e.reason, 0, {LONGEST_MESSAGE})",
            "trained_seconds": "$e.trained_seconds",
            "billed_seconds": "$e.billed_seconds",
            "interruptions": "$e.seen",
            "resumed_step": f"{ran} ? $p.resumed_step : $s.step",
            "reached_step": f"{ran} ? $p.step : $s.step",
            "saved_step": or_else("$p.saved_step", "$s.step"),
        }
    )
    return f"($place := $lookup({json.dumps(places)}, $s.market)[$s.rung]; $merge([{line}, {{{decision}}}]))"


def _next_place(stage: TrainStage | ProcessStage) -> str:
    spot = len(stage.spot_rungs()) if isinstance(stage, TrainStage) else 1
    rungs = f'($market = "spot" ? {spot} : {len(stage.on_demand_rungs())})'
    decision = '"decision": $d.next, "why": $d.why, "wait_seconds": $wait'
    line = entry(stage, outcome="$e.outcome", decision=decision)
    last_words = '($e.reason = "" ? "" : ". It said: " & $substring($e.reason, 0, 700))'
    place = fields(
        {
            "attempt": "$again ? $s.attempt + 1 : $s.attempt",
            "market": "$market",
            "rung": f'$d.rung = "first" ? 0 : $d.rung = "next" ? ($s.rung + 1) % {rungs} : $s.rung',
            "step": "$saved",
            "wait": "$wait",
            "redrive": "$states.context.Execution.RedriveCount",
            "message": f'"{stage.name}: " & $e.outcome & ": " & $d.why & {last_words}',
            "ledger": f"$append($s.ledger, [{line}])",
        }
    )
    again = '$again := $d.next in ["spot", "on-demand"]; $market := $again ? $d.next : $s.market'
    return f"({again}; $wait := {_pause(stage)}; {place})"


def _pause(stage: TrainStage | ProcessStage) -> str:
    """Whole seconds, because Wait takes no others."""
    backoff = stage.spot.backoff if isinstance(stage, TrainStage) else Backoff()
    first, longest = backoff.first.total_seconds(), backoff.max.total_seconds()
    power = f"$power({backoff.rate}, $min([$t.backoffs, {_STEEPEST}]))"
    drawn = "$random() * " if backoff.jitter == "full" else ""
    seconds = f"$ceil({drawn}$min([{longest}, {first} * {power}]))"
    return f'$d.pause = "back off" ? {seconds} : 0'
