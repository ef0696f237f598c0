"""What follows from how an attempt ended: outcome, counters, decision, ledger entry, the next place.

The rules come from `outcomes.py` and `decisions.py`; what is written here is only what they are asked, and
what becomes of their answer.
"""

from __future__ import annotations

import json
from typing import Any

from workflows.jobs.job import Job
from workflows.jobs.jsonata_text import fields, or_else, second
from workflows.jobs.kinds import job_of
from workflows.jobs.site import Site
from workflows.jobs.variables import rung, settings
from workflows.ledger.vocabulary import variable
from workflows.policy import decisions, outcomes, tally
from workflows.policy.rules import FUNCTIONS
from workflows.specification.stages import JobStage
from workflows.state_machine.expressions import (
    MARK_READ,
    REDRIVES,
    looks_for_mark,
    merged,
)
from workflows.state_machine.holds import SHORTEST_WAIT, late, slack

LONGEST_MESSAGE = 500  # characters of a FailureReason kept in a ledger entry
# In the place of a decision: the watch left no mark, so progress.json is to be read; or all has been read.
READ_ON, DECIDE = "read on", "decide"
_STEPS = ("step", "saved_step", "resumed_step", "total", "seconds_left")
_WORDS = ("stopped_by_watch", "because")  # of the mark
DISCOUNTED = 0.9  # billable below this share of the trained seconds holds the spot discount already
_STEEPEST = 30  # exponent of the back-off: more only overflows


def found(stage: JobStage) -> str:
    """What was read, progress.json or the watch's mark, which holds the same and more: what is asked for.

    Steps and seconds that are no numbers count as not reported: a script may write anything there.
    """
    asked = (
        f"$type($v) = 'number' ? $k in {json.dumps(_STEPS)} : "
        f"$type($v) = 'string' and $k in {json.dumps(_WORDS)}"
    )
    kept = f"$merge([{{}}, $sift($parse($states.result.Body), function($v, $k) {{ {asked} }})])"
    return merged(stage.name, fields({"found": kept, "next": f'"{DECIDE}"'}))


def not_found(stage: JobStage) -> str:
    """In the catcher of the read: no mark of the watch, so progress.json comes next; or no progress.json."""
    own = f"${variable(stage.name)}"
    unmarked = {"next": f'"{READ_ON}"', "end": f'$merge([{own}.end, {{"unmarked": true}}])'}
    nothing = {"found": "{}", "next": f'"{DECIDE}"'}
    return merged(stage.name, f"{looks_for_mark(stage.name)} ? {fields(unmarked)} : {fields(nothing)}")


def decided(stage: JobStage) -> str:
    """The stage's variable after an attempt: outcome, counters, decision, ledger entry, and the next place.

    It holds how the job ended (`end`), and what was found of its progress.
    """
    own = f"${variable(stage.name)}"
    verdict = _verdict(stage)
    if not job_of(stage).resumes:
        return verdict
    undecided = merged(stage.name, '{"line": null, "pressed": false}')
    return f'{own}.next = "{READ_ON}" ? {undecided} : {verdict}'


def _verdict(stage: JobStage) -> str:
    saved = or_else("$p.saved_step", "$s.step")
    redriven = f"$s.redrive != {REDRIVES}"
    # Only what was read in the mark's place is the mark: a script may write the same into progress.json.
    more = f'{{"watched": $marked, "redriven": {redriven}, "reason": $marked ? $p.because : $f.reason}}'
    return (
        f"({FUNCTIONS} $s := ${variable(stage.name)}; $p := $s.found; $f := $s.end; "
        f"$marked := {MARK_READ} and $exists($p.stopped_by_watch); "
        f"$f := $merge([$f, {more}]); $e := $merge([$f, {fields({'outcome': outcomes.outcome_jsonata()})}]); "
        f"$saved := {saved}; $left := {_work_left()}; "
        f"$f := $merge([$s, {_facts(stage)}]); "
        f"$t := {tally.tally_jsonata('$policy.counters')}; $f := $merge([$f, $t]); "
        f"$d := {decisions.decision_jsonata()}; "
        # The answer's rung and pause are words; what the stage keeps under these names are numbers.
        '$told := {"next": $d.next, "why": $d.why, "line": null, "pressed": false}; '
        '$d.next in ["look again", "look up", "skip", "done"] ? $merge([$s, $told]) : '
        f"$merge([$s, $t, $told, {_next_place(stage)}]))"
    )


