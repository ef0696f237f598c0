"""ListTrainingJobs and ListProcessingJobs: filters, order and pages (their API reference)."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from workflows.local.sagemaker.records import Record, summary
from workflows.local.sagemaker.refusals import invalid
from workflows.local.sagemaker.workload import JSON, Kind

_BOUNDS: dict[str, tuple[Callable[[Record], datetime], bool]] = {
    "CreationTimeAfter": (lambda record: record.created, True),
    "CreationTimeBefore": (lambda record: record.created, False),
    "LastModifiedTimeAfter": (lambda record: record.modified, True),
    "LastModifiedTimeBefore": (lambda record: record.modified, False),
}

_ORDERS: dict[str, Callable[[Record], Any]] = {
    "CreationTime": lambda record: (record.created, record.name),
    "Name": lambda record: record.name,
    "Status": lambda record: (record.status, record.name),
}


def page(kind: Kind, records: list[Record], request: Mapping[str, Any]) -> JSON:
    """One page of summaries; NextToken is there when more follow."""
    fitting = [record for record in records if _fits(record, request)]
    # Defaults: ListTrainingJobs CreationTime Ascending, ListProcessingJobs the same.
    fitting.sort(
        key=_ORDERS[request.get("SortBy", "CreationTime")],
        reverse=request.get("SortOrder", "Ascending") == "Descending",
    )
    start = _start(request.get("NextToken"))
    size = request.get("MaxResults", 10)
    answer: JSON = {
        f"{kind.capitalize()}JobSummaries": [summary(each) for each in fitting[start : start + size]]
    }
    if start + size < len(fitting):
        answer["NextToken"] = base64.urlsafe_b64encode(str(start + size).encode()).decode()
    return answer


def _fits(record: Record, request: Mapping[str, Any]) -> bool:
    if request.get("WarmPoolStatusEquals") or request.get("TrainingPlanArnEquals"):
        return False  # there are neither warm pools nor training plans here
    if request.get("NameContains", "") not in record.name:
        return False
    if request.get("StatusEquals", record.status) != record.status:
        return False
    for name, (time_of, after) in _BOUNDS.items():
        bound = request.get(name)
        if bound is not None:
            time, limit = time_of(record), _aware(bound)
            if (time < limit) if after else (time > limit):
                return False
    return True


def _aware(time: datetime | float) -> datetime:
    if isinstance(time, datetime):
        return time if time.tzinfo else time.replace(tzinfo=UTC)
    return datetime.fromtimestamp(time, UTC)


def _start(token: str | None) -> int:
    if token is None:
        return 0
    try:
        return max(0, int(base64.urlsafe_b64decode(token.encode())))
    except (ValueError, binascii.Error):
        raise invalid("Invalid NextToken") from None
