"""The first state's one expression: the run's input, checked, becomes the variable `$run`.

    input -> mistakes | id, key prefix, name tag, deadline, spending limit, and the settings of every stage

Nothing else reads the input. What a stage needs of it stands under `$run.stages`, complete, whether the input
changed it or not: what the console shows of this variable is what the run goes by.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from workflows.jobs.job_names import CONTENT, stage_id
from workflows.jobs.site import Materials, content_of
from workflows.policy.outcomes import Hold
from workflows.policy.prices import PriceBook
from workflows.specification import deadlines
from workflows.specification.pipeline import Pipeline, order
from workflows.specification.run_input import input_schema
from workflows.specification.settings import SHORTEST_PATIENCE, PlacedRung
from workflows.specification.stages import AnyStage, JobStage
from workflows.state_machine.input_check import problems_jsonata

Json = Any
CLOCKS_APART_SECONDS = 60  # at most, those of Step Functions and of what starts it


def run_variable(
    pipeline: Pipeline, materials: Mapping[str, Materials], prices: PriceBook, timing: str, ends: str
) -> str:
    """The expression of `$run`; of `{"problems": text}` when the run cannot start.

    `timing` binds variables for the seconds that follow each stage, `ends` is the object of these by stage
    (`timing.py`).
    """
    check = problems_jsonata(input_schema(pipeline), "$input")
    accepted = _accepted(pipeline, materials, prices, timing, ends)
    checked = f'$problems != "" ? {{"problems": {_shown("$problems")}}} : ({accepted})'
    return f"($input := $states.input; $problems := {check}; {checked})"


def _accepted(
    pipeline: Pipeline, materials: Mapping[str, Materials], prices: PriceBook, timing: str, ends: str
) -> str:
    stages = {stage.name: stage for stage in pipeline.stages}
    fixed = {name: _fixed(pipeline, stage, prices) for name, stage in stages.items()}
    budget = "null" if pipeline.budget_usd is None else f"{pipeline.budget_usd:g}"
    bound = {
        **identity(pipeline.name),
        "start": "$toMillis($execution.StartTime)",
        "stages": json.dumps(fixed),
        "before": json.dumps({name: sorted(pipeline.before(name)) for name in stages}),
        "seconds": DURATION_SECONDS,
        "due": deadline_function(pipeline),
        "deadline": f"$exists($input.deadline) ? $due($input.deadline) : {_own_deadline(pipeline)}",
        "budget": f"$exists($input.budget_usd) ? $input.budget_usd : {budget}",
        "reuse": f"$exists($input.reuse) ? $input.reuse : {json.dumps(pipeline.reuse)}",
        "wanted": _WANTED,
        "need": "function($n) { $wanted($n) ? $lookup($stages, $n).needed : 0 }",
    }
    after = {
        "tails": ends,
        "prints": _prints(pipeline, materials),
        "dollars": json.dumps(_dollars(pipeline, prices)),
        "settings": f"$merge($map($keys($stages), {_SETTINGS}))",
        "wrong": _WRONG,
    }
    text = "; ".join([f"${name} := {value}" for name, value in bound.items()])
    text += "; " + timing + "".join(f"${name} := {value}; " for name, value in after.items())
    run = (
        '{"id": $id, "prefix": $prefix, "tag": $tag, '
        f'"spot_share": {prices.spot_share:g}, "scheduled": $input.scheduled, '
        '"deadline": $deadline, "budget": $budget, "stages": $settings}'
    )
    # A deadline or limit that nobody set is absent, not null: that is what the other states ask for.
    wrong = f'$wrong != "" ? {{"problems": {_shown("$wrong")}}}'
    return text + f"{wrong} : $sift({run}, function($v) {{ $v != null }})"


def _shown(problems: str) -> str:
    """Mistakes end in "; ", the last one, too."""
    return f'$replace({problems}, /; $/, "")'


def identity(pipeline: str) -> dict[str, str]:
    """Bindings: `$id` (safe in keys and tags), `$prefix` of its keys, `$tag` of the job names.

    Execution names are free again after 90 days, or when the machine is made anew, and a run must never find
    the checkpoints of an older one: so the start is part of the prefix and of the tag.
    """
    return {
        "execution": "$states.context.Execution",
        "name": "$execution.Name",
        "id": "$contains($name, /^[A-Za-z0-9_-][A-Za-z0-9._-]*$/) ? $name : "
        '$replace($name, /[^A-Za-z0-9_-]/, "-") & "-" & $substring($hash($name, "SHA-256"), 0, 8)',
        "began": '$replace($substring($execution.StartTime, 0, 19), /[^0-9T]/, "")',
        "prefix": f'"{pipeline}/runs/" & $began & "-" & $id',
        "tag": '$substring($hash($execution.Id & $execution.StartTime, "SHA-256"), 0, 10)',
    }


# -------------------------------------------------------------------------------------- what is fixed
def _fixed(pipeline: Pipeline, stage: AnyStage, prices: PriceBook) -> dict[str, Json]:
    """A stage's settings as the pipeline has them."""
    found: dict[str, Json] = {"needed": stage.needed_seconds, "id": stage_id(pipeline.name, stage.name)}
    # Whose results are worth an old run's: those that somebody reads.
    found["feeds"] = [other.name for other in pipeline.stages if stage.name in other.sources()]
    if not isinstance(stage, JobStage):
        return found
    found |= {"job": True, "instances": stage.instances, "on-demand": _rungs(stage.on_demand_rungs(), prices)}
    if stage.expected is not None:
        found["expected"] = stage.expected.total_seconds()
    if stage.spot_settings:
        found |= {
            "retry_budget": stage.spot_settings.retry_budget,
            "no_progress_limit": stage.spot_settings.no_progress_limit,
            "patience": round(stage.spot_settings.patience.total_seconds()),
        }
    if stage.on_spot:
        found["spot"] = _rungs(stage.spot_rungs(), prices)
    return found


