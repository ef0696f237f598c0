"""The job request of one attempt: names, channels, checkpoint prefix, stopping condition.

A request is the `Arguments` of a task: plain values where the pipeline fixes them, JSONata expressions where
they change from attempt to attempt. The expressions read variables of the machine: `$run` (id, key prefix,
name tag), the stage's own (attempt, rung, job), and those that hold what finished stages left.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from workflows.job_settings import own_program, processing_settings, training_settings
from workflows.pipeline import REFERENCE, Pipeline, ProcessStage, TrainStage, laid_over

Json = Any
CODE = {"train": "/opt/ml/input/data/code", "process": "/opt/ml/processing/input/code"}
MARK = "stopped-by-watch.json"
PATIENCE, INTERRUPTIONS_LEFT = "RELAY_PATIENCE", "RELAY_INTERRUPTIONS_LEFT"  # the capacity watch reads them
LONGEST_NAME = 63  # TrainingJobName, CreateTrainingJob API reference
# "-<tag of 10>-<redrives>-<attempt>", with room for 999 redrives and 9,999 attempts
_SUFFIX = 1 + 10 + 1 + 3 + 1 + 4


@dataclass(frozen=True)
class Site:
    """Where the jobs of a pipeline run: what an account gives, the pipeline does not say."""

    bucket: str
    job_role_arn: str
    partition: str = "aws"


@dataclass(frozen=True)
class Materials:
    """What a stage builds on: images by instance type, its code, uploaded inputs, earlier stages' results.

    `code_prefix` is empty for a stage without a script.
    """

    code_prefix: str
    images: Mapping[str, str]
    inputs: Mapping[str, str] = field(default_factory=dict)
    results: Mapping[str, str] = field(default_factory=dict)  # finished stage -> variable that holds it


def variable(stage: str) -> str:
    """The stage's variable in the machine, without the `$`; the prefix keeps clear of JSONata's functions."""
    return "stage_" + stage.replace("-", "_")


def job_base(pipeline: str, stage: str) -> str:
    """The fixed beginning of the job names of a stage: unique per stage, and short enough for the rest."""
    name, room = f"{pipeline}-{stage}", LONGEST_NAME - _SUFFIX
    if len(name) <= room:
        return name
    digest = hashlib.sha256(name.encode()).hexdigest()[:8]
    return f"{name[: room - 9].rstrip('-')}-{digest}"


def job_prefix(pipeline: str) -> str:
    """The text with which the job names of all stages of a pipeline begin."""
    cut = LONGEST_NAME - _SUFFIX - 9  # what `job_base` keeps of a name that is too long
    return f"{pipeline}-" if len(pipeline) < cut else pipeline[:cut].rstrip("-")


def job_name(pipeline: str, stage: str) -> str:
    """The expression of an attempt's job name.

    Unique for ever: the tag is a hash of the execution's ARN and start, a redrive resets the retry counts but
    raises RedriveCount, and each attempt has its number.
    """
    return (
        f'"{job_base(pipeline, stage)}-" & $run.tag & "-" '
        f'& $string($states.context.Execution.RedriveCount) & "-" & $string(${variable(stage)}.attempt)'
    )


def training_request(
    pipeline: Pipeline, stage: TrainStage, site: Site, materials: Materials, *, spot: bool
) -> dict[str, Json]:
    """CreateTrainingJob, on spot or on demand; both share the checkpoint prefix."""
    rungs = stage.spot_rungs() if spot else stage.on_demand_rungs()
    limit = _seconds(stage.limit)
    stopping = {"MaxRuntimeInSeconds": limit}
    if spot:
        # MaxWait counts waiting and running together and must not be below MaxRuntime.
        stopping["MaxWaitTimeInSeconds"] = limit + _seconds(stage.spot.patience)
    request: dict[str, Json] = {
        "TrainingJobName": _expression(job_name(pipeline.name, stage.name)),
        "AlgorithmSpecification": {
            "TrainingImage": _by_rung(stage, [materials.images[rung[0]] for rung in rungs]),
            "TrainingInputMode": stage.input_mode,
            **_program(stage),
        },
        "RoleArn": site.job_role_arn,
        "InputDataConfig": [
            _channel(name, uri, stage.input_mode) for name, uri in _inputs(stage, site, materials).items()
        ],
        "OutputDataConfig": {"S3OutputPath": _expression(_run_uri(site, f"/{stage.name}/output"))},
        "ResourceConfig": {
            "InstanceType": _by_rung(stage, [rung[0] for rung in rungs]),
            "InstanceCount": _by_rung(stage, [rung[1] for rung in rungs]),
            "VolumeSizeInGB": stage.volume_gb,
        },
        "StoppingCondition": stopping,
        "EnableManagedSpotTraining": spot,
        "HyperParameters": {k: _parameter(v) for k, v in stage.hyperparameters.items()},
        "Environment": _environment(stage) | (_for_the_watch(stage) if spot else {}),
        "Tags": _tags(pipeline, stage),
    }
    if stage.checkpoint:
        # Without the `/` at its end, `run-1` would restore the files of `run-10` as well.
        request["CheckpointConfig"] = {
            "S3Uri": _expression(_run_uri(site, f"/{stage.name}/checkpoints/")),
            "LocalPath": "/opt/ml/checkpoints",
        }
    if not request["InputDataConfig"]:
        del request["InputDataConfig"]  # AWS takes at least one channel, or none of the member
    return laid_over(request, training_settings(stage))


def processing_request(
    pipeline: Pipeline, stage: ProcessStage, site: Site, materials: Materials
) -> dict[str, Json]:
    """CreateProcessingJob; a later attempt overwrites the outputs of an earlier one."""
    rungs = stage.on_demand_rungs()
    arguments = [f for k, v in stage.arguments.items() for f in (f"--{k}", _parameter(v))]
    request = {
        "ProcessingJobName": _expression(job_name(pipeline.name, stage.name)),
        "AppSpecification": {
            "ImageUri": _by_rung(stage, [materials.images[rung[0]] for rung in rungs]),
            "ContainerEntrypoint": ["python3", f"{CODE['process']}/launch.py"],
            "ContainerArguments": [stage.script, *arguments],
        },
        "RoleArn": site.job_role_arn,
        "ProcessingInputs": [
            {"InputName": name, "S3Input": _processing_input(name, uri)}
            for name, uri in _inputs(stage, site, materials).items()
        ],
        "ProcessingOutputConfig": {
            "Outputs": [_processing_output(stage, site, name) for name in stage.outputs]
        },
        "ProcessingResources": {
            "ClusterConfig": {
                "InstanceType": _by_rung(stage, [rung[0] for rung in rungs]),
                "InstanceCount": _by_rung(stage, [rung[1] for rung in rungs]),
                "VolumeSizeInGB": stage.volume_gb,
            }
        },
        "StoppingCondition": {"MaxRuntimeInSeconds": _seconds(stage.limit)},
        "Environment": _environment(stage),
        "Tags": _tags(pipeline, stage),
    }
    return laid_over(request, processing_settings(stage))


def outputs(stage: TrainStage | ProcessStage, site: Site) -> dict[str, str]:
    """Output name -> expression of its S3 URI, valid once the stage is done."""
    if isinstance(stage, TrainStage):
        job = f"${variable(stage.name)}.job"
        base = _run_uri(site, f"/{stage.name}/output/")
        return {"model": f'{base} & {job} & "/output/model.tar.gz"'}
    return {name: _run_uri(site, f"/{stage.name}/output/{name}") for name in stage.outputs}


def checkpoint_key(stage: str, name: str) -> str:
    """The expression of the S3 key of `progress.json` or `complete.json`."""
    return f'$run.prefix & "/{stage}/checkpoints/{name}"'


def mark_key(stage: str) -> str:
    """The expression of the S3 key at which the capacity watch says that it stops the attempt's job.

    Next to what the job itself leaves, by the job's own name: no script writes there, no later attempt finds
    it, and a stage without a checkpoint prefix has it too.
    """
    return f'$run.prefix & "/{stage}/output/" & ${variable(stage)}.job & "/{MARK}"'


# -------------------------------------------------------------------------------------------------- parts
def _expression(text: str) -> str:
    return "{% " + text + " %}"


def _run_uri(site: Site, rest: str) -> str:
    return f'"s3://{site.bucket}/" & $run.prefix & {json.dumps(rest)}'


def _by_rung(stage: TrainStage | ProcessStage, values: list[Json]) -> Json:
    """The value at the stage's rung; a plain value when every rung has the same."""
    if all(value == values[0] for value in values):
        return values[0]
    return _expression(f"{json.dumps(values)}[${variable(stage.name)}.rung]")


