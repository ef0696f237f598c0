"""What the machine has to know of a stage that runs jobs, whatever type of job: one object for each stage.

A request is the `Arguments` of a task: plain values where the pipeline fixes them, JSONata expressions where
they change from run to run or from attempt to attempt. The expressions read variables of the machine: `$run`
(id, name tag, the stage's settings for this run), the stage's own (attempt, rung, job, place), and those that
hold what finished stages left.
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import Any, ClassVar, Generic, TypeVar

from workflows.errors import RelayError
from workflows.jobs.job_names import OWNER_TAG, job_base
from workflows.jobs.job_types import JobType
from workflows.jobs.jsonata_text import jsonata, or_else
from workflows.jobs.site import Materials, Site
from workflows.jobs.variables import own_uri, rung, settings
from workflows.ledger.vocabulary import variable
from workflows.specification.pipeline import Pipeline
from workflows.specification.stages import REFERENCE, JobStage, Market

Json = Any
S = TypeVar("S", bound=JobStage)
RESULT = "$states.result"  # in a task's Assign: what SageMaker answered


class RequestError(RelayError):
    """A stage that no request can express."""


class Job(ABC, Generic[S]):
    """A stage as the machine runs it: its requests, what SageMaker says of its jobs, what it leaves.

    A new type of job is a new subclass; `kinds.py` says which kind of stage has which.
    """

    type: ClassVar[JobType]
    # Whether attempts go on from each other's checkpoints and say how far they got: progress.json is read
    # after an attempt, and complete.json before its work counts as done.
    resumes: ClassVar[bool]

    def __init__(self, stage: S) -> None:
        self.stage = stage
        self.own = f"${variable(stage.name)}"
        self.settings = settings(stage.name)
        self.rung = rung(stage.name)

    # ------------------------------------------------------------------------------------------- the request
    @abstractmethod
    def requests(
        self, pipeline: Pipeline, site: Site, materials: Materials, *, slack: str
    ) -> Iterator[tuple[Market, dict[str, Json]]]:
        """The request of an attempt on each market that the stage may use, the first one first.

        `slack` is the expression of the seconds that a spot job may spend without training.
        """

    def name(self, pipeline: str) -> str:
        """The expression of an attempt's job name.

        Unique for ever: the tag is a hash of the execution's ARN and start, a redrive raises the number that
        the attempt keeps, each attempt has its number, and `print` says what it computes.
        """
        return (
            f'"{job_base(pipeline, self.stage.name)}-" & $run.tag & "-" & {self.own}.print & "-" '
            f'& $string({self.redrives}) & "-" & $string({self.own}.attempt)'
        )

    @property
    def redrives(self) -> str:
        """The expression of the redrives before the attempt."""
        return f"{self.own}.redrive"

    # ------------------------------------------------------------------------- what SageMaker says of a job
    @abstractmethod
    def figures(self) -> dict[str, str]:
        """What a job used, as its description says: seconds, moments, interruptions."""

    @abstractmethod
    def end(self) -> dict[str, str]:
        """How a job ended, as its description says, with its figures."""

    def metrics(self) -> str:
        """The expression of the metrics of a finished job; `$p` is its complete.json."""
        return "{}"

    # ----------------------------------------------------------------------------------------- what it leaves
    @abstractmethod
    def outputs(self, site: Site) -> dict[str, str]:
        """Output name -> expression of its S3 URI, valid once the stage is done."""

    @abstractmethod
    def found_place(self, site: Site) -> str:
        """The expression of the prefix under which an earlier run's job worked, from its description."""

    def left_besides(self, site: Site) -> dict[str, str]:
        """What a finished stage leaves besides outputs, metrics and ledger."""
        return {}

    def line_besides(self) -> dict[str, str]:
        """What its lines of the ledger hold besides what all have."""
        return {}

    # ----------------------------------------------------------------------------------------- its settings
    @property
    def seconds_after(self) -> str:
        """The expression of the seconds that have to be left for what comes after the stage."""
        return f"{self.settings}.tail"

    @property
    def differs_by_content(self) -> bool:
        """Whether jobs of the stage in one run compute different things: an earlier one must be the same."""
        return False

    # ------------------------------------------------------------------------------------- parts of requests
    def image(self, materials: Materials) -> Json:
        """The image for the rung's instance type; a plain value when all types take the same."""
        if len(set(materials.images.values())) == 1:
            return next(iter(materials.images.values()))
        if self.stage.on_demand.preferences:
            raise RequestError(
                f"stage `{self.stage.name}`: `preferences` asks for any type of the on-demand ladder at "
                "once, and its types take different images: give one `image` URI, or leave out `preferences`"
            )
        return jsonata(f"$lookup({self.settings}.images, {self.rung}.type)")

    def cluster(self) -> dict[str, Json]:
        """The instances of the rung."""
        return {
            "InstanceType": jsonata(f"{self.rung}.type"),
            "InstanceCount": jsonata(f"{self.rung}.count"),
            "VolumeSizeInGB": self.stage.volume_gb,
        }

    def inputs(self, materials: Materials) -> dict[str, str]:
        """Channel -> S3 URI (or its expression), the code first."""
        channels = {"code": materials.code_prefix} if self.stage.script else {}
        for name, value in self.stage.inputs.items():
            if match := REFERENCE.match(value):
                left = f'$lookup(${materials.results[match[1]]}, "{match[1]}")'
                channels[name] = jsonata(f"{left}.outputs.`{match[2]}`")
            else:
                channels[name] = materials.inputs.get(name, value)
        return channels

    def environment(self) -> dict[str, str]:
        """What the stage sets, and what Relay's launcher and library read."""
        ours = {"RELAY_STAGE": self.stage.name, "RELAY_RUN": jsonata("$run.id")}
        return {**self.stage.environment, **ours}

    def tags(self, pipeline: Pipeline) -> dict[str, str]:
        """The stage's own tags, and those by which Relay finds its jobs."""
        return self.stage.tags | {
            OWNER_TAG: pipeline.name,
            "relay:run": jsonata("$run.id"),
            "relay:stage": self.stage.name,
            "relay:attempt": jsonata(f"$string({self.own}.attempt)"),
        }

    def uri(self, site: Site, rest: str) -> str:
        """The expression of a place in the stage's own prefix."""
        return own_uri(self.stage.name, site, rest)


def tag_list(tags: Mapping[str, str]) -> list[dict[str, str]]:
    """Tags as SageMaker takes them."""
    return [{"Key": key, "Value": value} for key, value in tags.items()]


def parameters(values: Mapping[str, Json]) -> dict[str, str]:
    """Hyperparameters as SageMaker wants them, strings: JSON, except for text."""
    return {name: value if isinstance(value, str) else json.dumps(value) for name, value in values.items()}


def whole_seconds(duration: timedelta) -> int:
    """The duration in whole seconds, at least 1."""
    return max(1, round(duration / timedelta(seconds=1)))


def text_of(path: str) -> str:
    """The text at a path, empty where AWS left it out."""
    return or_else(path, '""')