def _rungs(rungs: tuple[PlacedRung, ...], prices: PriceBook) -> list[dict[str, Json]]:
    """What a rung says of itself, and the dollars that an hour on it costs on demand."""
    found = []
    for rung in rungs:
        hour = prices.hourly(rung.type, "on-demand")
        price = {} if hour is None else {"hour": round(hour * rung.count, 6)}
        found.append({**rung.model_dump(mode="json", exclude_none=True), **price})
    return found


def _dollars(pipeline: Pipeline, prices: PriceBook) -> dict[str, float]:
    """Instance type -> dollars an hour, for the types that a run input may name in a ladder."""
    kinds = {kind for stage in pipeline.jobs for kind in stage.instance_types()}
    known = {kind: prices.hourly(kind, "on-demand") for kind in sorted(kinds)}
    return {kind: price for kind, price in known.items() if price is not None}


def content_digest(stage: JobStage, materials: Materials) -> str:
    """SHA-256 of all that decides what a stage computes and that no run input changes.

    Its code, image, inputs and parameters do; where it runs, how patiently and for how long do not.
    """
    told = {
        "code": content_of(materials.code_prefix),
        "images": sorted(set(materials.images.values())),
        "inputs": {
            name: content_of(materials.inputs[name]) if name in materials.inputs else value
            for name, value in stage.inputs.items()
        },
        **stage.model_dump(
            mode="json",
            include={
                "kind", "name", "script", "environment", "instances", "distribution", "hyperparameters",
                "arguments", "outputs", "grid", "trials", "container", "metrics",
            },
        ),
    }  # fmt: skip
    return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()


def _prints(pipeline: Pipeline, materials: Mapping[str, Materials]) -> str:
    """Stage -> digits that say what it computes in this run: its contents, parameters, what it builds on."""
    contents = [
        {
            "n": name,
            "c": content_digest(stage, materials[name]),
            "s": sorted(set(stage.sources())),
        }
        for name in order(pipeline)
        if isinstance(stage := pipeline.stage(name), JobStage)
    ]
    told = "[$each.c, $lookup($input.parameters, $each.n), $each.s.$lookup($known, $)]"
    print_ = f'$substring($hash($string({told}), "SHA-256"), 0, {CONTENT})'
    return (
        f"$reduce({json.dumps(contents)}, function($known, $each) "
        f"{{ $merge([$known, {{$each.n: {print_}}}]) }}, {{}})"
    )


# ---------------------------------------------------------------------------------- what the input changes
DURATION_SECONDS = (
    "function($t) { $sum($match($t, /([0-9.]+)(ms|s|m|h|d)/)."
    '($number(groups[0]) * $lookup({"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400}, groups[1]))) }'
)

# A stage that was not asked for and whose results nobody asked for reads is skipped.
_WANTED = (
    "function($n) { $exists($input.only) ? $n in $input.only : "
    "$exists($input.from) ? $n = $input.from or $input.from in $lookup($before, $n) : true }"
)


