"""The stages of a pipeline: what each kind is, and what it may say."""

from __future__ import annotations

import itertools
import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping
from datetime import timedelta
from pathlib import PurePosixPath
from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, Field, model_validator

from workflows.specification.aws_limits import LONGEST_PROCESSING, LONGEST_TRAINING
from workflows.specification.conditions import Condition
from workflows.specification.conditions import parse as parse_condition
from workflows.specification.durations import Duration, between
from workflows.specification.settings import (
    DAY,
    DEFAULT_IMAGE,
    DEFAULT_LADDER,
    Backoff,
    Checkpoint,
    Container,
    Encryption,
    Image,
    ImageRepository,
    InputMode,
    Launch,
    Metrics,
    Model,
    Network,
    OnDemand,
    PlacedRung,
    RoleArn,
    Rung,
    Spot,
    Tags,
    problem,
)

UNSAFE_WITHOUT_CHECKPOINT = timedelta(hours=1)
SECONDS_WITHOUT_JOB = 60  # what a gate or a registration is reckoned with
MOST_TRIALS = 250  # what they hand over must fit into one variable of 256 KiB (`relay check` reckons)

Name = Annotated[str, Field(pattern=r"^[a-z]([a-z0-9-]{0,38}[a-z0-9])?$")]
Channel = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,64}$")]
Variable = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]
REFERENCE = re.compile(r"^\{\{\s*([a-z0-9-]+)\.outputs\.([A-Za-z0-9_-]+)\s*\}\}$")

Market = Literal["spot", "on-demand"]
Scalar = str | bool | int | float
Parameters = dict[Annotated[str, Field(max_length=256)], Scalar]
Uses = Iterator[tuple[tuple[str | int, ...], str, str]]  # (place in the stage, stage, output or metric)


class BaseStage(Model):
    """What every stage has."""

    has_trials: ClassVar[bool] = False  # whether it is the same work many times, with other parameters
    not_inherited: ClassVar[frozenset[str]] = frozenset()  # fields that `defaults` does not fill

    kind: str
    name: Name
    needs: tuple[Name, ...] = ()

    @property
    def output_names(self) -> tuple[str, ...]:
        """What stages after it may name of it: `{{ stage.outputs.NAME }}`."""
        return ()

    @property
    def measured(self) -> bool:
        """Whether it has metrics that a gate can ask for."""
        return False

    @property
    def needed_seconds(self) -> float:
        """Seconds that a deadline is reckoned with: on on-demand, with one changeover."""
        return SECONDS_WITHOUT_JOB

    def long_settings(self) -> dict[str, Any]:
        """Fields that only this kind has and that may be long: the machine keeps them as data."""
        return {}

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
    limit: Annotated[Duration, between(timedelta(seconds=1), LONGEST_TRAINING)] = DAY
    on_demand: OnDemand = OnDemand()
    role: RoleArn | None = None  # of the jobs, instead of the site's
    network: Network = Network()
    encryption: Encryption = Encryption()
    tags: Tags = Field(default_factory=dict)

    @property
    def brings_program(self) -> bool:
        """Whether the image's own program runs in the place of a script."""
        return False

    @property
    def in_script_mode(self) -> bool:
        """Whether the toolkit of the image starts the launcher, instead of SageMaker itself."""
        return False

    @model_validator(mode="after")
    def _sound(self) -> JobStage:
        if not self.script and not self.brings_program:
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

    @property
    def first_market(self) -> Market:
        """Where the first attempt runs, unless the run's input or the clock says otherwise."""
        return "on-demand"

    @property
    def on_spot(self) -> bool:
        """Whether it begins on spot."""
        return self.first_market == "spot"

    def on_demand_rungs(self) -> tuple[PlacedRung, ...]:
        """Each on-demand rung, in order."""
        return self._placed(self.on_demand.ladder or DEFAULT_LADDER)

    def spot_rungs(self) -> tuple[PlacedRung, ...]:
        """Each spot rung, in order; none where there is no spot."""
        return ()

    def rungs(self) -> tuple[PlacedRung, ...]:
        """Every rung that an attempt may run on."""
        return (*self.spot_rungs(), *self.on_demand_rungs())

    def instance_types(self) -> list[str]:
        """Every type on its ladders, by name."""
        return sorted({rung.type for rung in self.rungs()})

    def _placed(self, ladder: Iterable[Rung]) -> tuple[PlacedRung, ...]:
        return tuple(PlacedRung.of(rung, self.instances) for rung in ladder)

    # What only some kinds have, and what the others have in its place.
    @property
    def trial_count(self) -> int:
        """How many times its work is done with other parameters; 1 for a stage that is no sweep."""
        return 1

    @property
    def trials_at_once(self) -> int:
        """How many of them at once."""
        return 1

    def trial_parameters(self) -> tuple[Mapping[str, Scalar], ...]:
        """The hyperparameters of each trial, without those that all share."""
        return ({},)

    @property
    def settable(self) -> Parameters:
        """The hyperparameters, or arguments, that a run's input may change."""
        return {}

    @property
    def checkpoints(self) -> Checkpoint | None:
        """Where and how often it saves; None for work that starts anew."""
        return None

    @property
    def shared_prefix(self) -> str:
        """BUCKET/PREFIX of checkpoints that outlive the run, without the `/` at its end; else empty."""
        uri = self.checkpoints.s3_uri if self.checkpoints else None
        return uri.removeprefix("s3://").rstrip("/") if uri else ""

    @property
    def spot_settings(self) -> Spot | None:
        """How it uses spot capacity; None for work that SageMaker offers none for."""
        return None

    @property
    def backoff(self) -> Backoff:
        """The pauses before it is tried again."""
        return self.spot_settings.backoff if self.spot_settings else Backoff()

    @property
    def exit_codes(self) -> tuple[int, ...]:
        """The script's exit codes after which it is tried again."""
        return ()

    @property
    def interruptions_allowed(self) -> int:
        """How many interruptions it takes before it goes on-demand."""
        return self.spot_settings.retry_budget if self.spot_settings and self.on_spot else 0

    @property
    def idle_attempts_allowed(self) -> int:
        """How many attempts in a row may move the checkpoint nowhere."""
        return self.spot_settings.no_progress_limit if self.spot_settings else 0

    @property
    def needed_seconds(self) -> float:
        once = (self.expected or timedelta()) + self.changeover
        return once.total_seconds() * math.ceil(self.trial_count / self.trials_at_once)


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
    launch: Launch = "entrypoint"
    image_repository: ImageRepository | None = None
    profiler: bool = True  # whether SageMaker's system profiler may run

    @property
    def output_names(self) -> tuple[str, ...]:
        """`model`: the model.tar.gz that the winning attempt left."""
        return ("model",)

    @property
    def measured(self) -> bool:
        return True

    @property
    def brings_program(self) -> bool:
        return self.container is not None

    @property
    def in_script_mode(self) -> bool:
        return self.launch == "script_mode" and self.container is None

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
    def first_market(self) -> Market:
        """Spot; a retry budget of 0 allows no interruption."""
        return "spot" if self.spot.enabled and self.spot.retry_budget > 0 else "on-demand"

    def spot_rungs(self) -> tuple[PlacedRung, ...]:
        return self._placed(self.spot.ladder)

    def on_demand_rungs(self) -> tuple[PlacedRung, ...]:
        return self._placed(self.on_demand.ladder or self.spot.ladder[:1])

    def long_settings(self) -> dict[str, Any]:
        return {"exit_codes": list(self.retry_on_exit_codes)} if self.retry_on_exit_codes else {}

    @property
    def settable(self) -> Parameters:
        return self.hyperparameters

    @property
    def checkpoints(self) -> Checkpoint | None:
        return self.checkpoint

    @property
    def spot_settings(self) -> Spot | None:
        return self.spot

    @property
    def exit_codes(self) -> tuple[int, ...]:
        return self.retry_on_exit_codes


