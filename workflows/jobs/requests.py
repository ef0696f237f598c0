"""The job request of one attempt: names, channels, checkpoint prefix, stopping condition.

A request is the `Arguments` of a task: plain values where the pipeline fixes them, JSONata expressions where
they change from run to run or from attempt to attempt. The expressions read variables of the machine: `$run`
(id, name tag, the stage's settings for this run), the stage's own (attempt, rung, job, place), and those that
hold what finished stages left.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from workflows.errors import RelayError
from workflows.jobs.job_names import job_base
from workflows.jobs.job_settings import own_program, processing_settings, training_settings
from workflows.jobs.watch_pattern import AT_ONCE, LEFT_TAG, LOOK_AFTER
from workflows.ledger.attempts import TABLE
from workflows.ledger.vocabulary import variable
from workflows.specification.pipeline import Pipeline
from workflows.specification.settings import laid_over
from workflows.specification.stages import REFERENCE, JobStage, ProcessStage, SweepStage, TrainStage

Json = Any
CODE = {"train": "/opt/ml/input/data/code", "process": "/opt/ml/processing/input/code"}
MARK = "stopped-by-watch.json"
# What the capacity watch reads in a job's environment.
PATIENCE, INTERRUPTIONS_LEFT = "RELAY_PATIENCE", "RELAY_INTERRUPTIONS_LEFT"
SLACK, REDONE = "RELAY_SLACK", "RELAY_REDONE"
NO_DEADLINE = "none"  # in the place of a number of seconds


class RequestError(RelayError):
    """A stage that no request can express."""


@dataclass(frozen=True)
class Site:
    """Where the jobs of a pipeline run: what an account gives, the pipeline does not say."""

    bucket: str
    job_role_arn: str
    partition: str = "aws"
    table: str = TABLE  # of DynamoDB, in which each attempt is written down


@dataclass(frozen=True)
class Materials:
    """What a stage builds on: images by instance type, its code, uploaded inputs, earlier stages' results.

    `code_prefix` is empty for a stage without a script.
    """

    code_prefix: str
    images: Mapping[str, str]
    inputs: Mapping[str, str] = field(default_factory=dict)
    results: Mapping[str, str] = field(default_factory=dict)  # finished stage -> variable that holds it


def settings(stage: str) -> str:
    """The expression of the stage's settings in this run: limits, ladders, parameters."""
    return f"$run.stages.`{stage}`"


def job_name(pipeline: str, stage: str, *, trial: bool = False) -> str:
    """The expression of an attempt's job name.

    Unique for ever: the tag is a hash of the execution's ARN and start, a redrive raises the number that the
    attempt keeps, each attempt has its number, and the trials of a sweep differ in what they compute
    (`print`). A trial may be an execution of its own, whose redrives count from 0: those of the run before
    it began (`round`) are added.
    """
    own = f"${variable(stage)}"
    redrives = f"{own}.round + {own}.redrive" if trial else f"{own}.redrive"
    return (
        f'"{job_base(pipeline, stage)}-" & $run.tag & "-" & {own}.print & "-" '
        f'& $string({redrives}) & "-" & $string({own}.attempt)'
    )


def training_request(
    pipeline: Pipeline, stage: TrainStage, site: Site, materials: Materials, *, spot: bool, slack: str
) -> dict[str, Json]:
    """CreateTrainingJob, on spot or on demand; both share the checkpoint prefix.

    `slack` is the expression of the seconds that a spot job may spend without training.
    """
    limit = _seconds(stage.limit)
    stopping: dict[str, Json] = {"MaxRuntimeInSeconds": limit}
    if spot:
        # MaxWait counts waiting and running together and must not be below MaxRuntime.
        stopping["MaxWaitTimeInSeconds"] = _expression(f"{limit} + {settings(stage.name)}.patience")
    request: dict[str, Json] = {
        "TrainingJobName": _expression(
            job_name(pipeline.name, stage.name, trial=isinstance(stage, SweepStage))
        ),
        "AlgorithmSpecification": {
            "TrainingImage": _image(stage, materials),
            "TrainingInputMode": stage.input_mode,
            **_program(stage),
        },
        "RoleArn": site.job_role_arn,
        "InputDataConfig": [
            _channel(name, uri, stage.input_mode) for name, uri in _inputs(stage, site, materials).items()
        ],
        "OutputDataConfig": {"S3OutputPath": _expression(_uri(stage, site, "/output"))},
        "ResourceConfig": _cluster(stage) if spot or not stage.on_demand.preferences else _any_of(stage),
        "StoppingCondition": stopping,
        "EnableManagedSpotTraining": spot,
        "HyperParameters": _hyperparameters(stage),
        "Environment": _environment(stage) | (_for_the_watch(stage, slack) if spot else {}),
        "Tags": _tags(pipeline, stage, _tags_for_the_watch(stage) if spot else {}),
    }
    if stage.checkpoint:
        # Without the `/` at its end, `run-1` would restore the files of `run-10` as well.
        request["CheckpointConfig"] = {
            "S3Uri": _expression(
                f'"s3://{checkpoint_bucket(stage, site)}/" & {checkpoint_folder(stage)} & "/"'
            ),
            "LocalPath": stage.checkpoint.local_path,
        }
    if not request["InputDataConfig"]:
        del request["InputDataConfig"]  # AWS takes at least one channel, or none of the member
    return laid_over(request, training_settings(stage))


