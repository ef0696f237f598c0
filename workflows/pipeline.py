"""The specification: a pipeline of stages, frozen and checked, the same from YAML and from Python.

`load(path)` in `loading.py` reads the YAML; everything here takes data and returns data.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import timedelta
from pathlib import PurePosixPath
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Discriminator, Field, Tag, ValidationError, model_validator
from pydantic_core import PydanticCustomError

from workflows.durations import Duration, between
from workflows.settings import (
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

WATCH_SUFFIX = "-watch"  # of the state machine that watches a pipeline's jobs
UNSAFE_WITHOUT_CHECKPOINT = timedelta(hours=1)

Name = Annotated[str, Field(pattern=r"^[a-z]([a-z0-9-]{0,38}[a-z0-9])?$")]
Channel = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,64}$")]
Variable = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]
REFERENCE = re.compile(r"^\{\{\s*([a-z0-9-]+)\.outputs\.([A-Za-z0-9_-]+)\s*\}\}$")

# -------------------------------------------------------------------------------------------------- stages
Scalar = str | bool | int | float


class BaseStage(Model):
    """What every stage that runs a script has."""

    name: Name
    needs: tuple[Name, ...] = ()
    script: Annotated[str, Field(max_length=200)] = ""  # empty only where `container` stands for it
    source: str = "."
    dependencies: tuple[str, ...] = ()  # files and folders that are put beside what `source` holds
    image: Image = DEFAULT_IMAGE
    inputs: dict[Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,64}$")], str] = Field(default_factory=dict)
    environment: dict[Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")], str] = Field(
        default_factory=dict
    )
    instances: Annotated[int, Field(ge=1, le=64)] = 1
    volume_gb: Annotated[int, Field(ge=1, le=16384)] = 30
    expected: Duration | None = None
    limit: Annotated[Duration, between(timedelta(seconds=1), LONGEST_JOB)] = DAY
    on_demand: OnDemand = OnDemand()
    role: RoleArn | None = None  # of the jobs, instead of the site's
    network: Network = Network()
    encryption: Encryption = Encryption()
    tags: Tags = Field(default_factory=dict)

    @model_validator(mode="after")
    def _sound(self) -> BaseStage:
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

    def references(self) -> Iterator[tuple[str, str, str]]:
        """(input, stage, output) of every input that names an earlier stage's output."""
        for channel, value in self.inputs.items():
            if match := REFERENCE.match(value):
                yield channel, match[1], match[2]


class TrainStage(BaseStage):
    """Training on spot capacity, with on-demand as the fallback."""

    kind: Literal["train"] = "train"
    distribution: Literal["torchrun"] | None = None  # who starts the script on each instance
    hyperparameters: dict[Annotated[str, Field(max_length=256)], Scalar] = Field(default_factory=dict)
    spot: Spot = Spot()
    checkpoint: Checkpoint | None = Checkpoint()
    metrics: Metrics = Field(default_factory=dict)  # name -> regular expression over the job's log
    metrics_time_series: bool | None = None
    input_mode: InputMode = "File"
    container: Container | None = None
    image_repository: ImageRepository | None = None
    profiler: bool = True  # whether SageMaker's system profiler may run

    @classmethod
    def from_estimator(cls, name: str, estimator: Any, **fields: Any) -> TrainStage:
        """The stage that trains as an estimator of the `sagemaker` SDK would: see `workflows.estimators`."""
        from workflows.estimators import from_estimator

        return from_estimator(name, estimator, **fields)

    @property
    def outputs(self) -> tuple[str, ...]:
        """`model`: the model.tar.gz that the winning attempt left."""
        return ("model",)

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

    def spot_rungs(self) -> tuple[tuple[str, int], ...]:
        """(instance type, instance count) of each spot rung, in order."""
        return tuple((rung.type, rung.count or self.instances) for rung in self.spot.ladder)

    def on_demand_rungs(self) -> tuple[tuple[str, int], ...]:
        """(instance type, instance count) of each on-demand rung, in order."""
        ladder = self.on_demand.ladder or self.spot.ladder[:1]
        return tuple((rung.type, rung.count or self.instances) for rung in ladder)


class ProcessStage(BaseStage):
    """A SageMaker processing job. SageMaker offers no spot capacity for it, so it runs on-demand."""

    kind: Literal["process"] = "process"
    arguments: dict[Annotated[str, Field(max_length=200)], Scalar] = Field(default_factory=dict)
    outputs: tuple[Channel, ...] = ()
    limit: Annotated[Duration, between(timedelta(seconds=1), 5 * DAY)] = DAY

    @model_validator(mode="after")
    def _can_run(self) -> ProcessStage:
        if not self.on_demand.enabled:
            raise problem("market", "processing knows no spot: `on_demand` cannot be disabled")
        return self

    def on_demand_rungs(self) -> tuple[tuple[str, int], ...]:
        """(instance type, instance count) of each rung, in order."""
        ladder = self.on_demand.ladder or DEFAULT_LADDER
        return tuple((rung.type, rung.count or self.instances) for rung in ladder)


def _kind_of(value: Any) -> str:
    kind = value.get("kind", "train") if isinstance(value, dict) else getattr(value, "kind", "train")
    return str(kind)


