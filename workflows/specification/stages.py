"""The stages of a pipeline: what each kind is, and what it may say."""

from __future__ import annotations

import itertools
import json
import math
import re
from collections.abc import Iterator, Mapping
from datetime import timedelta
from pathlib import PurePosixPath
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from workflows.specification.conditions import Condition
from workflows.specification.conditions import parse as parse_condition
from workflows.specification.durations import Duration, between
from workflows.specification.settings import (
    DAY,
    DEFAULT_IMAGE,
    DEFAULT_LADDER,
    LONGEST_JOB,
    Checkpoint,
    Container,
    Encryption,
    Image,
    ImageRepository,
    InputMode,
    Metrics,
    Model,
    Network,
    OnDemand,
    RoleArn,
    Spot,
    Tags,
    problem,
)

UNSAFE_WITHOUT_CHECKPOINT = timedelta(hours=1)
MOST_TRIALS = 250  # what they hand over must fit into one variable of 256 KiB (`relay check` reckons)

Name = Annotated[str, Field(pattern=r"^[a-z]([a-z0-9-]{0,38}[a-z0-9])?$")]
Channel = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,64}$")]
Variable = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]
REFERENCE = re.compile(r"^\{\{\s*([a-z0-9-]+)\.outputs\.([A-Za-z0-9_-]+)\s*\}\}$")

Scalar = str | bool | int | float
Parameters = dict[Annotated[str, Field(max_length=256)], Scalar]
Uses = Iterator[tuple[tuple[str | int, ...], str, str]]  # (place in the stage, stage, output or metric)


class BaseStage(Model):
    """What every stage has."""

    name: Name
    needs: tuple[Name, ...] = ()

    @property
    def measured(self) -> bool:
        """Whether it has metrics that a gate can ask for."""
        return False

    def references(self) -> Uses:
        """Every place that names an earlier stage's output."""
        return iter(())

    def measures(self) -> Uses:
        """Every place that names an earlier stage's metric."""
        return iter(())

    def sources(self) -> Iterator[str]:
        """The stages that it cannot do without, as its outputs and metrics name them."""
        yield from (stage for _, stage, _ in self.references())
        yield from (stage for _, stage, _ in self.measures())


# ------------------------------------------------------------------------------------- stages that run jobs
class JobStage(BaseStage):
    """What every stage that runs a script has."""

    script: Annotated[str, Field(max_length=200)] = ""  # empty only where `container` stands for it
    source: str = "."
    dependencies: tuple[str, ...] = ()  # files and folders that are put beside what `source` holds
    image: Image = DEFAULT_IMAGE
    inputs: dict[Channel, str] = Field(default_factory=dict)
    environment: dict[Variable, str] = Field(default_factory=dict)
    instances: Annotated[int, Field(ge=1, le=64)] = 1
    volume_gb: Annotated[int, Field(ge=1, le=16384)] = 30
    expected: Duration | None = None
    changeover: Duration = timedelta(minutes=10)
    limit: Annotated[Duration, between(timedelta(seconds=1), LONGEST_JOB)] = DAY
    on_demand: OnDemand = OnDemand()
    role: RoleArn | None = None  # of the jobs, instead of the site's
    network: Network = Network()
    encryption: Encryption = Encryption()
    tags: Tags = Field(default_factory=dict)

    @model_validator(mode="after")
    def _sound(self) -> JobStage:
        if not self.script and getattr(self, "container", None) is None:
            raise problem("script", "the field `script` is missing")
        path = PurePosixPath(self.script)
        if path.is_absolute() or ".." in path.parts:
            raise problem("script", "`script` must be a path inside the folder of `source`")
        for channel in self.inputs:
            if channel == "code":
                raise problem("inputs", "the channel `code` is Relay's own: take another name")
        if self.expected is not None and self.expected > self.limit:
            raise problem("expected", "`expected` must not be longer than `limit`")
        return self

    def references(self) -> Uses:
        for channel, value in self.inputs.items():
            if match := REFERENCE.match(value):
                yield ("inputs", channel), match[1], match[2]

    def on_demand_rungs(self) -> tuple[tuple[str, int], ...]:
        """(instance type, instance count) of each on-demand rung, in order."""
        ladder = self.on_demand.ladder or DEFAULT_LADDER
        return tuple((rung.type, rung.count or self.instances) for rung in ladder)

    def spot_rungs(self) -> tuple[tuple[str, int], ...]:
        """(instance type, instance count) of each spot rung, in order; none where there is no spot."""
        return ()

    def instance_types(self) -> list[str]:
        """Every type on its ladders, by name."""
        return sorted({kind for kind, _ in (*self.spot_rungs(), *self.on_demand_rungs())})


