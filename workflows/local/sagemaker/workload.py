"""The interface of a job's work, from the moment its instances are there to its end.

Two implementations share the life cycle of `job_life.py`: real processes (`processes.py`) and a model
of the work in virtual time (`modelled.py`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeVar

import simpy

from workflows.local.messages import fixed

if TYPE_CHECKING:
    from workflows.local.objects import Objects
    from workflows.local.sagemaker.metrics import Metric

JSON = dict[str, Any]
Kind = Literal["training", "processing"]
LastUpload = Literal["sent", "lost", "late"]
"""What becomes of checkpoints that are not in S3 when a job is told to stop, by whomever (AWS.md 4.5, 4.12):
they are sent before it is Stopped, never, or a while after it is Stopped."""
T = TypeVar("T")


@dataclass(frozen=True)
class Order:
    """One job as the platform hands it to a workload: its request, name and ARN.

    Nothing of it ever changes, so what is asked for on each set of instances is read once.
    """

    kind: Kind
    name: str
    arn: str
    request: JSON
    region: str

    @cached_property
    def tags(self) -> dict[str, str]:
        """The tags of the request as a map."""
        return {tag["Key"]: tag["Value"] for tag in self.request.get("Tags", [])}

    @cached_property
    def stage(self) -> str:
        """The stage that the job is an attempt of; the job's own name for a foreign job."""
        environment = self.request.get("Environment", {})
        return self.tags.get("relay:stage") or environment.get("RELAY_STAGE") or self.name

    @cached_property
    def trial(self) -> str:
        """The trial of a sweep, like "0"; empty for a job of another stage."""
        return self.tags.get("relay:trial", "")

    @cached_property
    def resources(self) -> Mapping[str, Any]:
        """The members InstanceType, InstanceCount, InstancePreferences of either kind of job."""
        if self.kind == "training":
            resources: Mapping[str, Any] = self.request["ResourceConfig"]
        else:
            resources = self.request["ProcessingResources"]["ClusterConfig"]
        return resources

    @cached_property
    def instances(self) -> list[tuple[str, int]]:
        """Instance type, like `ml.g5.2xlarge`, and count; all InstancePreferences, if there are any."""
        resources = self.resources
        if "SelectedInstanceType" in resources:
            return [(resources["SelectedInstanceType"], int(resources["SelectedInstanceCount"]))]
        count = resources.get("InstanceCount")
        return [
            (each["InstanceType"], int(each.get("InstanceCount", count)))
            for each in resources.get("InstancePreferences") or [resources]
        ]

    @property
    def instance_count(self) -> int:
        """How many instances the job runs on; before one of its preferences was chosen, of the first."""
        return self.instances[0][1]

    @property
    def instance_type(self) -> str:
        """The instance type; before one of its preferences was chosen, that of the first."""
        return self.instances[0][0]

    def selecting(self, instance_type: str, count: int) -> Order:
        """The order once its preference is chosen, as DescribeTrainingJob shows it."""
        selected = {"SelectedInstanceType": instance_type, "SelectedInstanceCount": count}
        resources = {**self.resources, **selected}
        if self.kind == "training":
            changed = {"ResourceConfig": resources}
        else:
            changed = {"ProcessingResources": {"ClusterConfig": resources}}
        return replace(self, request=fixed({**self.request, **changed}))

    @property
    def spot(self) -> bool:
        """Whether the job asks for spot capacity; processing jobs never do."""
        return bool(self.request.get("EnableManagedSpotTraining"))

    @cached_property
    def checkpoints(self) -> tuple[str, str] | None:
        """Bucket and key prefix of the checkpoint folder, None without CheckpointConfig."""
        config = self.request.get("CheckpointConfig")
        return s3_location(config["S3Uri"]) if config else None


@dataclass(frozen=True)
class Exit:
    """How the container ended: its exit code, and what it left in /opt/ml/output/failure.

    `fault` is a whole FailureReason for ends that are not the container's (a platform fault).
    """

    code: int
    failure: str = ""
    message: str = ""
    fault: str | None = None


class Work(Protocol):
    """One job on one set of instances; an interrupted job gets a new one on new instances.

    Every method is called on the clock's thread and returns at once. The events' values: None when
    all went well, else a FailureReason text; `train` succeeds with the Exit.
    """

    started: simpy.Event
    """Happens when training starts."""

    @property
    def metrics(self) -> Sequence[Metric]:
        """Returns the last value of each metric of the job; complete once its containers have ended."""
        ...

    def download(self) -> simpy.Event:
        """Bring the channels and the checkpoint folder onto the instances."""
        ...

    def train(self) -> simpy.Event:
        """Start the containers; the event succeeds with the Exit."""
        ...

    def reached(self, fraction: float) -> simpy.Event:
        """Happens when the stage's reported progress is at least `fraction` of its work."""
        ...

    def terminate(self) -> None:
        """Sends SIGTERM to the entry process of each container."""
        ...

    def kill(self) -> simpy.Event:
        """Sends SIGKILL to everything in the containers; the event succeeds when nothing is left."""
        ...

    def lose(self) -> simpy.Event:
        """Takes the instances away: SIGKILL, and no orderly last upload of checkpoints."""
        ...

    def hold(self) -> None:
        """Sends no more of the checkpoint folder until `upload`."""
        ...

    def upload(self, *, checkpoints: bool = True) -> simpy.Event:
        """Syncs the checkpoint folder a last time, then uploads model and output artifacts."""
        ...

    def close(self) -> None:
        """Gives the instances back; whatever is left on them is gone."""
        ...


class Workload(Protocol):
    """Makes the Work of jobs; `objects` is where their data and artifacts are."""

    objects: Objects

    def refusal(self, operation: str, request: Mapping[str, Any]) -> str | None:
        """Why this job cannot honestly be run here, or None."""
        ...

    def open(self, order: Order) -> Work:
        """The work of one job on one set of instances."""
        ...


def said_of(said: Mapping[str, T], stage: str, trial: str) -> T | None:
    """Returns the entry for a trial in a scenario or in models: `stage/trial`, else its stage."""
    return said.get(f"{stage}/{trial}", said.get(stage))


def s3_location(uri: str) -> tuple[str, str]:
    """Bucket and key of `s3://bucket/key`.

    The key is taken as it stands: the platform reads a prefix as a bare string prefix, so `run-1`
    also finds `run-10` (seen: syne-tune #363).
    """
    scheme, _, rest = uri.partition("://")
    if scheme != "s3":
        raise ValueError(f"{uri!r} does not begin with s3://")
    bucket, _, key = rest.partition("/")
    return bucket, key
