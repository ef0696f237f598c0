"""A gate: one state that compares metrics of earlier stages, and one that fails where the gate says so."""

from __future__ import annotations

import json

from workflows.jobs.jsonata_text import fields, jsonata
from workflows.jobs.variables import settings
from workflows.ledger.vocabulary import GATE_FAILED, IS_IT_MET, NOT_GOOD_ENOUGH, title
from workflows.policy.outcomes import Hold
from workflows.specification.stages import GateStage
from workflows.state_machine import language as asl
from workflows.state_machine.holds import said_stop
from workflows.state_machine.stage import NOTHING, Place, States, leave


def gate_states(stage: GateStage, place: Place) -> States:
    """One state that compares; those that need the gate ask what it said (`holds.py`).

    A gate that was not asked for lets everything pass. One that stands behind a gate that said stop says the
    same. A metric that nobody reported is an error: a comparison with nothing would pass or stop by chance.
    """
    scope, known = place.scope, place.materials.results
    asked = f'{settings(stage.name)}.do != "{Hold.NOT_ASKED}"'
    stopped = " or ".join(said_stop(place.gates)) or "false"
    values = {
        f"{source}.{metric}": _metric(stage.name, known[source], source, metric)
        for source, metric in stage.condition.metrics
    }
    # One after the other: what stands in one object counts together towards the depth that AWS allows.
    names = {key: f"$v{number}" for number, key in enumerate(values)}
    bound = "; ".join(f"{names[key]} := {text}" for key, text in values.items())
    text = stage.condition.jsonata(lambda source, metric: names[f"{source}.{metric}"])
    answer = f'{{"passed": $passed, "metrics": {fields(names)}, "when": {json.dumps(stage.when)}}}'
    compared = f"({bound}; $passed := {text}; {answer})"
    left = f'{stopped} ? {{"passed": false}} : {asked} ? {compared} : {{"passed": true}}'
    result = f"$merge([{json.dumps(NOTHING)}, {left}])"
    compare = asl.Pass(title(stage.name, IS_IT_MET), assign=leave(scope, stage.name, result), output={})
    if stage.otherwise == "stop":
        return States({}, compare, [compare])
    own = f"${scope.results}.`{stage.name}`"
    cause = f'"{stage.name}: not good enough: " & {own}.when'
    failed = asl.Fail(title(stage.name, NOT_GOOD_ENOUGH), error=GATE_FAILED, cause=jsonata(cause))
    # Behind a gate that said stop this one has nothing to fail for.
    fails = (
        f"${scope.results}.`{stage.name}`.passed = false and $exists(${scope.results}.`{stage.name}`.when)"
    )
    choice = asl.Choice(title(stage.name, "go on"), output={}).when(fails, failed)
    compare.next(choice)
    return States({}, compare, [choice])


def _metric(gate: str, results: str, stage: str, metric: str) -> str:
    value = f"${results}.`{stage}`.metrics.`{metric}`"
    missing = json.dumps(f"{gate}: the stage {stage} reported no number named {metric}")
    return f'($type({value}) = "number" ? {value} : $error({missing}))'