class TrainStage(JobStage):
    """Training on spot capacity, with on-demand as the fallback."""

    kind: Literal["train"] = "train"
    distribution: Literal["torchrun"] | None = None  # who starts the script on each instance
    hyperparameters: Parameters = Field(default_factory=dict)
    retry_on_exit_codes: tuple[Annotated[int, Field(ge=1, le=255)], ...] = ()
    spot: Spot = Spot()
    checkpoint: Checkpoint | None = Checkpoint()
    metrics: Metrics = Field(default_factory=dict)  # name -> regular expression over the job's log
    metrics_time_series: bool | None = None
    input_mode: InputMode = "File"
    container: Container | None = None
    image_repository: ImageRepository | None = None
    profiler: bool = True  # whether SageMaker's system profiler may run

    @property
    def outputs(self) -> tuple[str, ...]:
        """`model`: the model.tar.gz that the winning attempt left."""
        return ("model",)

    @property
    def measured(self) -> bool:
        return True

    @model_validator(mode="after")
    def _one_program(self) -> TrainStage:
        if self.container is not None and (self.script or self.distribution or self.dependencies):
            raise problem(
                "container",
                "`container` starts the image's own program, without Relay's launcher: leave out `script`, "
                "`distribution` and `dependencies`, or leave out `container`",
            )
        return self

    @model_validator(mode="after")
    def _can_survive(self) -> TrainStage:
        if not self.spot.enabled and not self.on_demand.enabled:
            raise problem("market", "`spot` and `on_demand` are both disabled: nowhere to run")
        if self.spot.retry_budget == 0 and not self.on_demand.enabled:
            raise problem(
                "market",
                "a `retry_budget` of 0 goes on-demand at once, and `on_demand` is disabled",
            )
        long = self.expected is not None and self.expected > UNSAFE_WITHOUT_CHECKPOINT
        if self.spot.enabled and self.checkpoint is None and long:
            raise problem(
                "checkpoint",
                "spot without a checkpoint, expected to run longer than an hour: an interruption "
                "would cost all of it. Set `checkpoint`, or `spot: {{enabled: false}}`",
            )
        return self

    @property
    def on_spot(self) -> bool:
        """Whether it begins on spot: a retry budget of 0 allows no interruption."""
        return self.spot.enabled and self.spot.retry_budget > 0

    def spot_rungs(self) -> tuple[tuple[str, int], ...]:
        return tuple((rung.type, rung.count or self.instances) for rung in self.spot.ladder)

    def on_demand_rungs(self) -> tuple[tuple[str, int], ...]:
        """(instance type, instance count) of each on-demand rung, in order."""
        ladder = self.on_demand.ladder or self.spot.ladder[:1]
        return tuple((rung.type, rung.count or self.instances) for rung in ladder)


class Best(Model):
    """Which trial of a sweep wins."""

    metric: Annotated[str, Field(min_length=1, max_length=256, pattern=r"^[^\s{}`]+$")]
    goal: Literal["maximize", "minimize"] = "maximize"


