"""Stages that run no job: a gate, and the registration of a model."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from workflows.jobs.requests import settings
from workflows.ledger.vocabulary import GATE_FAILED
from workflows.policy.outcomes import Hold
from workflows.specification.pipeline import Pipeline
from workflows.specification.stages import GateStage, RegisterStage
from workflows.state_machine import language as asl
from workflows.state_machine.expressions import fields
from workflows.state_machine.holds import Scope, said_stop, unwanted
from workflows.state_machine.language import jsonata
from workflows.state_machine.retries import sagemaker_busy
from workflows.state_machine.stage import NOTHING, SKIPPED, Place, States, leave
from workflows.state_machine.tasks import sdk_task

MOST_METRICS = 20  # of the 50 properties that a model package may have


def gate_states(
    stage: GateStage, scope: Scope, known: Mapping[str, str], gates: Iterable[tuple[str, str]]
) -> States:
    """One state that compares; those that need the gate ask what it said (`holds.py`).

    A gate that was not asked for lets everything pass. One that stands behind a gate that said stop says the
    same. A metric that nobody reported is an error: a comparison with nothing would pass or stop by chance.
    """
    asked = f'{settings(stage.name)}.do != "{Hold.NOT_ASKED}"'
    stopped = " or ".join(said_stop(gates)) or "false"
    values = {
        f"{source}.{metric}": _metric(stage.name, known[source], source, metric)
        for source, metric in stage.condition.metrics
    }
    text = stage.condition.jsonata(lambda source, metric: f"$m.`{source}.{metric}`")
    compared = (
        f'($m := {fields(values)}; {{"passed": {text}, "metrics": $m, "when": {json.dumps(stage.when)}}})'
    )
    left = f'{stopped} ? {{"passed": false}} : {asked} ? {compared} : {{"passed": true}}'
    result = f"$merge([{json.dumps(NOTHING)}, {left}])"
    phrase = f"{stage.name}: is it met"
    compare = asl.Pass(phrase, assign=leave(scope, stage.name, result), output={})
    if stage.otherwise == "stop":
        return States({}, compare, [compare])
    own = f"${scope.results}.`{stage.name}`"
    cause = f'"{stage.name}: not good enough: " & {own}.when'
    failed = asl.Fail(f"{stage.name}: not good enough", error=GATE_FAILED, cause=jsonata(cause))
    # Behind a gate that said stop this one has nothing to fail for.
    fails = (
        f"${scope.results}.`{stage.name}`.passed = false and $exists(${scope.results}.`{stage.name}`.when)"
    )
    choice = asl.Choice(f"{stage.name}: go on", output={}).when(fails, failed)
    compare.next(choice)
    return States({}, compare, [choice])


def _metric(gate: str, results: str, stage: str, metric: str) -> str:
    value = f"${results}.`{stage}`.metrics.`{metric}`"
    missing = json.dumps(f"{gate}: the stage {stage} reported no number named {metric}")
    return f'($type({value}) = "number" ? {value} : $error({missing}))'


def register_states(pipeline: Pipeline, stage: RegisterStage, place: Place) -> States:
    """Makes the group unless it is there, then a version in it.

    Its number is the registry's; the token makes a repeated call (a retry, a redrive) give the same version.
    """
    scope, site = place.scope, place.site
    group = stage.group or pipeline.name
    source = f"${place.materials.results[stage.of]}.`{stage.of}`"

    make = sdk_task(
        f"{stage.name}: make the group",
        site,
        "sagemaker:createModelPackageGroup",
        {
            "ModelPackageGroupName": group,
            "ModelPackageGroupDescription": f"Models of the pipeline {pipeline.name}",
        },
    )
    make.add_retry(sagemaker_busy())
    token = f'$substring($hash($run.tag & "{stage.name}", "SHA-256"), 0, 32)'
    register = sdk_task(
        f"{stage.name}: register the model",
        site,
        "sagemaker:createModelPackage",
        {
            "ModelPackageGroupName": group,
            "ModelPackageDescription": stage.description or f"{stage.of} of the pipeline {pipeline.name}",
            "ModelApprovalStatus": stage.approval,
            "ClientToken": jsonata(token),
            "InferenceSpecification": {
                "Containers": [
                    {
                        "Image": next(iter(place.materials.images.values())),
                        "ModelDataUrl": jsonata(f"{source}.outputs.model"),
                    }
                ],
                "SupportedContentTypes": list(stage.content_types),
                "SupportedResponseMIMETypes": list(stage.response_types),
            },
            "ModelMetrics": jsonata(_model_metrics(source)),
            "MetadataProperties": {"GeneratedBy": jsonata(f"{source}.arn")},
            "CustomerMetadataProperties": jsonata(_properties(stage, source)),
        },
        assign=leave(
            scope,
            stage.name,
            f'$merge([{json.dumps(NOTHING)}, {{"outputs": {{"package": $states.result.ModelPackageArn}}}}])',
        ),
    )
    register.add_retry(sagemaker_busy())
    # The group is there already, or may not be made by us: the next call tells.
    make.add_catch(asl.Catch(error_equals=["States.ALL"], next_step=register, output={}))
    make.next(register)
    skipped = asl.Pass(
        f"{stage.name}: skipped",
        assign=leave(scope, stage.name, json.dumps({**NOTHING, "skipped": SKIPPED})),
        output={},
    )
    entry: Any = (
        asl.Choice(f"{stage.name}: is it asked for", output={})
        .when(unwanted(stage.name, place.gates), skipped)
        .otherwise(make)
    )
    return States({}, entry, [register, skipped])


def _model_metrics(source: str) -> str:
    """complete.json holds the metrics; a script that does not use our checkpointing leaves none."""
    report = fields({"ContentType": '"application/json"', "S3Uri": f"{source}.report"})
    return f'$exists({source}.report) ? {{"ModelQuality": {{"Statistics": {report}}}}} : {{}}'


def _properties(stage: RegisterStage, source: str) -> str:
    """Where the model came from, its metrics, and what the pipeline adds: text, without characters that the
    API refuses."""
    clean = r"/[^A-Za-z0-9 _.:\/=+@-]/"
    pair = f'{{"metric:" & $replace($k, {clean}, "_"): $replace($string($v), {clean}, "_")}}'
    metrics = f"$each({source}.metrics, function($v, $k) {{ {pair} }})[[0..{MOST_METRICS - 1}]]"
    origin = {"relay:run": "$run.id", "relay:job": f"{source}.job", "relay:stage": json.dumps(stage.of)}
    return f"$merge($append([{fields(origin)}, {json.dumps(stage.properties)}], {metrics}))"
