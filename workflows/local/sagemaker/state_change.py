"""The events of SageMaker as EventBridge delivers them: of jobs, and of model packages.

Shapes: the EventBridge section of the SageMaker developer guide. `detail` is the description: that of a job
with times in epoch milliseconds and the tags as a map, that of a package with times as text.
"""

from __future__ import annotations

import uuid
from datetime import UTC, datetime

from workflows.local.messages import in_milliseconds
from workflows.local.sagemaker.packages import Package
from workflows.local.sagemaker.records import Record
from workflows.local.sagemaker.workload import JSON

SOURCE = "aws.sagemaker"


def state_change(record: Record, region: str, account: str, number: int) -> JSON:
    """The event for the job as it is now; `number` (128 bits) makes its id, so that runs repeat exactly."""
    detail = {**in_milliseconds(record.described), "Tags": dict(record.tags)}
    return _event(_kind(record), record.arn, record.modified, detail, region, account, number)


def at_a_glance(record: Record) -> JSON:
    """Some members of the same event, which most rules ask for: what nobody wants need not be made."""
    job = record.kind.capitalize()
    known = {f"{job}JobName": record.name, f"{job}JobStatus": record.status}
    if record.kind == "training":
        known["SecondaryStatus"] = record.secondary
    return {"source": SOURCE, "detail-type": _kind(record), "detail": known}


def _kind(record: Record) -> str:
    return f"SageMaker {record.kind.capitalize()} Job State Change"


def package_change(package: Package, region: str, account: str, number: int) -> JSON:
    """The event for a model package that was created or updated: what a deployment waits for."""
    detail = {
        name: _text(value) if isinstance(value, datetime) else value
        for name, value in package.describe().items()
    }
    kind = "SageMaker Model Package State Change"
    return _event(kind, package.arn, package.modified, detail, region, account, number)


def _event(kind: str, arn: str, time: datetime, detail: JSON, region: str, account: str, number: int) -> JSON:
    return {
        "version": "0",
        "id": str(uuid.UUID(int=number, version=4)),
        "detail-type": kind,
        "source": SOURCE,
        "account": account,
        "time": _text(time),
        "region": region,
        "resources": [arn],
        "detail": detail,
    }


def _text(time: datetime) -> str:
    return time.astimezone(UTC).isoformat()[:19] + "Z"  # in a third of the time of strftime