class SweepStage(TrainStage):
    """The same training with different hyperparameters; each trial has the full treatment of a stage."""

    kind: Literal["sweep"] = "sweep"  # type: ignore[assignment]
    grid: dict[Annotated[str, Field(max_length=256)], Annotated[tuple[Scalar, ...], Field(min_length=1)]] = (
        Field(default_factory=dict)
    )
    trials: tuple[Parameters, ...] = ()
    concurrency: Annotated[int, Field(ge=1, le=100)] = 10
    tolerated_failures: Annotated[int, Field(ge=0, le=MOST_TRIALS)] = 0
    best: Best

    @model_validator(mode="after")
    def _can_choose(self) -> SweepStage:
        if bool(self.grid) == bool(self.trials):
            raise problem("sweep", "a sweep has either a `grid` or a list of `trials`")
        count = math.prod(len(values) for values in self.grid.values()) if self.grid else len(self.trials)
        if count > MOST_TRIALS:
            raise problem("sweep", "{count} trials; at most {most}", count=count, most=MOST_TRIALS)
        texts = [json.dumps(trial, sort_keys=True) for trial in self.parameters()]
        for text in texts:
            if texts.count(text) > 1:
                raise problem("sweep", "two trials are alike: {text}", text=text)
        if self.tolerated_failures >= count:
            raise problem("sweep", "`tolerated_failures` must leave at least one trial that succeeds")
        return self

    def parameters(self) -> tuple[Mapping[str, Scalar], ...]:
        """The hyperparameters of each trial, without those that all share."""
        if self.trials:
            return self.trials
        names, values = list(self.grid), list(self.grid.values())
        return tuple(dict(zip(names, chosen, strict=True)) for chosen in itertools.product(*values))


class ProcessStage(JobStage):
    """A SageMaker processing job. SageMaker offers no spot capacity for it, so it runs on-demand."""

    kind: Literal["process"] = "process"
    arguments: dict[Annotated[str, Field(max_length=200)], Scalar] = Field(default_factory=dict)
    outputs: tuple[Channel, ...] = ()
    limit: Annotated[Duration, between(timedelta(seconds=1), 5 * DAY)] = DAY

    @model_validator(mode="after")
    def _can_run(self) -> ProcessStage:
        if not self.on_demand.enabled:
            raise problem("market", "processing knows no spot: `on_demand` cannot be disabled")
        if self.on_demand.preferences:
            raise problem("ladder", "`preferences` is for training: leave it out")
        return self


# --------------------------------------------------------------------------------------- stages without jobs
def _condition(text: str) -> str:
    parse_condition(text)
    return text


class GateStage(BaseStage):
    """A condition on metrics of earlier stages: go on, stop quietly, or fail the run."""

    kind: Literal["gate"] = "gate"
    when: Annotated[str, AfterValidator(_condition)]
    otherwise: Literal["stop", "fail"] = "stop"

    @property
    def outputs(self) -> tuple[str, ...]:
        """None: a gate only decides."""
        return ()

    @property
    def condition(self) -> Condition:
        """`when`, parsed."""
        return parse_condition(self.when)

    def measures(self) -> Uses:
        for stage, metric in self.condition.metrics:
            yield ("when",), stage, metric


class RegisterStage(BaseStage):
    """A model package in the SageMaker model registry, with its metrics and where it came from."""

    kind: Literal["register"] = "register"
    model: Annotated[str, Field(pattern=REFERENCE.pattern)]
    group: Annotated[str, Field(pattern=r"^[a-zA-Z0-9](-*[a-zA-Z0-9]){0,62}$")] | None = None
    image: Image | None = None
    approval: Literal["PendingManualApproval", "Approved", "Rejected"] = "PendingManualApproval"
    content_types: Annotated[tuple[str, ...], Field(min_length=1)] = ("text/csv",)
    response_types: Annotated[tuple[str, ...], Field(min_length=1)] = ("text/csv",)
    description: Annotated[str, Field(max_length=1024)] = ""
    properties: dict[Annotated[str, Field(max_length=128)], Annotated[str, Field(max_length=256)]] = Field(
        default_factory=dict, max_length=40
    )

    @property
    def outputs(self) -> tuple[str, ...]:
        """`package`: the ARN of the model package."""
        return ("package",)

    def references(self) -> Uses:
        match = REFERENCE.match(self.model)
        if match:
            yield ("model",), match[1], match[2]

    @property
    def of(self) -> str:
        """The stage whose model it registers."""
        return next(stage for _, stage, _ in self.references())


AnyStage = TrainStage | SweepStage | ProcessStage | GateStage | RegisterStage