class Best(Model):
    """Which trial of a sweep wins."""

    metric: Annotated[str, Field(min_length=1, max_length=256, pattern=r"^[^\s{}`]+$")]
    goal: Literal["maximize", "minimize"] = "maximize"


class SweepStage(TrainStage):
    """The same training with different hyperparameters; each trial has the full treatment of a stage."""

    has_trials: ClassVar[bool] = True

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
        texts = [json.dumps(trial, sort_keys=True) for trial in self.trial_parameters()]
        for text in texts:
            if texts.count(text) > 1:
                raise problem("sweep", "two trials are alike: {text}", text=text)
        if self.tolerated_failures >= count:
            raise problem("sweep", "`tolerated_failures` must leave at least one trial that succeeds")
        return self

    @property
    def trial_count(self) -> int:
        return len(self.trial_parameters())

    @property
    def trials_at_once(self) -> int:
        return self.concurrency

    def trial_parameters(self) -> tuple[Mapping[str, Scalar], ...]:
        if self.trials:
            return self.trials
        names, values = list(self.grid), list(self.grid.values())
        return tuple(dict(zip(names, chosen, strict=True)) for chosen in itertools.product(*values))


class ProcessStage(JobStage):
    """A SageMaker processing job. SageMaker offers no spot capacity for it, so it runs on-demand."""

    kind: Literal["process"] = "process"
    arguments: dict[Annotated[str, Field(max_length=200)], Scalar] = Field(default_factory=dict)
    outputs: tuple[Channel, ...] = ()
    limit: Annotated[Duration, between(timedelta(seconds=1), LONGEST_PROCESSING)] = DAY

    @property
    def output_names(self) -> tuple[str, ...]:
        return self.outputs

    @property
    def settable(self) -> Parameters:
        return self.arguments

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
    def condition(self) -> Condition:
        """`when`, parsed."""
        return parse_condition(self.when)

    def measures(self) -> Uses:
        for stage, metric in self.condition.metrics:
            yield ("when",), stage, metric


class RegisterStage(BaseStage):
    """A model package in the SageMaker model registry, with its metrics and where it came from."""

    not_inherited: ClassVar[frozenset[str]] = frozenset({"image"})  # it serves with that of the model's stage

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
    def output_names(self) -> tuple[str, ...]:
        """`package`: the ARN of the model package."""
        return ("package",)

    def references(self) -> Uses:
        match = REFERENCE.match(self.model)
        if match:
            yield ("model",), match[1], match[2]

    def long_settings(self) -> dict[str, Any]:
        return {"properties": dict(self.properties)}

    @property
    def of(self) -> str:
        """The stage whose model it registers."""
        return next(stage for _, stage, _ in self.references())


AnyStage = TrainStage | SweepStage | ProcessStage | GateStage | RegisterStage
