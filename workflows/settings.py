"""The settings of a stage: where it may run, how patiently, how often it saves, in which image."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    Tag,
    WithJsonSchema,
    model_validator,
)
from pydantic_core import PydanticCustomError

from workflows.durations import Duration, between

DAY = timedelta(days=1)
LONGEST_JOB = 28 * DAY  # MaxRuntimeInSeconds, CreateTrainingJob API reference

# A job that is being launched looks like one that waits, and a launch takes one to three minutes: a shorter
# patience would stop jobs that have got their capacity.
SHORTEST_PATIENCE = timedelta(minutes=5)

INSTANCE_TYPE = r"^ml\.[a-z0-9-]+\.[a-z0-9]+$"
InstanceType = Annotated[str, Field(pattern=INSTANCE_TYPE)]


class Model(BaseModel):
    """Frozen, and every unknown field is a mistake."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def problem(kind: str, message: str, **context: Any) -> PydanticCustomError:
    """A mistake that needs its own words; `at` in the context gives its place."""
    return PydanticCustomError(kind, message, context)


class Rung(Model):
    """One place to run: an instance type and, where it differs from the stage's, how many."""

    type: InstanceType
    count: Annotated[int, Field(ge=1, le=64)] | None = None


def _as_rung(value: Any) -> Any:
    return {"type": value} if isinstance(value, str) else value


_RUNG_SCHEMA = {
    "anyOf": [{"type": "string", "pattern": INSTANCE_TYPE}, {"type": "object", **Rung.model_json_schema()}]
}
Ladder = Annotated[
    tuple[Annotated[Rung, BeforeValidator(_as_rung), WithJsonSchema(_RUNG_SCHEMA)], ...],
    Field(min_length=1, max_length=10),
]
DEFAULT_LADDER = (Rung(type="ml.m5.xlarge"),)


class Backoff(Model):
    """The pause before the next attempt: first x rate^n, at most max, then drawn at random (full jitter)."""

    first: Duration = timedelta(seconds=60)
    rate: Annotated[float, Field(ge=1, le=10)] = 2
    max: Duration = timedelta(minutes=30)
    jitter: Literal["full", "none"] = "full"

    @model_validator(mode="after")
    def _ordered(self) -> Backoff:
        if self.max < self.first:
            raise problem("backoff", "`max` must not be shorter than `first`")
        return self


class Spot(Model):
    """How a stage uses spot capacity."""

    enabled: bool = True
    ladder: Ladder = DEFAULT_LADDER
    retry_budget: Annotated[int, Field(ge=0, le=200)] = 5
    patience: Annotated[Duration, between(SHORTEST_PATIENCE, LONGEST_JOB)] = timedelta(minutes=45)
    no_progress_limit: Annotated[int, Field(ge=1, le=50)] = 2
    backoff: Backoff = Backoff()


class OnDemand(Model):
    """How a stage uses on-demand capacity; without a ladder of its own, on the spot ladder's first rung."""

    enabled: bool = True
    ladder: Ladder | None = None


class Checkpoint(Model):
    """How often to save (between `shortest` and `longest`) and how many checkpoints to keep."""

    keep: Annotated[int, Field(ge=2, le=100)] = 3
    shortest: Duration = timedelta(minutes=1)
    longest: Duration = timedelta(minutes=30)

    @model_validator(mode="after")
    def _ordered(self) -> Checkpoint:
        if self.longest < self.shortest:
            raise problem("checkpoint", "`longest` must not be shorter than `shortest`")
        return self


class FrameworkImage(Model):
    """A framework image of SageMaker, by its name and version in the SageMaker Python SDK."""

    framework: Annotated[str, Field(min_length=1)]
    version: Annotated[str, Field(min_length=1)]
    python: str | None = None


Image = Annotated[
    Annotated[str, Tag("uri")] | Annotated[FrameworkImage, Tag("framework")],
    Discriminator(lambda value: "uri" if isinstance(value, str) else "framework"),
]
DEFAULT_IMAGE = FrameworkImage(framework="pytorch", version="2.6", python="py312")