def _program(stage: TrainStage) -> dict[str, Json]:
    """What the container starts: Relay's launcher with the script, or what the stage says itself."""
    if stage.container is not None:
        return own_program(stage.container)
    launcher = ["--torchrun"] if stage.distribution == "torchrun" else []
    return {
        "ContainerEntrypoint": ["python3", f"{CODE['train']}/launch.py"],
        "ContainerArguments": [*launcher, stage.script],
    }


def _inputs(stage: TrainStage | ProcessStage, site: Site, materials: Materials) -> dict[str, str]:
    """Channel -> S3 URI (or its expression), the code first."""
    channels = {"code": materials.code_prefix} if stage.script else {}
    for name, value in stage.inputs.items():
        if match := REFERENCE.match(value):
            channels[name] = _expression(
                f'$lookup(${materials.results[match[1]]}, "{match[1]}").outputs.`{match[2]}`'
            )
        else:
            channels[name] = materials.inputs.get(name, value)
    return channels


def _channel(name: str, uri: str, mode: str) -> dict[str, Json]:
    """The code is always files: the launcher is started from there."""
    source = {"S3DataType": "S3Prefix", "S3Uri": uri, "S3DataDistributionType": "FullyReplicated"}
    mode = "File" if name == "code" else mode
    return {"ChannelName": name, "DataSource": {"S3DataSource": source}, "InputMode": mode}


