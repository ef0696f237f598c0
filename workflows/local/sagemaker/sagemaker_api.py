"""The SageMaker API over the life cycle of jobs and the model registry.

request -> checked against the service model -> refused, or a Record with its Life -> answers
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path

import simpy

from workflows.local.capacity import Capacity, Demand
from workflows.local.clock import Clock
from workflows.local.messages import copied, fixed
from workflows.local.sagemaker.audience import Audience, Choice, Deliver
from workflows.local.sagemaker.job_life import Life, Pace, demands
from workflows.local.sagemaker.job_records import Record, RecordStore
from workflows.local.sagemaker.list_filters import page
from workflows.local.sagemaker.packages import Group, Package
from workflows.local.sagemaker.preferences import FirstOf
from workflows.local.sagemaker.refusals import (
    invalid,
    refuse_empty_channels,
    refuse_processing,
    refuse_training,
)
from workflows.local.sagemaker.registry import Registry
from workflows.local.sagemaker.workload import JSON, Kind, LastUpload, Order, Workload
from workflows.local.service_errors import ServiceError
from workflows.local.service_model import checked

NOT_FOUND = "Requested resource not found."
DUPLICATE = (
    "{} job names must be unique within an AWS account and region, and a {} job with this name already exists"
)


class SageMaker:
    """SageMaker's API of jobs and model packages; runs on the clock's thread only.

    It never blocks it, bar the look-ups in S3: of a job's channels, of a model that is registered.

    `quotas` maps AWS's own names, like "ml.g5.xlarge for spot training job usage", to instances;
    what is not named is unlimited. `requests_per_second` (machine time) throttles the Create calls.
    `last_upload` is the reading of what becomes of a stopped job's last checkpoints; one that is late comes
    `late_seconds` after the job was shown as Stopped.
    Subscribers get the state changes in EventBridge's shape, on the clock's thread.
    """

    def __init__(
        self,
        clock: Clock,
        *,
        capacity: Capacity,
        workload: Workload,
        region: str = "us-east-1",
        account: str = "000000000000",
        state_dir: Path | None = None,
        seed: int = 0,
        launch_seconds: float = 60.0,
        grace_seconds: float = 120.0,
        last_upload: LastUpload = "sent",
        late_seconds: float = 180.0,
        quotas: Mapping[str, int] | None = None,
        requests_per_second: float | None = None,
    ) -> None:
        self._clock = clock
        self._capacity = capacity
        self._workload = workload
        self._region = region
        self._account = account
        self._pace = Pace(launch_seconds, grace_seconds, last_upload, late_seconds)
        self._quotas = dict(quotas or {})
        self._throttle = _Throttle(clock, requests_per_second)
        self._audience = Audience(region, account, seed)
        self.subscribers = self._audience.everybody
        self._store = RecordStore(state_dir)
        self._registry = Registry(
            clock.now,
            workload.objects,
            f"arn:aws:sagemaker:{region}:{account}",
            self._audience.package_changed,
            state_dir,
        )
        self._actions: dict[str, Callable[[JSON], JSON]] = {
            "CreateTrainingJob": lambda request: self._create("training", request),
            "DescribeTrainingJob": lambda request: self._describe("training", request),
            "ListTrainingJobs": lambda request: self._list("training", request),
            "StopTrainingJob": lambda request: self._stop("training", request),
            "CreateProcessingJob": lambda request: self._create("processing", request),
            "DescribeProcessingJob": lambda request: self._describe("processing", request),
            "ListProcessingJobs": lambda request: self._list("processing", request),
            "StopProcessingJob": lambda request: self._stop("processing", request),
            "AddTags": self._add_tags,
            "ListTags": self._list_tags,
            "DeleteTags": self._delete_tags,
            **self._registry.operations,
        }
        self._records: dict[tuple[Kind, str], Record] = {}
        self._lives: dict[tuple[Kind, str], Life] = {}
        self._ended: dict[tuple[Kind, str], simpy.Event] = {}
        for record in self._store.load(clock.now()):
            key = (record.kind, record.name)
            self._records[key] = record
            self._ended[key] = clock.env.event().succeed(record.described)

    def handle(self, operation: str, request: JSON) -> JSON:
        """Answer one API call as boto3 sees it; raises ServiceError as AWS refuses."""
        kept = checked("sagemaker", operation, request)
        if operation not in self._actions:
            raise ServiceError("UnknownOperationException", f"relay local: {operation} is not emulated")
        answer: JSON = copied(self._actions[operation](kept))
        return answer

    @property
    def records(self) -> tuple[Record, ...]:
        """Returns all jobs in the order of their creation; Describe and List answer from them."""
        return tuple(self._records.values())

    def ended(self, kind: Kind, name: str) -> simpy.Event:
        """Succeeds with the final Describe answer; for a job that ended before, at once."""
        self._record(kind, name)
        return self._ended[kind, name]

    def subscribe(self, choice: Choice, deliver: Deliver) -> None:
        """Deliver the events that somebody wants; an event that nobody wants is never made."""
        self._audience.add(choice, deliver)

    # Jobs

    def _create(self, kind: Kind, request: JSON) -> JSON:
        self._throttle.take()
        name = str(request[f"{kind.capitalize()}JobName"])
        (refuse_training if kind == "training" else refuse_processing)(request)
        refusal = self._workload.refusal(f"Create{kind.capitalize()}Job", request)
        if refusal:
            raise invalid(refusal)
        if (kind, name) in self._records:
            raise ServiceError("ResourceInUse", DUPLICATE.format(kind.capitalize(), kind))
        if kind == "training":
            refuse_empty_channels(request, self._workload.objects, self._region)
        arn = f"arn:aws:sagemaker:{self._region}:{self._account}:{kind}-job/{name.lower()}"
        order = Order(kind, name, arn, fixed(request), self._region)
        wanted = self._within_quota(order)
        now = self._clock.now()
        record = Record(kind, name, arn, order.request, dict(order.tags), now, now)
        self._records[kind, name] = record
        self._ended[kind, name] = self._clock.env.event()
        env = self._clock.env
        chosen = bool(order.resources.get("InstancePreferences"))
        supply = FirstOf(env, self._capacity, wanted) if chosen else self._capacity.supply(env, wanted[0])
        life = Life(self._clock, record, order, supply, self._workload, self._pace, self._changed)
        self._lives[kind, name] = life
        self._clock.env.process(life.run())
        return {f"{kind.capitalize()}JobArn": arn}

    def _describe(self, kind: Kind, request: JSON) -> JSON:
        return self._record(kind, request[f"{kind.capitalize()}JobName"]).described

    def _list(self, kind: Kind, request: JSON) -> JSON:
        records = [record for record in self._records.values() if record.kind == kind]
        return page(kind, records, request)

    def _stop(self, kind: Kind, request: JSON) -> JSON:
        record = self._record(kind, request[f"{kind.capitalize()}JobName"])
        if record.terminal:
            raise invalid(f"The request was rejected because the {kind} job is in status {record.status}.")
        self._lives[kind, record.name].stop()
        return {}

    def _record(self, kind: Kind, name: str) -> Record:
        try:
            return self._records[kind, name]
        except KeyError:
            raise invalid(NOT_FOUND) from None

    def _within_quota(self, order: Order) -> list[Demand]:
        """Returns the demands that the quotas leave; raises ResourceLimitExceeded when they leave none.

        Preferences that are over their quota are passed over: nobody has said what AWS does with them.
        """
        if not self._quotas:
            return demands(order)
        refusals = {wanted: self._over_quota(order.kind, wanted) for wanted in demands(order)}
        allowed = [wanted for wanted, refusal in refusals.items() if refusal is None]
        if not allowed:
            raise next(refusal for refusal in refusals.values() if refusal is not None)
        return allowed

    def _over_quota(self, kind: Kind, wanted: Demand) -> ServiceError | None:
        use = f"{'spot ' if wanted.market == 'spot' else ''}{kind} job usage"
        limit = f"{wanted.instance_type} for {use}"
        if limit not in self._quotas:
            return None
        used = sum(_instances(life, kind, wanted) for life in self._lives.values())
        if used + wanted.instance_count <= self._quotas[limit]:
            return None
        return ServiceError(
            "ResourceLimitExceeded",
            f"The account-level service limit '{limit}' is {self._quotas[limit]} Instances, "
            f"with current utilization of {used} Instances and a request delta of "
            f"{wanted.instance_count} Instances. Please contact AWS support to request an "
            "increase for this limit.",
        )

    def _changed(self, record: Record) -> None:
        self._store.save(record)
        self._audience.job_changed(record)
        if record.terminal:
            key = (record.kind, record.name)
            self._lives.pop(key, None)
            self._ended[key].succeed(record.described)

    # Tags

    def _add_tags(self, request: JSON) -> JSON:
        item = self._by_arn(request["ResourceArn"])
        item.tags |= {tag["Key"]: tag["Value"] for tag in request["Tags"]}
        self._save(item)
        return {"Tags": request["Tags"]}

    def _list_tags(self, request: JSON) -> JSON:
        tags = self._by_arn(request["ResourceArn"]).tags
        return {"Tags": [{"Key": key, "Value": value} for key, value in tags.items()]}

    def _delete_tags(self, request: JSON) -> JSON:
        item = self._by_arn(request["ResourceArn"])
        for key in request["TagKeys"]:
            item.tags.pop(key, None)
        self._save(item)
        return {}

    def _by_arn(self, arn: str) -> Record | Group | Package:
        for record in self._records.values():
            if record.arn == arn.lower():
                return record
        found = self._registry.tagged(arn.lower())
        if found is None:
            raise invalid(NOT_FOUND)
        return found

    def _save(self, item: Record | Group | Package) -> None:
        if isinstance(item, Record):
            self._store.save(item)
            self._audience.forget()
        else:
            self._registry.save(item)


class _Throttle:
    """A bucket of one second's requests, refilled in machine time."""

    def __init__(self, clock: Clock, rate: float | None) -> None:
        self._clock = clock
        self._rate = rate
        self._tokens = rate or 0.0
        self._at: datetime | None = None

    def take(self) -> None:
        """Let one request through or raise ThrottlingException."""
        if self._rate is None:
            return
        now = self._clock.now()
        if self._at is not None:
            passed = (now - self._at).total_seconds()
            self._tokens = min(max(self._rate, 1.0), self._tokens + passed * self._rate)
        self._at = now
        if self._tokens < 1:
            raise ServiceError("ThrottlingException", "Rate exceeded")
        self._tokens -= 1


def _instances(life: Life, kind: Kind, wanted: Demand) -> int:
    """Returns how many of the wanted instances a live job holds."""
    [held, *_] = demands(life.order)
    same = (life.order.kind, held.market, held.instance_type) == (kind, wanted.market, wanted.instance_type)
    return held.instance_count if same else 0