def finished(job: Job[Any], site: Site) -> str:
    """What a finished stage leaves to those after it: outputs, metrics, ledger, and the job that did it."""
    progress = or_else("$s.final", "{}")
    decision = '"decision": "done", "why": "the work is complete", "wait_seconds": 0'
    line = entry(job.stage, outcome='"completed"', decision=decision, kept="1")
    left = {
        "outputs": fields(job.outputs(site)),
        "metrics": job.metrics(),
        "ledger": f"$s.reused = true ? $s.ledger : $append($s.ledger, [{line}])",
        "reused": "$s.reused = true ? $s.job",
        "job": "$s.job",
        "arn": "$states.result.TrainingJobArn",
        **job.left_besides(site),
    }
    end = fields({**job.figures(), "reason": '""'})
    return f"($s := {job.own}; $e := {end}; $p := {progress}; {fields(left)})"


def _work_left() -> str:
    """Seconds of work left after the newest checkpoint; nothing where nobody knows.

    What the script measured goes before what was expected. What is no number counts as not reported.
    """
    speed = "$p.seconds_left * ($p.total - $saved) / ($p.total - $p.step)"
    measured = '$type($p.seconds_left) = "number" and $type($p.total) = "number" and $p.total > $p.step'
    return f"({measured} ? {speed} : $s.left)"


def _facts(stage: JobStage) -> str:
    spot = job_of(stage).type.spot
    limits = settings(stage.name)
    return fields(
        {
            "outcome": "$e.outcome",
            "held": "$e.held",
            "money": or_else("$e.money", '""'),
            "reported": "$exists($p.step)",
            "progressed": "$saved > $s.step",
            "trained": "$e.trained",
            "seen": "$e.seen",
            "exit_listed": _exit_listed(stage),
            "late": late(stage, "$left") if spot else "false",
            "retry_budget": f"{limits}.retry_budget" if spot else "0",
            "no_progress_limit": f"{limits}.no_progress_limit" if spot else "1",
            "on_demand_enabled": json.dumps(stage.on_demand.enabled),
        }
    )


def _exit_listed(stage: JobStage) -> str:
    """Whether the end of the FailureReason, which SageMaker writes, names one of the stage's exit codes."""
    if not stage.exit_codes:
        return "false"
    return (
        rf"$number($match($e.reason, /exit code: ([0-9]+)$/i)[0].groups[0]) in {json.dumps(stage.exit_codes)}"
    )


def entry(stage: JobStage, *, outcome: str, decision: str, kept: str) -> str:
    """One line of the ledger, over `$s` (the stage), `$e` (the attempt's end) and `$p` (its progress).

    `kept` is the share of the attempt's work that is not lost, over `$from`, `$reached` and `$held` (steps).
    """
    ran = "$e.trained and $exists($p.step)"
    undisturbed = f"$place.hour * $e.trained_seconds * {kept}"
    values = {
        "stage": json.dumps(stage.name),
        "attempt": "$s.attempt",
        "job": "$s.job",
        "market": "$s.market",
        "instance_type": "$place.type",
        "instance_count": "$place.count",
        "outcome": outcome,
        "message": f"$substring($e.reason, 0, {LONGEST_MESSAGE})",
        "created": second("$e.created"),
        "ended": second("$e.ended"),
        "queued_seconds": "$e.queued",
        "trained_seconds": "$e.trained_seconds",
        "billed_seconds": "$e.billed_seconds",
        "usd": "$usd",
        "on_demand_usd": f"$exists($place.hour) ? $round({undisturbed} / 3600, 6)",
        "interruptions": "$e.seen",
        "resumed_step": "$from",
        "reached_step": "$reached",
        "saved_step": "$held",
    }
    steps = (
        f"$from := {ran} ? $p.resumed_step : $s.step; $reached := {ran} ? $p.step : $s.step; "
        f"$held := {or_else('$p.saved_step', '$s.step')}"
    )
    # What it got may be another type than that of the rung, where it could take any of the ladder.
    got = f"$lookup({settings(stage.name)}, $s.market)[type = $e.type][0]"
    place = or_else(got, rung(stage.name)) if stage.on_demand.preferences else rung(stage.name)
    values |= job_of(stage).line_besides()
    return f"($place := {place}; $usd := {_cost()}; {steps}; $merge([{fields(values)}, {{{decision}}}]))"


