"""The registration of a model: a version in a group of SageMaker's model registry."""

from __future__ import annotations

import json
from typing import Any

from workflows.jobs.jsonata_text import fields, jsonata
from workflows.jobs.variables import settings
from workflows.ledger.vocabulary import IS_IT_ASKED_FOR, title
from workflows.specification.stages import RegisterStage
from workflows.state_machine import language as asl
from workflows.state_machine.holds import unwanted
from workflows.state_machine.retries import busy
from workflows.state_machine.stage import NOTHING, SKIPPED, Place, States, leave
from workflows.state_machine.tasks import sdk_task

MOST_PROPERTIES = 50  # of a model package (CustomerMetadataProperties, API reference)
MOST_METRICS = 20


def register_states(stage: RegisterStage, place: Place) -> States:
    """Makes the group unless it is there, then a version in it.

    Its number is the registry's; the token makes a repeated call (a retry, a redrive) give the same version.
    """
    pipeline, scope, site = place.pipeline, place.scope, place.site
    group = stage.group or pipeline.name
    source = f"${place.materials.results[stage.of]}.`{stage.of}`"

    make = sdk_task(
        title(stage.name, "make the group"),
        site,
        "sagemaker:createModelPackageGroup",
        {
            "ModelPackageGroupName": group,
            "ModelPackageGroupDescription": f"Models of the pipeline {pipeline.name}",
        },
    )
    # That the group is there already comes under the same name as throttling.
    make.add_retry(busy("sagemaker:createModelPackageGroup", attempts=2, longest=5))
    token = f'$substring($hash($run.tag & "{stage.name}", "SHA-256"), 0, 32)'
    register = sdk_task(
        title(stage.name, "register the model"),
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
    register.add_retry(busy("sagemaker:createModelPackage", attempts=5))
    # The group is there already, or may not be made by us: the next call tells.
    make.add_catch(asl.Catch(error_equals=["States.ALL"], next_step=register, output={}))
    make.next(register)
    skipped = asl.Pass(
        title(stage.name, "skipped"),
        assign=leave(scope, stage.name, json.dumps({**NOTHING, "skipped": SKIPPED})),
        output={},
    )
    entry: Any = (
        asl.Choice(title(stage.name, IS_IT_ASKED_FOR), output={})
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
    origin = {"relay:run": "$run.id", "relay:job": f"{source}.job", "relay:stage": json.dumps(stage.of)}
    room = min(MOST_METRICS, MOST_PROPERTIES - len(origin) - len(stage.properties))
    metrics = f"$each({source}.metrics, function($v, $k) {{ {pair} }})[[0..{room - 1}]]"
    return f"$merge($append([{fields(origin)}, {settings(stage.name)}.properties], {metrics}))"
