"""The specification: a pipeline of stages, frozen and checked, the same from YAML and from Python.

`load(path)` in `loading.py` reads a file; everything here takes data and returns data.
"""

from __future__ import annotations

from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, Discriminator, Field, Tag, ValidationError, model_validator
from pydantic_core import PydanticCustomError

from workflows.specification.deadlines import Deadline
from workflows.specification.settings import (
    DEFAULT_IMAGE,
    Checkpoint,
    Image,
    Launch,
    Model,
    OnDemand,
    Spot,
    laid_over,
    problem,
)
from workflows.specification.stages import (
    AnyStage,
    BaseStage,
    GateStage,
    JobStage,
    Name,
    ProcessStage,
    RegisterStage,
    SweepStage,
    TrainStage,
)

WATCH_SUFFIX = "-watch"  # of the state machine that watches a pipeline's jobs
END_OF_OWNER = "--"  # behind the pipeline's name in the names of its jobs
KINDS: dict[str, type[BaseStage]] = {
    "train": TrainStage,
    "process": ProcessStage,
    "sweep": SweepStage,
    "gate": GateStage,
    "register": RegisterStage,
}


def _kind_of(value: Any) -> str:
    kind = value.get("kind", "train") if isinstance(value, dict) else getattr(value, "kind", "train")
    return str(kind)


Stage = Annotated[
    Annotated[TrainStage, Tag("train")]
    | Annotated[ProcessStage, Tag("process")]
    | Annotated[SweepStage, Tag("sweep")]
    | Annotated[GateStage, Tag("gate")]
    | Annotated[RegisterStage, Tag("register")],
    Discriminator(
        _kind_of,
        custom_error_type="kind",
        custom_error_message=f"`kind` must be one of: {', '.join(KINDS)}",
    ),
]


S = TypeVar("S", bound=BaseStage)


class Defaults(Model):
    """What every stage starts from; a stage's own fields come first, field by field."""

    image: Image = DEFAULT_IMAGE
    spot: Spot = Spot()
    on_demand: OnDemand = OnDemand()
    checkpoint: Checkpoint | None = Checkpoint()
    launch: Launch = "entrypoint"


class Pipeline(Model):
    """A named graph of stages."""

    name: Name
    description: str = ""
    deadline: Deadline | None = None
    budget_usd: Annotated[float, Field(gt=0, le=10_000_000)] | None = None
    reuse: bool = False  # take finished stages of earlier runs with the same code, inputs and parameters
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
        if END_OF_OWNER in self.name:
            raise problem(
                "graph",
                "a pipeline's name has no two hyphens in a row: in its jobs' names they say where it ends",
                at=["name"],
            )
        check_graph(self)
        if self.deadline is not None:
            for stage in self.jobs:
                if stage.expected is None:
                    raise problem(
                        "graph",
                        "the pipeline has a `deadline`, and the stage `{name}` does not say how long it is "
                        "`expected` to take, e.g. `expected: 2h`",
                        name=stage.name,
                        at=["stages", self.stages.index(stage), "name"],
                    )
        return self

    @property
    def jobs(self) -> tuple[JobStage, ...]:
        """The stages that run jobs."""
        return self.of_kind(JobStage)

    def of_kind(self, kind: type[S]) -> tuple[S, ...]:
        """The stages of one kind, in their order."""
        return tuple(stage for stage in self.stages if isinstance(stage, kind))

    def stage(self, name: str) -> AnyStage:
        """The stage of that name; KeyError if there is none."""
        return {stage.name: stage for stage in self.stages}[name]

    def needs(self, stage: AnyStage) -> tuple[str, ...]:
        """What must be done before: `needs`, and every stage whose output or metric it reads."""
        return tuple(dict.fromkeys([*stage.needs, *stage.sources()]))

    def before(self, name: str) -> frozenset[str]:
        """Every stage that must be done before that one, directly or not."""
        found: set[str] = set()
        waiting = [name]
        while waiting:
            new = set(self.needs(self.stage(waiting.pop()))) - found
            found |= new
            waiting += new
        return frozenset(found)


def _complete(stage: Any, defaults: Defaults) -> Any:
    """The stage's raw fields over the defaults' (of a stage made in Python: the fields that were set)."""
    raw = stage.model_dump(exclude_unset=True) if isinstance(stage, BaseModel) else stage
    if not isinstance(raw, dict):
        return stage
    base = defaults.model_dump(exclude_unset=True)
    its = KINDS.get(_kind_of(stage), TrainStage)
    wanted = (set(Defaults.model_fields) & set(its.model_fields)) - its.not_inherited
    kind = {"kind": stage.kind} if isinstance(stage, BaseStage) else {}
    return laid_over({key: base[key] for key in wanted if key in base}, {**raw, **kind})


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
        for where, need, output in stage.references():
            place: list[str | int] = ["stages", index, *where]
            if need not in names:
                raise _unknown("stage", need, names, place)
            offered = pipeline.stage(need).output_names
            if output not in offered:
                raise _unknown(f"output of `{need}`", output, list(offered), place)
        for where, need, _ in stage.measures():
            if need not in names or not pipeline.stage(need).measured:
                able = [other.name for other in pipeline.stages if other.measured]
                raise _unknown("stage with metrics", need, able, ["stages", index, *where])
    _no_reserved_name(pipeline)
    _one_writer(pipeline)
    order(pipeline)


def _no_reserved_name(pipeline: Pipeline) -> None:
    for index, stage in enumerate(pipeline.stages):
        if stage.name == "run":
            raise problem("graph", "`run` is the whole: take another name", at=["stages", index, "name"])


def _one_writer(pipeline: Pipeline) -> None:
    """No stage writes its checkpoints where another does: each would restore, and prune, the other's."""
    prefixes: dict[str, str] = {}
    for stage in pipeline.jobs:
        shared = f"{stage.shared_prefix}/" if stage.shared_prefix else ""
        for other, prefix in prefixes.items():
            if shared and (shared.startswith(prefix) or prefix.startswith(shared)):
                raise problem(
                    "graph",
                    "the checkpoints of `{other}` have the same or a nested `s3_uri`",
                    other=other,
                    at=["stages", pipeline.stages.index(stage), "checkpoint", "s3_uri"],
                )
        if shared:
            prefixes[stage.name] = shared


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
