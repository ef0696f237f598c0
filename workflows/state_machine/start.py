"""The machine's first two states: what the pipeline says, as data; and the run's input, checked, as `$run`.

    as written: $written (schema, settings of every stage, prices, order)
    start:      input -> mistakes | id, key prefix, name tag, deadline, spending limit, stages' settings

Data stands in a state of its own because an evaluation may be 100 deep in Step Functions, and the members of
a literal count together: six stages written into the expression would have been too many.

Nothing else reads the input. What a stage needs of it stands under `$run.stages`, complete, whether the input
changed it or not: what the console shows of this variable is what the run goes by.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from workflows.jobs.job import parameters
from workflows.jobs.job_names import CONTENT, stage_id
from workflows.jobs.site import Materials, content_of
from workflows.policy.outcomes import Hold
from workflows.policy.prices import PriceBook
from workflows.specification import deadlines
from workflows.specification.pipeline import Pipeline, order
from workflows.specification.run_input import input_schema
from workflows.specification.settings import SHORTEST_PATIENCE, PlacedRung
from workflows.specification.stages import AnyStage, JobStage
from workflows.state_machine.arrangement import Steps
from workflows.state_machine.input_check import problems_jsonata
from workflows.state_machine.timing import AFTER, timing

Json = Any
CLOCKS_APART_SECONDS = 60  # at most, those of Step Functions and of what starts it


def written(
    pipeline: Pipeline, materials: Mapping[str, Materials], prices: PriceBook, steps: Steps
) -> dict[str, Json]:
    """The variable `$written`: all that the first expression reads beside the input; plain data."""
    stages = {stage.name: stage for stage in pipeline.stages}
    return {
        "schema": input_schema(pipeline),
        "stages": {
            name: _fixed(pipeline, stage, materials.get(name), prices) for name, stage in stages.items()
        },
        "before": {name: sorted(pipeline.before(name)) for name in stages},
        "dollars": _dollars(pipeline, prices),
        "contents": _contents(pipeline, materials),
        "zone": deadlines.offsets(pipeline.deadline) if pipeline.deadline else [],
        **timing(steps),
    }


def run_variable(pipeline: Pipeline, prices: PriceBook) -> str:
    """The expression of `$run`; of `{"problems": text}` when the run cannot start."""
    check = problems_jsonata(input_schema(pipeline), "$written.schema", "$input")
    refused = '$problems != "" ? {"problems": $problems}'
    return f"($input := $states.input; $problems := {check}; {refused} : ({_accepted(pipeline, prices)}))"


def _accepted(pipeline: Pipeline, prices: PriceBook) -> str:
    budget = "null" if pipeline.budget_usd is None else f"{pipeline.budget_usd:g}"
    bound = {
        **identity(pipeline.name),
        "start": "$toMillis($execution.StartTime)",
        "stages": "$written.stages",
        "names": "$keys($stages)",
        "seconds": DURATION_SECONDS,
        "due": deadline_function(pipeline),
        "deadline": f"$exists($input.deadline) ? $due($input.deadline) : {_own_deadline(pipeline)}",
        "budget": f"$exists($input.budget_usd) ? $input.budget_usd : {budget}",
        "reuse": f"$exists($input.reuse) ? $input.reuse : {json.dumps(pipeline.reuse)}",
        "wanted": _WANTED,
        "need": "function($n) { $exists($n) and $wanted($n) ? $lookup($stages, $n).needed : 0 }",
        "after": AFTER,
        "after_none": "$lookup($after, $written.whole)",
        "prints": _PRINTS,
        "settings": f"$merge($map($names, {_SETTINGS}))",
        "wrong": _WRONG,
    }
    text = "; ".join([f"${name} := {value}" for name, value in bound.items()])
    run = (
        '{"id": $id, "prefix": $prefix, "tag": $tag, '
        f'"spot_share": {prices.spot_share:g}, "scheduled": $input.scheduled, '
        '"deadline": $deadline, "budget": $budget, "stages": $settings}'
    )
    # A deadline or limit that nobody set is absent, not null: that is what the other states ask for.
    wrong = f'$wrong != "" ? {{"problems": {_shown("$wrong")}}}'
    return f"{text}; {wrong} : $sift({run}, function($v) {{ $v != null }})"


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
        '$replace($name, /[^A-Za-z0-9_-]+/, "-") & "-" & $substring($hash($name, "SHA-256"), 0, 8)',
        "began": '$replace($substring($execution.StartTime, 0, 19), /[^0-9T]/, "")',
        "prefix": f'"{pipeline}/runs/" & $began & "-" & $id',
        "tag": '$substring($hash($execution.Id & $execution.StartTime, "SHA-256"), 0, 10)',
    }


# -------------------------------------------------------------------------------------- what is fixed
def _fixed(
    pipeline: Pipeline, stage: AnyStage, materials: Materials | None, prices: PriceBook
) -> dict[str, Json]:
    """A stage's settings as the pipeline has them.

    What may be long is here and in no expression: the members of an object literal count together towards
    the depth at which Step Functions refuses an evaluation (AWS.md 10).
    """
    found: dict[str, Json] = {"needed": stage.needed_seconds, "id": stage_id(pipeline.name, stage.name)}
    # Whose results are worth an old run's: those that somebody reads.
    found["feeds"] = [other.name for other in pipeline.stages if stage.name in other.sources()]
    found |= stage.long_settings()
    if not isinstance(stage, JobStage):
        return found
    found["parameters"] = parameters(stage.settable)
    if materials and len(set(materials.images.values())) > 1:
        found["images"] = dict(sorted(materials.images.items()))
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


def _contents(pipeline: Pipeline, materials: Mapping[str, Materials]) -> list[dict[str, Json]]:
    """What each job computes (`c`) and the stages that it builds on (`s`), in the order of the run."""
    return [
        {"n": name, "c": content_digest(stage, materials[name]), "s": sorted(set(stage.sources()))}
        for name in order(pipeline)
        if isinstance(stage := pipeline.stage(name), JobStage)
    ]


# Stage -> digits that say what it computes in this run: its contents, parameters, what it builds on.
_PRINTS = (
    "$reduce($written.contents, function($known, $each) { ("
    "$told := [$each.c, $lookup($input.parameters, $each.n), "
    "$map($each.s, function($of) { $lookup($known, $of) })]; "
    f'$print := $substring($hash($string($told), "SHA-256"), 0, {CONTENT}); '
    "$merge([$known, {$each.n: $print}])) }, {})"
)


# ---------------------------------------------------------------------------------- what the input changes
DURATION_SECONDS = (
    "function($t) { $sum($match($t, /([0-9.]+)(ms|s|m|h|d)/)."
    '($number(groups[0]) * $lookup({"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400}, groups[1]))) }'
)

# A stage that was not asked for and whose results nobody asked for reads is skipped.
_WANTED = (
    "function($n) { $exists($input.only) ? $n in $input.only : "
    "$exists($input.from) ? $n = $input.from or $input.from in $lookup($written.before, $n) : true }"
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
        offset = "function($m) { $written.zone[$[0] <= $m][-1][1] }"
        text = today.format(offset="$offset($start)", clock=clock)
        named = f"$contains($t, / /) ? ($offset := {offset}; {text}; $m := {next_}; $m - $offset($m - $o)) : "
    # ISO 8601 with seconds, which $toMillis wants.
    moment = "$toMillis($length($t) in [17, 22] ? $substring($t, 0, 16) & ':00' & $substring($t, 16) : $t)"
    return (
        f"function($t) {{ {named}$contains($t, /T/) ? {moment} : $contains($t, /:/) ? {of_day} : "
        "$start + 1000 * $seconds($t) }"
    )


def _minutes(text: str) -> str:
    """The expression of the minutes in "hh:mm"."""
    return f"($number($substring({text}, 0, 2)) * 60 + $number($substring({text}, 3, 2)))"


def _own_deadline(pipeline: Pipeline) -> str:
    return "null" if pipeline.deadline is None else f"$due({json.dumps(pipeline.deadline)})"


_LADDER = (
    "function($l, $s) { $append([], $map($l, function($r) { ("
    "$kind := $r.type; $count := $exists($r.count) ? $r.count : $s.instances; "
    "$hour := $lookup($written.dollars, $kind) * $count; "
    '{"type": $kind, "count": $count, "hour": $hour}) })) }'
)
# Each value is worked out before the object is made: the members of one count together.
_SETTINGS = (
    "function($n) { ("
    "$s := $lookup($stages, $n); $spot := $lookup($input.spot, $n); "
    "$demand := $lookup($input.on_demand, $n); $parameters := $lookup($input.parameters, $n); "
    "$ladder := " + _LADDER + "; "
    "$read := $filter($s.feeds, function($of) { $wanted($of) }); "
    f'$do := $wanted($n) ? ($reuse and $s.job ? "{Hold.REUSE}" : "run") : '
    f'$s.job and $count($read) > 0 ? "{Hold.FIND}" : "{Hold.NOT_ASKED}"; '
    "$tail := $lookup($after, $lookup($written.tails, $n)); "
    "$print := $s.id & $lookup($prints, $n); "
    "$fixed := $exists($s.parameters) ? $s.parameters : {}; "
    "$changed := $merge($append([$fixed], $each($parameters, function($v, $k) "
    "{ {$k: $type($v) = 'string' ? $v : $string($v)} }))); "
    "$retries := $exists($spot.retry_budget) ? $spot.retry_budget : $s.retry_budget; "
    "$still := $exists($spot.no_progress_limit) ? $spot.no_progress_limit : $s.no_progress_limit; "
    "$patience := $exists($spot.patience) ? $ceil($seconds($spot.patience)) : $s.patience; "
    "$rungs := $exists($spot.ladder) ? $ladder($spot.ladder, $s) : $s.spot; "
    '$others := $exists($demand.ladder) ? $ladder($demand.ladder, $s) : $s."on-demand"; '
    '$own := {"do": $do, "tail": $tail, "print": $print, "parameters": $changed, "retry_budget": $retries, '
    '"no_progress_limit": $still, "patience": $patience, "spot": $rungs, "on-demand": $others}; '
    "$whole := $merge([$s, $own]); "
    "{$n: $whole}) }"
)

# What the schema cannot see. Seconds are shown as whole minutes.
_WRONG = (
    "($w := $filter($names, $wanted); "
    # A time to come would be taken for the newest one until then: every run of the schedule would be dropped.
    "$early := $exists($input.scheduled) "
    f"and $toMillis($input.scheduled) > $start + {1000 * CLOCKS_APART_SECONDS} "
    '? "scheduled: " & $input.scheduled & " is still to come; "; '
    "$slow := $filter($w, function($n) { ($s := $lookup($stages, $n); "
    "$s.job and $not($exists($s.expected))) }); "
    "$room := $deadline = null ? 0 : ($deadline - $start) / 1000; "
    '$late := $deadline = null ? "" : $count($slow) > 0 '
    '? "with a deadline each stage says how long it is `expected` to take; missing: " '
    '& $join($slow, ", ") & "; " '
    ': $room < $after_none ? "the deadline cannot be met, not even on on-demand: " & $ceil($after_none / 60) '
    '& " minutes are needed, and there are " & $max([0, $floor($room / 60)]) & "; "; '
    "$free := function($r) { $not($exists($r.hour)) }; "
    "$dear := $budget = null ? [] : $filter($w, function($n) { ($s := $lookup($settings, $n); "
    '$count($append($filter($s.spot, $free), $filter($s."on-demand", $free))) > 0) }); '
    '$unpriced := $count($dear) > 0 ? "a spending limit needs the price of every instance type, and the '
    'price book has none for those of: " & $join($dear, ", ") & "; "; '
    "$hasty := $filter($w, function($n) { ($p := $lookup($settings, $n).patience; "
    f"$exists($p) and $p < {round(SHORTEST_PATIENCE.total_seconds())}) }}); "
    '$rash := $count($hasty) > 0 ? "a patience of less than 5m would stop jobs that are being launched: " '
    '& $join($hasty, ", ") & "; "; '
    "$early & $late & $unpriced & $rash)"
)
