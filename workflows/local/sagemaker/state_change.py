"""The events that SageMaker sends through EventBridge when a job or a model package changes.

`detail` is the description: that of a job with times in epoch milliseconds and the tags as a map (AWS.md
11.1), that of a package with times as text. Source: the EventBridge section of SageMaker's developer guide.
"""

from __future__ import annotations

import uuid
from datetime import UTC, datetime
from typing import Any

import orjson

from workflows.local.json_texts import size_of, text_of
from workflows.local.messages import Fixed, added, as_uuid, in_milliseconds, milliseconds
from workflows.local.sagemaker.job_records import Record
from workflows.local.sagemaker.packages import Package
from workflows.local.sagemaker.workload import JSON

SOURCE = "aws.sagemaker"
ENVELOPE, LARGEST_TAG = 2048, 1600
"""Bytes of JSON, at most: of an event besides its detail (two ARNs of 256 characters, and what is short), and
of a tag (a key of 128 characters and a value of 256)."""

# RFC 9562: four bits say the version, two the variant, the others are random.
_UUID_4 = uuid.UUID(int=0, version=4).int
_ANY_UUID = uuid.UUID(int=2**128 - 1, version=4).int


class Event(dict[str, Any]):
    """An event, and how many bytes of JSON it takes at most."""

    __slots__ = ("at_most",)

    at_most: int


def state_change(record: Record, region: str, account: str, number: int) -> Event:
    """The event for the job as it is now; `number` (128 bits) makes its id, so that runs repeat exactly."""
    (ground, moving), tags = record.parts(), dict(record.tags)
    detail = {**in_milliseconds(ground), **in_milliseconds(moving), "Tags": tags}
    event = _event(_kind(record), record.arn, record.modified, detail, region, account, number)
    event.at_most = ground.form(_size) + added(moving) + LARGEST_TAG * len(tags) + ENVELOPE
    return event


def _size(ground: Fixed) -> int:
    return size_of(text_of(ground.form(in_milliseconds)))


def at_a_glance(record: Record) -> JSON:
    """Returns the few members that most rules ask for, so that an unwanted event is never made."""
    job = record.kind.capitalize()
    known: JSON = {f"{job}JobName": record.name, f"{job}JobStatus": record.status, "Tags": record.tags}
    if record.kind == "training":
        known["SecondaryStatus"] = record.secondary
    if record.started is not None:
        known[f"{job}StartTime"] = milliseconds(record.started)
    return {"source": SOURCE, "detail-type": _kind(record), "detail": known}


def _kind(record: Record) -> str:
    return f"SageMaker {record.kind.capitalize()} Job State Change"


def package_change(package: Package, region: str, account: str, number: int) -> Event:
    """The event for a model package that was created or updated: what a deployment waits for."""
    detail = {
        name: _text(value) if isinstance(value, datetime) else value
        for name, value in package.describe().items()
    }
    kind = "SageMaker Model Package State Change"
    event = _event(kind, package.arn, package.modified, detail, region, account, number)
    event.at_most = size_of(text_of(event))
    return event


def _event(
    kind: str, arn: str, time: datetime, detail: JSON, region: str, account: str, number: int
) -> Event:
    return Event(
        {
            "version": "0",
            "id": as_uuid(number & _ANY_UUID | _UUID_4),
            "detail-type": kind,
            "source": SOURCE,
            "account": account,
            "time": _text(time),
            "region": region,
            "resources": [arn],
            "detail": detail,
        }
    )


def _text(time: datetime) -> str:
    quoted = orjson.dumps(time.astimezone(UTC), None, orjson.OPT_OMIT_MICROSECONDS)
    return quoted[1:20].decode() + "Z"  # in a tenth of the time of strftime