def processing_request(
    pipeline: Pipeline, stage: ProcessStage, site: Site, materials: Materials
) -> dict[str, Json]:
    """CreateProcessingJob; a later attempt overwrites the outputs of an earlier one."""
    request = {
        "ProcessingJobName": _expression(job_name(pipeline.name, stage.name)),
        "AppSpecification": {
            "ImageUri": _image(stage, materials),
            "ContainerEntrypoint": ["python3", f"{CODE['process']}/launch.py"],
            "ContainerArguments": _arguments(stage),
        },
        "RoleArn": site.job_role_arn,
        "ProcessingInputs": [
            {"InputName": name, "S3Input": _processing_input(name, uri)}
            for name, uri in _inputs(stage, site, materials).items()
        ],
        "ProcessingOutputConfig": {
            "Outputs": [_processing_output(stage, site, name) for name in stage.outputs]
        },
        "ProcessingResources": {"ClusterConfig": _cluster(stage)},
        "StoppingCondition": {"MaxRuntimeInSeconds": _seconds(stage.limit)},
        "Environment": _environment(stage),
        "Tags": _tags(pipeline, stage, {}),
    }
    return laid_over(request, processing_settings(stage))


def outputs(stage: JobStage, site: Site) -> dict[str, str]:
    """Output name -> expression of its S3 URI, valid once the stage is done."""
    if isinstance(stage, ProcessStage):
        return {name: _uri(stage, site, f"/output/{name}") for name in stage.outputs}
    job = f"${variable(stage.name)}.job"
    return {"model": f'{_uri(stage, site, "/output/")} & {job} & "/output/model.tar.gz"'}


def checkpoint_bucket(stage: TrainStage, site: Site) -> str:
    """The bucket of the stage's checkpoints."""
    shared = stage.checkpoint.s3_uri if stage.checkpoint else None
    return shared.removeprefix("s3://").partition("/")[0] if shared else site.bucket


def checkpoint_folder(stage: TrainStage) -> str:
    """The expression of the key prefix of the stage's checkpoints, without the `/` at its end.

    One that the pipeline names is shared by its runs, and divided among the trials of a sweep.
    """
    own, shared = f"${variable(stage.name)}", stage.checkpoint.s3_uri if stage.checkpoint else None
    if not shared:
        return f'{own}.place & "/checkpoints"'
    key = json.dumps(shared.removeprefix("s3://").partition("/")[2].rstrip("/"))
    return f'{key} & "/" & $string({own}.trial)' if isinstance(stage, SweepStage) else key


def checkpoint_uri(stage: TrainStage, site: Site, name: str) -> str:
    """The expression of the URI of one of the stage's checkpoint objects; of their prefix without a name."""
    return f'"s3://{checkpoint_bucket(stage, site)}/" & {checkpoint_key(stage, name)}'


def checkpoint_key(stage: TrainStage, name: str) -> str:
    """The expression of the S3 key of `progress.json` or `complete.json`."""
    return f'{checkpoint_folder(stage)} & "/{name}"'


def mark_key(stage: str) -> str:
    """The expression of the S3 key at which the capacity watch says that it stops the attempt's job.

    Next to what the job itself leaves, by the job's own name: no script writes there, no later attempt finds
    it, and a stage without a checkpoint prefix has it too.
    """
    return f'${variable(stage)}.place & "/output/" & ${variable(stage)}.job & "/{MARK}"'


# -------------------------------------------------------------------------------------------------- parts
def _expression(text: str) -> str:
    return "{% " + text + " %}"


def _uri(stage: JobStage, site: Site, rest: str) -> str:
    """The expression of a place in the stage's own prefix."""
    return f'"s3://{site.bucket}/" & ${variable(stage.name)}.place & {json.dumps(rest)}'


def rung(stage: JobStage) -> str:
    """The expression of the rung that the stage is on: type, count, dollars an hour."""
    own = f"${variable(stage.name)}"
    return f"$lookup({settings(stage.name)}, {own}.market)[{own}.rung]"


def _cluster(stage: JobStage) -> dict[str, Json]:
    return {
        "InstanceType": _expression(f"{rung(stage)}.type"),
        "InstanceCount": _expression(f"{rung(stage)}.count"),
        "VolumeSizeInGB": stage.volume_gb,
    }


def _any_of(stage: JobStage) -> dict[str, Json]:
    """All on-demand rungs in one request: SageMaker takes the first that it has."""
    ladder = f'{settings(stage.name)}."on-demand"'
    return {
        "InstancePreferences": _expression(f'[{ladder}.{{"InstanceType": type, "InstanceCount": count}}]'),
        "VolumeSizeInGB": stage.volume_gb,
    }


