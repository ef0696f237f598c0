"""The settings of a stage: where it may run, how patiently, how often it saves, in which image."""

from __future__ import annotations

from datetime import timedelta
from pathlib import PurePosixPath
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
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

from workflows.specification.aws_limits import LONGEST_TRAINING, MOST_PREFERENCES, MOST_TAGS
from workflows.specification.durations import Duration, between

DAY = timedelta(days=1)

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


def laid_over(base: dict[str, Any], top: dict[str, Any]) -> dict[str, Any]:
    """The fields of `top` over those of `base`, mapping by mapping; an image is replaced as a whole."""
    merged = dict(base)
    for key, value in top.items():
        below = merged.get(key)
        nested = isinstance(value, dict) and isinstance(below, dict) and key != "image"
        merged[key] = laid_over(below, value) if nested else value  # type: ignore[arg-type]
    return merged


class Rung(Model):
    """One place to run: an instance type and, where it differs from the stage's, how many."""

    type: InstanceType
    count: Annotated[int, Field(ge=1, le=64)] | None = None


class PlacedRung(Rung):
    """A rung with the number of instances that an attempt of its stage has there."""

    count: Annotated[int, Field(ge=1, le=64)]

    @classmethod
    def of(cls, rung: Rung, instances: int) -> PlacedRung:
        """The rung for a stage of so many instances."""
        return cls.model_validate({**rung.model_dump(), "count": rung.count or instances})


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
    patience: Annotated[Duration, between(SHORTEST_PATIENCE, LONGEST_TRAINING)] = timedelta(minutes=45)
    no_progress_limit: Annotated[int, Field(ge=1, le=50)] = 2
    backoff: Backoff = Backoff()


class OnDemand(Model):
    """How a stage uses on-demand capacity; without a ladder of its own, on the spot ladder's first rung."""

    enabled: bool = True
    ladder: Ladder | None = None
    preferences: bool = False  # one request that names the whole ladder: SageMaker takes what it has first

    @model_validator(mode="after")
    def _few(self) -> OnDemand:
        if self.preferences and not 2 <= len(self.ladder or ()) <= MOST_PREFERENCES:
            raise problem(
                "ladder", "`preferences` needs a `ladder` of 2 to {most} types", most=MOST_PREFERENCES
            )
        return self


def _as_prefix(uri: str) -> str:
    """Ends a prefix in `/`: otherwise `s3://bucket/run-1` would restore the files of `run-10` as well."""
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    if not uri.startswith("s3://") or not bucket or not key.strip("/"):
        raise problem("s3_uri", "expected a prefix in a bucket, such as s3://bucket/checkpoints/digits/")
    return uri if uri.endswith("/") else f"{uri}/"


def _as_container_path(path: str) -> str:
    if not path.startswith("/") or ".." in PurePosixPath(path).parts or path.strip("/") == "":
        raise problem("local_path", "expected an absolute path in the container, such as /opt/ml/checkpoints")
    return path


class Checkpoint(Model):
    """How often to save (between `shortest` and `longest`), how many checkpoints to keep, and where.

    `s3_uri` is a prefix of your own, which runs share; without it each run has its own. `local_path` is the
    folder in the container that SageMaker keeps equal to the prefix.
    """

    keep: Annotated[int, Field(ge=2, le=100)] = 3
    shortest: Duration = timedelta(minutes=1)
    longest: Duration = timedelta(minutes=30)
    s3_uri: Annotated[str, Field(max_length=1000), AfterValidator(_as_prefix)] | None = None
    local_path: Annotated[str, Field(max_length=4096), AfterValidator(_as_container_path)] = (
        "/opt/ml/checkpoints"
    )

    @model_validator(mode="after")
    def _ordered(self) -> Checkpoint:
        if self.longest < self.shortest:
            raise problem("checkpoint", "`longest` must not be shorter than `shortest`")
        return self