def _cost() -> str:
    """The expression for the dollars of an attempt; nothing for a type without a price.

    Whether billable seconds hold the spot discount already is not certain (AWS.md 2.6). Either way: seconds
    well below the trained ones are priced as on-demand, others as spot (`receipt.py` does so in Python).
    """
    billed = "($e.billed_seconds = null ? $e.trained_seconds : $e.billed_seconds)"
    whole = f'$s.market = "spot" and {billed} >= {DISCOUNTED} * $e.trained_seconds'
    share = f"({whole} ? $run.spot_share : 1)"
    return f"$exists($place.hour) ? $round($place.hour * {billed} * {share} / 3600, 6)"


def _next_place(stage: JobStage) -> str:
    limits = settings(stage.name)
    decision = '"decision": $d.next, "why": $d.why, "wait_seconds": $wait'
    # What was saved when it ended; the next attempt may find less (`receipt.py` knows both).
    kept = "($held > $from ? ($held - $from) / ($max([$reached, $held]) - $from) : 0)"
    line = entry(stage, outcome="$e.outcome", decision=decision, kept=kept)
    last_words = '($e.reason = "" ? "" : ". It said: " & $substring($e.reason, 0, 700))'
    told = '$e.outcome = "not started" ? $d.why : $e.outcome & ": " & $d.why & ' + last_words
    place = {
        "attempt": "$ran and $again ? $s.attempt + 1 : $s.attempt",
        "market": "$market",
        "rung": '$d.rung = "first" ? 0 : $d.rung = "next" ? '
        f"($s.rung + 1) % $count($lookup({limits}, $market)) : $s.rung",
        # What was found of an earlier run and is not whole after all is nothing to go on from.
        "place": "$s.home",
        "reused": "false",
        "step": "$s.reused = true ? 0 : $saved",
        "left": "$left",
        "wait": "$wait",
        "taken_up": f"$s.redrive != {REDRIVES}",
        "redrive": REDRIVES,
        "message": f'"{stage.name}: " & ({told})',
        "ledger": "$ran ? $append($s.ledger, [$line]) : $s.ledger",
        # What `attempt_record.py` writes down and measures.
        "line": "$line",
        "pressed": '$f.late and $market = "on-demand" and $s.market = "spot"',
    }
    again = '$again := $d.next in ["spot", "on-demand"]; $market := $again ? $d.next : $s.market'
    ran = '$ran := $e.outcome != "not started" and $not($s.reused = true)'
    return f"({again}; {ran}; $wait := {_pause(stage)}; $line := $ran ? {line} : null; {fields(place)})"


def _pause(stage: JobStage) -> str:
    """Whole seconds, because Wait takes no others; never so long that the deadline's safety net is passed."""
    backoff = stage.backoff
    first, longest = backoff.first.total_seconds(), backoff.max.total_seconds()
    power = f"$power({backoff.rate:g}, $min([$t.backoffs, {_STEEPEST}]))"
    drawn = "$random() * " if backoff.jitter == "full" else ""
    seconds = f"$ceil({drawn}$min([{longest:g}, {first:g} * {power}]))"
    room = f"$max([0, $floor({slack(stage, '$left')}) - {SHORTEST_WAIT}])"
    capped = f'($exists($run.deadline) and $market = "spot" ? $min([$w, {room}]) : $w)'
    return f'$d.pause = "back off" ? ($w := {seconds}; {capped}) : 0'