Stage = Annotated[
    Annotated[TrainStage, Tag("train")] | Annotated[ProcessStage, Tag("process")],
    Discriminator(
        _kind_of,
        custom_error_type="kind",
        custom_error_message="`kind` must be one of: train, process",
    ),
]


class Defaults(Model):
    """What every stage starts from; a stage's own fields come first, field by field."""

    image: Image = DEFAULT_IMAGE
    spot: Spot = Spot()
    on_demand: OnDemand = OnDemand()
    checkpoint: Checkpoint | None = Checkpoint()


class Pipeline(Model):
    """A named graph of stages."""

    name: Name
    description: str = ""
    defaults: Defaults = Defaults()
    stages: Annotated[tuple[Stage, ...], Field(min_length=1, max_length=100)]

    @model_validator(mode="before")
    @classmethod
    def _inherit(cls, data: Any) -> Any:
        """Lays each stage over the defaults, so that a stage is complete and is checked as a whole."""
        if not isinstance(data, dict) or not isinstance(data.get("stages"), list | tuple):
            return data
        try:
            defaults = Defaults.model_validate(data.get("defaults") or {})
        except ValidationError:
            return data  # the field `defaults` reports it, at its own place
        return {**data, "stages": [_complete(stage, defaults) for stage in data["stages"]]}

    @model_validator(mode="after")
    def _graph(self) -> Pipeline:
        if self.name.endswith(WATCH_SUFFIX):
            raise problem("graph", "names that end in `-watch` are those of the capacity watch", at=["name"])
        check_graph(self)
        return self

    def stage(self, name: str) -> TrainStage | ProcessStage:
        """The stage of that name; KeyError if there is none."""
        return {stage.name: stage for stage in self.stages}[name]

    def needs(self, stage: TrainStage | ProcessStage) -> tuple[str, ...]:
        """What must be done before: `needs`, and every stage whose output is an input."""
        return tuple(dict.fromkeys([*stage.needs, *(ref[1] for ref in stage.references())]))


def _complete(stage: Any, defaults: Defaults) -> Any:
    """The stage's raw fields over the defaults' (of a stage made in Python: the fields that were set)."""
    raw = stage.model_dump(exclude_unset=True) if isinstance(stage, BaseModel) else stage
    if not isinstance(raw, dict):
        return stage
    base = defaults.model_dump(exclude_unset=True)
    wanted = {"image", "on_demand"} | ({"spot", "checkpoint"} if _kind_of(stage) == "train" else set())
    kind = {"kind": stage.kind} if isinstance(stage, TrainStage | ProcessStage) else {}
    return laid_over({key: base[key] for key in wanted if key in base}, {**raw, **kind})


def laid_over(base: dict[str, Any], top: dict[str, Any]) -> dict[str, Any]:
    """The fields of `top` over those of `base`, mapping by mapping; an image is replaced as a whole."""
    merged = dict(base)
    for key, value in top.items():
        below = merged.get(key)
        nested = isinstance(value, dict) and isinstance(below, dict) and key != "image"
        merged[key] = laid_over(below, value) if nested else value  # type: ignore[arg-type]
    return merged


# --------------------------------------------------------------------------------------------------- graph
def check_graph(pipeline: Pipeline) -> None:
    """Names are unique, needs and references exist, and nothing needs itself."""
    names = [stage.name for stage in pipeline.stages]
    for index, stage in enumerate(pipeline.stages):
        if stage.name in names[:index]:
            raise problem(
                "graph",
                "two stages are named `{name}`",
                name=stage.name,
                at=["stages", index, "name"],
            )
        for position, need in enumerate(stage.needs):
            if need not in names:
                raise _unknown("stage", need, names, ["stages", index, "needs", position])
        for channel, need, output in stage.references():
            place: list[str | int] = ["stages", index, "inputs", channel]
            if need not in names:
                raise _unknown("stage", need, names, place)
            offered = pipeline.stage(need).outputs
            if output not in offered:
                raise _unknown(f"output of `{need}`", output, list(offered), place)
    order(pipeline)


def _unknown(what: str, found: str, allowed: list[str], at: list[str | int]) -> PydanticCustomError:
    return problem(
        "graph",
        "unknown {what} `{found}`",
        what=what,
        found=found,
        allowed=allowed,
        at=at,
    )


def order(pipeline: Pipeline) -> list[str]:
    """The stages' names, each after what it needs, otherwise as written. A cycle is an error."""
    done: list[str] = []
    waiting = {stage.name: set(pipeline.needs(stage)) for stage in pipeline.stages}
    while waiting:
        ready = [name for name, needs in waiting.items() if needs <= set(done)]
        if not ready:
            raise problem(
                "graph",
                "the stages need each other in a circle: {cycle}",
                cycle=_cycle(waiting),
                at=["stages"],
            )
        done.append(ready[0])
        del waiting[ready[0]]
    return done


def _cycle(waiting: dict[str, set[str]]) -> str:
    name = next(iter(waiting))
    path: list[str] = []
    while name not in path:
        path.append(name)
        name = sorted(need for need in waiting[name] if need in waiting)[0]
    return " -> ".join([*path[path.index(name) :], name])