def _processing_input(name: str, uri: str) -> dict[str, Json]:
    return {
        "S3Uri": uri,
        "LocalPath": f"/opt/ml/processing/input/{name}",
        "S3DataType": "S3Prefix",
        "S3InputMode": "File",
        "S3DataDistributionType": "FullyReplicated",
    }


def _processing_output(stage: ProcessStage, site: Site, name: str) -> dict[str, Json]:
    destination = {
        "S3Uri": _expression(_run_uri(site, f"/{stage.name}/output/{name}")),
        "LocalPath": f"/opt/ml/processing/output/{name}",
        "S3UploadMode": "EndOfJob",
    }
    return {"OutputName": name, "S3Output": destination}


def _environment(stage: TrainStage | ProcessStage) -> dict[str, str]:
    ours = {"RELAY_STAGE": stage.name, "RELAY_RUN": _expression("$run.id")}
    if isinstance(stage, TrainStage) and stage.checkpoint:
        ours |= {
            "RELAY_CHECKPOINT_KEEP": str(stage.checkpoint.keep),
            "RELAY_CHECKPOINT_SHORTEST": str(stage.checkpoint.shortest.total_seconds()),
            "RELAY_CHECKPOINT_LONGEST": str(stage.checkpoint.longest.total_seconds()),
        }
    return {**stage.environment, **ours}


def _for_the_watch(stage: TrainStage) -> dict[str, str]:
    """How long, and how often, the job may be without capacity; it keeps what it was created with."""
    left = f"$string({stage.spot.retry_budget} - ${variable(stage.name)}.interruptions)"
    return {
        PATIENCE: str(_seconds(stage.spot.patience)),
        INTERRUPTIONS_LEFT: _expression(left),
    }


def _tags(pipeline: Pipeline, stage: TrainStage | ProcessStage) -> list[dict[str, str]]:
    tags = stage.tags | {
        "relay:pipeline": pipeline.name,
        "relay:run": _expression("$run.id"),
        "relay:stage": stage.name,
        "relay:attempt": _expression(f"$string(${variable(stage.name)}.attempt)"),
    }
    return [{"Key": key, "Value": value} for key, value in tags.items()]


def _parameter(value: Json) -> str:
    """A hyperparameter as SageMaker wants it, a string: JSON, except for text."""
    return value if isinstance(value, str) else json.dumps(value)


def _seconds(duration: timedelta) -> int:
    return max(1, round(duration / timedelta(seconds=1)))