def deadline_function(pipeline: Pipeline) -> str:
    """A function from a deadline's text to its moment in milliseconds (`deadlines.due` in Python)."""
    zone = (
        '$z = "Z" ? 0 : ($substring($z, 0, 1) = "-" ? -1 : 1) * ' + _minutes("$substring($z, 1)") + " * 60000"
    )
    clock = _minutes("$t") + " * 60000"
    # The day's start in that zone; a time of day that has passed means tomorrow's.
    today = "$o := {offset}; $l := $start + $o; $m := $floor($l / 86400000) * 86400000 + {clock}"
    next_ = "$m > $l ? $m : $m + 86400000"
    of_day = f"($z := $substring($t, 5); {today.format(offset=zone, clock=clock)}; ({next_}) - $o)"
    table = deadlines.offsets(pipeline.deadline) if pipeline.deadline else []
    named = ""
    if table:
        offset = f"function($m) {{ {json.dumps(table)}[$[0] <= $m][-1][1] }}"
        text = today.format(offset="$offset($start)", clock=clock)
        named = f"$contains($t, / /) ? ($offset := {offset}; {text}; $m := {next_}; $m - $offset($m - $o)) : "
    # ISO 8601 with seconds, which $toMillis wants.
    moment = "$toMillis($length($t) in [17, 22] ? $substring($t, 0, 16) & ':00' & $substring($t, 16) : $t)"
    return (
        f"function($t) {{ {named}$contains($t, /T/) ? {moment} : $contains($t, /:/) ? {of_day} : "
        "$start + 1000 * $seconds($t) }"
    )


def _minutes(text: str) -> str:
    """Of "hh:mm"."""
    return f"($number($substring({text}, 0, 2)) * 60 + $number($substring({text}, 3, 2)))"


def _own_deadline(pipeline: Pipeline) -> str:
    return "null" if pipeline.deadline is None else f"$due({json.dumps(pipeline.deadline)})"


_LADDER = (
    "function($l, $s) { $append([], $l.($count := $exists(count) ? count : $s.instances; "
    '$hour := $lookup($dollars, type); {"type": type, "count": $count, "hour": $hour * $count})) }'
)
_SETTINGS = (
    "function($n) { ("
    "$s := $lookup($stages, $n); $spot := $lookup($input.spot, $n); "
    "$ladder := " + _LADDER + "; $parameters := $lookup($input.parameters, $n); "
    f'$do := $wanted($n) ? ($reuse and $s.job ? "{Hold.REUSE}" : "run") : '
    f'$s.job and $count($s.feeds[$wanted($)]) > 0 ? "{Hold.FIND}" : "{Hold.NOT_ASKED}"; '
    "{$n: $merge([$s, {"
    '"do": $do, "tail": $lookup($tails, $n), "print": $s.id & $lookup($prints, $n), '
    '"parameters": $merge($append([{}], $each($parameters, function($v, $k) '
    "{ {$k: $type($v) = 'string' ? $v : $string($v)} }))), "
    '"retry_budget": $exists($spot.retry_budget) ? $spot.retry_budget : $s.retry_budget, '
    '"no_progress_limit": $exists($spot.no_progress_limit) ? $spot.no_progress_limit : $s.no_progress_limit, '
    '"patience": $exists($spot.patience) ? $ceil($seconds($spot.patience)) : $s.patience, '
    '"spot": $exists($spot.ladder) ? $ladder($spot.ladder, $s) : $s.spot, '
    '"on-demand": $exists($lookup($input.on_demand, $n).ladder) ? '
    '$ladder($lookup($input.on_demand, $n).ladder, $s) : $s."on-demand"'
    "}])}) }"
)

# What the schema cannot see. Seconds are shown as whole minutes.
_WRONG = (
    '($w := $keys($stages)[$wanted($)]; "" & '
    # A time to come would be taken for the newest one until then: every run of the schedule would be dropped.
    f"($exists($input.scheduled) and $toMillis($input.scheduled) > $start + {1000 * CLOCKS_APART_SECONDS} "
    '? "scheduled: " & $input.scheduled & " is still to come; " : "") & '
    '($deadline = null ? "" : '
    "($slow := $w[$lookup($stages, $).job and $not($exists($lookup($stages, $).expected))]; "
    '$count($slow) > 0 ? "with a deadline each stage says how long it is `expected` to take; missing: " '
    '& $join($slow, ", ") & "; " : '
    "($room := ($deadline - $start) / 1000; "
    '$room < $after_none ? "the deadline cannot be met, not even on on-demand: " & $ceil($after_none / 60) '
    '& " minutes are needed, and there are " & $max([0, $floor($room / 60)]) & "; " : ""))) & '
    '($budget = null ? "" : ($dear := $w[$count([$lookup($settings, $).spot[$not($exists(hour))], '
    '$lookup($settings, $)."on-demand"[$not($exists(hour))]]) > 0]; $count($dear) > 0 ? '
    '"a spending limit needs the price of every instance type, and the price book has none for those of: " '
    '& $join($dear, ", ") & "; " : "")) & '
    f"($hasty := $w[$lookup($settings, $).patience < {round(SHORTEST_PATIENCE.total_seconds())}]; "
    '$count($hasty) > 0 ? "a patience of less than 5m would stop jobs that are being launched: " '
    '& $join($hasty, ", ") & "; " : ""))'
)