class FrameworkImage(Model):
    """A framework image of SageMaker, by its name and version in the SageMaker Python SDK.

    `base` is what the framework stands on where it has versions of its own: `pytorch2.5.1` for huggingface.
    """

    framework: Annotated[str, Field(min_length=1)]
    version: Annotated[str, Field(min_length=1)]
    python: str | None = None
    base: str | None = None


Image = Annotated[
    Annotated[str, Tag("uri")] | Annotated[FrameworkImage, Tag("framework")],
    Discriminator(lambda value: "uri" if isinstance(value, str) else "framework"),
]
DEFAULT_IMAGE = FrameworkImage(framework="pytorch", version="2.6", python="py312")


# ------------------------------------------------------- what CreateTrainingJob and CreateProcessingJob offer
# Lengths, counts and patterns are those of the two operations in AWS's own model of the service.
RoleArn = Annotated[str, Field(pattern=r"^arn:aws[a-z-]*:iam::[0-9]{12}:role/[\w+=,.@/-]+$", max_length=2048)]
KmsKey = Annotated[str, Field(pattern=r"^[a-zA-Z0-9:/_-]+$", max_length=2048)]
NetworkId = Annotated[str, Field(pattern=r"^[a-zA-Z0-9-]+$", max_length=32)]
InputMode = Literal["File", "FastFile", "Pipe"]
# How Relay's launcher is started: as the container's entry point, or by the toolkit of the framework images.
Launch = Literal["entrypoint", "script_mode"]
MetricName = Annotated[str, Field(min_length=1, max_length=255)]
Metrics = Annotated[
    dict[MetricName, Annotated[str, Field(min_length=1, max_length=500)]], Field(max_length=40)
]
OWN_TAGS = 10  # Relay adds seven, Step Functions two
RESERVED_TAGS = ("relay:", "aws:")


def _as_tag_key(key: str) -> str:
    if key.lower().startswith(RESERVED_TAGS):
        raise problem("tags", "tags that begin with `relay:` or `aws:` are set by Relay and by AWS")
    return key


TagKey = Annotated[
    str, Field(pattern=r"^[\w\s.:/=+@-]+$", max_length=128, min_length=1), AfterValidator(_as_tag_key)
]
TagValue = Annotated[str, Field(pattern=r"^[\w\s.:/=+@-]*$", max_length=256)]
Tags = Annotated[dict[TagKey, TagValue], Field(max_length=MOST_TAGS - OWN_TAGS)]


class Network(Model):
    """The network of a stage's jobs: your subnets, no network at all, encryption between the instances."""

    subnets: Annotated[tuple[NetworkId, ...], Field(max_length=16)] = ()
    security_groups: Annotated[tuple[NetworkId, ...], Field(max_length=5)] = ()
    isolation: bool = False
    encrypt_traffic: bool = False

    @model_validator(mode="after")
    def _whole(self) -> Network:
        if bool(self.subnets) != bool(self.security_groups):
            raise problem("network", "`subnets` and `security_groups` go together: give both, or none")
        return self


class Encryption(Model):
    """KMS keys (id, ARN or alias) for the instances' volumes and for what a job leaves in S3."""

    volume_key: KmsKey | None = None
    output_key: KmsKey | None = None


Word = Annotated[str, Field(max_length=256)]


class Container(Model):
    """The image's own program instead of a script; without an `entrypoint`, what the image starts itself."""

    entrypoint: Annotated[tuple[Word, ...], Field(max_length=100)] = ()
    arguments: Annotated[tuple[Word, ...], Field(max_length=100)] = ()


class ImageRepository(Model):
    """Where SageMaker gets the image: from ECR (`Platform`), or a registry in your subnets (`Vpc`)."""

    access: Literal["Platform", "Vpc"]
    credentials_provider: (
        Annotated[str, Field(pattern=r"^arn:[a-zA-Z0-9-]+:lambda:[a-zA-Z0-9-]+:[0-9]{12}:function:.+$")]
        | None
    ) = None
