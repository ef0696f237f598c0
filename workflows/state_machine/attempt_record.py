"""After each attempt: its line of the ledger goes into the table, and its figures into CloudWatch.

    how far did it get | done -> write down -> measure -> what next

The table outlives the 90 days for which Step Functions keeps histories, and knows all runs (`attempts.py`
reads it). Neither call may cost a run its life: what they answer leads on, whatever it is, and so does what
they cannot be asked with. Where no attempt has ended (a stage that was skipped, reused, or held back) the
Arguments fail, which is a call that is not made.

An item's key follows from the run and the job's name: the same attempt written twice, after a retry or a
redrive, is one item.
"""

from __future__ import annotations

import json
from typing import Any

from workflows.jobs.jsonata_text import fields, jsonata
from workflows.jobs.kinds import job_of
from workflows.jobs.site import Site
from workflows.ledger.attempts import DIMENSION, NAMESPACE, PARTITION_KEY, SORT_KEY
from workflows.ledger.entry import Metric, measured
from workflows.ledger.vocabulary import MEASURE, WRITE_DOWN, title, variable
from workflows.specification.pipeline import Pipeline
from workflows.specification.stages import JobStage
from workflows.state_machine import language as asl
from workflows.state_machine.retries import whatever_it_was
from workflows.state_machine.tasks import sdk_task

ONWARD = "onward"  # in the place of a decision: the stage is done
LONGEST_TEXT = 1000  # characters of an attribute: a script may report texts in the place of steps


def record_states(stage: JobStage, pipeline: Pipeline, site: Site, results: str, *, onward: Any) -> Any:
    """The first of the two states; `results` is the variable in which a finished stage leaves its ledger."""
    line = _line(stage, results)
    write = sdk_task(
        title(stage.name, WRITE_DOWN),
        site,
        "dynamodb:putItem",
        {"TableName": site.table, "Item": jsonata(_item(stage, pipeline, line))},
    )
    measure = sdk_task(
        title(stage.name, MEASURE),
        site,
        "cloudwatch:putMetricData",
        {"Namespace": NAMESPACE, "MetricData": jsonata(_metrics(stage, pipeline, line))},
    )
    for state, following in ((write, measure), (measure, onward)):
        for retrier in whatever_it_was():
            state.add_retry(retrier)
        state.add_catch(asl.Catch(error_equals=["States.ALL"], next_step=following, output={}))
        state.next(following)
    return write


def _line(stage: JobStage, results: str) -> str:
    """The ledger's line of the attempt that has just ended; nothing where none has."""
    own, left = f"${variable(stage.name)}", f"${results}.`{stage.name}`"
    return f'({own}.next != "{ONWARD}" ? {own}.line : $exists({left}.reused) ? null : {left}.ledger[-1])'


def _item(stage: JobStage, pipeline: Pipeline, line: str) -> str:
    """Every field of the line that is not null is an attribute: a number, or a text."""
    trial = '$string($l.trial) & "/" & ' if stage.has_trials else ""
    # BEGAN-RUN/STAGE/[TRIAL/]REDRIVE-ATTEMPT
    key = (
        f'$substringAfter($run.prefix, "/runs/") & "/{stage.name}/" & {trial}'
        "$match($l.job, /[0-9]+-[0-9]+$/)[0].match"
    )
    more = fields({PARTITION_KEY: json.dumps(pipeline.name), SORT_KEY: key, "run": "$run.id"})
    text = f'{{"S": $substring($string($v), 0, {LONGEST_TEXT})}}'
    typed = f'{{$k: $type($v) = "number" ? {{"N": $string($v)}} : {text}}}'
    return (
        f'($l := {line}; $type($l) != "object" ? $error("nothing to write down") : '
        f"$merge($each($merge([$l, {more}]), function($v, $k) {{ $v != null ? {typed} }})))"
    )


def _metrics(stage: JobStage, pipeline: Pipeline, line: str) -> str:
    """What `stacks/alarms.py` and the dashboard show; of an unknown price there is no datum.

    The decision for the deadline may fall before an attempt has begun; then it is all there is.
    """
    own = f"${variable(stage.name)}"
    going = f'{own}.next != "{ONWARD}"'
    values: dict[str, str] = {metric: f"$l.{name}" for metric, name in measured().items()}
    values[Metric.SAVED] = "$l.on_demand_usd - $l.usd"
    if job_of(stage).resumes:
        values[Metric.NO_PROGRESS] = f"{going} and {own}.stalled > 0 ? 1 : 0"
    if stage.on_spot:
        values[Metric.ON_DEMAND] = '$l.market = "on-demand" ? 1 : 0'
    pressed = f'{going} and {own}.pressed = true ? {{"{Metric.DEADLINE_PRESSED}": 1}} : {{}}'
    dimensions = [{"Name": DIMENSION, "Value": pipeline.name}]
    datum = f'{{"MetricName": $k, "Value": $v, "Dimensions": {json.dumps(dimensions)}}}'
    return (
        f'($l := {line}; $m := $merge([$type($l) = "object" ? {fields(values)} : {{}}, {pressed}]); '
        f'$count($keys($m)) = 0 ? $error("nothing to measure") : '
        f"$append([], $each($m, function($v, $k) {{ {datum} }})))"
    )