def _image(stage: JobStage, materials: Materials) -> Json:
    """The image for the rung's instance type; a plain value when all types take the same."""
    if len(set(materials.images.values())) == 1:
        return next(iter(materials.images.values()))
    if stage.on_demand.preferences:
        raise RequestError(
            f"stage `{stage.name}`: `preferences` asks for any type of the on-demand ladder at once, and its "
            "types take different images: give one `image` URI, or leave out `preferences`"
        )
    images = json.dumps(dict(sorted(materials.images.items())))
    return _expression(f"$lookup({images}, {rung(stage)}.type)")


def _hyperparameters(stage: TrainStage) -> Json:
    """Those of the stage, under those of the run input, under those of a sweep's trial."""
    fixed = json.dumps(parameters(stage.hyperparameters))
    layers = [fixed, f"{settings(stage.name)}.parameters"]
    if isinstance(stage, SweepStage):
        layers.append(f"${variable(stage.name)}.parameters")
    return _expression(f"$merge([{', '.join(layers)}])")


def _arguments(stage: ProcessStage) -> Json:
    """The script and its arguments; those that the run input changes in its words."""
    if not stage.arguments:
        return [stage.script]
    fixed = json.dumps(parameters(stage.arguments))
    pairs = "".join(f', "--{name}", $p.{_field(name)}' for name in stage.arguments)
    return _expression(
        f"($p := $merge([{fixed}, {settings(stage.name)}.parameters]); [{json.dumps(stage.script)}{pairs}])"
    )


def _field(name: str) -> str:
    return f"`{name}`"


def parameters(values: Mapping[str, Json]) -> dict[str, str]:
    """Hyperparameters as SageMaker wants them, strings: JSON, except for text."""
    return {name: value if isinstance(value, str) else json.dumps(value) for name, value in values.items()}


def _program(stage: TrainStage) -> dict[str, Json]:
    """What the container starts: Relay's launcher with the script, or what the stage says itself."""
    if stage.container is not None:
        return own_program(stage.container)
    launcher = ["--torchrun"] if stage.distribution == "torchrun" else []
    return {
        "ContainerEntrypoint": ["python3", f"{CODE['train']}/launch.py"],
        "ContainerArguments": [*launcher, stage.script],
    }


def _inputs(stage: JobStage, site: Site, materials: Materials) -> dict[str, str]:
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
        "S3Uri": _expression(_uri(stage, site, f"/output/{name}")),
        "LocalPath": f"/opt/ml/processing/output/{name}",
        "S3UploadMode": "EndOfJob",
    }
    return {"OutputName": name, "S3Output": destination}


def _environment(stage: JobStage) -> dict[str, str]:
    ours = {"RELAY_STAGE": stage.name, "RELAY_RUN": _expression("$run.id")}
    if isinstance(stage, TrainStage) and stage.checkpoint:
        ours |= {
            "RELAY_CHECKPOINT_KEEP": str(stage.checkpoint.keep),
            "RELAY_CHECKPOINT_SHORTEST": str(stage.checkpoint.shortest.total_seconds()),
            "RELAY_CHECKPOINT_LONGEST": str(stage.checkpoint.longest.total_seconds()),
            "RELAY_CHECKPOINT_FOLDER": stage.checkpoint.local_path,
        }
    return {**stage.environment, **ours}


def _for_the_watch(stage: TrainStage, slack: str) -> dict[str, str]:
    """How long, and how often, the job may be without capacity; it keeps what it was created with."""
    # What an interruption costs besides the waiting: at most the work since the last checkpoint.
    redone = _seconds(stage.checkpoint.longest if stage.checkpoint else stage.limit)
    return {
        PATIENCE: _expression(f"$string({settings(stage.name)}.patience)"),
        INTERRUPTIONS_LEFT: _expression(_left(stage)),
        SLACK: _expression(f'$exists($run.deadline) ? $string($floor({slack})) : "{NO_DEADLINE}"'),
        REDONE: str(redone),
    }


def _tags_for_the_watch(stage: TrainStage) -> dict[str, str]:
    """How long it may leave a waiting job alone: the patience; not at all where a deadline runs."""
    wait = f'$exists($run.deadline) ? "{AT_ONCE}" : $string({settings(stage.name)}.patience)'
    return {LOOK_AFTER: _expression(wait), LEFT_TAG: _expression(_left(stage))}


def _left(stage: TrainStage) -> str:
    return f"$string({settings(stage.name)}.retry_budget - ${variable(stage.name)}.interruptions)"


def _tags(pipeline: Pipeline, stage: JobStage, more: Mapping[str, str]) -> list[dict[str, str]]:
    tags = stage.tags | {
        "relay:pipeline": pipeline.name,
        "relay:run": _expression("$run.id"),
        "relay:stage": stage.name,
        "relay:attempt": _expression(f"$string(${variable(stage.name)}.attempt)"),
        **more,
    }
    if isinstance(stage, SweepStage):
        tags["relay:trial"] = _expression(f"$string(${variable(stage.name)}.trial)")
    return [{"Key": key, "Value": value} for key, value in tags.items()]


def _seconds(duration: timedelta) -> int:
    return max(1, round(duration / timedelta(seconds=1)))
