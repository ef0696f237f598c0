"""The event "SageMaker Training Job State Change", as EventBridge delivers it.

Shape: the EventBridge section of the SageMaker developer guide. `detail` is the job's description
with times in epoch milliseconds and the tags as a map.
"""

from __future__ import annotations

import random
import uuid
from datetime import UTC, datetime
from typing import Any

from workflows.local.sagemaker.records import Record, describe
from workflows.local.sagemaker.workload import JSON


def state_change(record: Record, region: str, account: str, rng: random.Random) -> JSON:
    """The event for the record as it is now; `rng` makes its id, so that runs repeat exactly."""
    return {
        "version": "0",
        "id": str(uuid.UUID(int=rng.getrandbits(128), version=4)),
        "detail-type": f"SageMaker {record.kind.capitalize()} Job State Change",
        "source": "aws.sagemaker",
        "account": account,
        "time": record.modified.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "region": region,
        "resources": [record.arn],
        "detail": _milliseconds(describe(record) | {"Tags": dict(record.tags)}),
    }


def _milliseconds(value: Any) -> Any:
    if isinstance(value, datetime):
        return round(value.timestamp() * 1000)
    if isinstance(value, dict):
        return {key: _milliseconds(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_milliseconds(each) for each in value]
    return value
