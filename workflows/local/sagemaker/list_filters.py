"""The filters, order and pages of the List operations, and ListTrainingJobs and ListProcessingJobs.

Sources: their API reference.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, Protocol, TypeVar

from workflows.local.sagemaker.job_records import Record, summary
from workflows.local.sagemaker.refusals import invalid
from workflows.local.sagemaker.workload import JSON, Kind


class Dated(Protocol):
    """An item that the filters by time can look at."""

    created: datetime
    modified: datetime


T = TypeVar("T", bound=Dated)

_BOUNDS: dict[str, tuple[Callable[[Dated], datetime], bool]] = {
    "CreationTimeAfter": (lambda item: item.created, True),
    "CreationTimeBefore": (lambda item: item.created, False),
    "LastModifiedTimeAfter": (lambda item: item.modified, True),
    "LastModifiedTimeBefore": (lambda item: item.modified, False),
}

_ORDERS: dict[str, Callable[[Record], Any]] = {
    "CreationTime": lambda record: (record.created, record.name),
    "Name": lambda record: record.name,
    "Status": lambda record: (record.status, record.name),
}


def page(kind: Kind, records: Iterable[Record], request: Mapping[str, Any]) -> JSON:
    """One page of summaries of jobs."""
    fitting = [record for record in records if _fits(record, request)]
    return cut(f"{kind.capitalize()}JobSummaries", fitting, request, _ORDERS, summary)


def cut(
    member: str,
    items: Iterable[T],
    request: Mapping[str, Any],
    orders: Mapping[str, Callable[[T], Any]],
    shown: Callable[[T], JSON],
) -> JSON:
    """Returns one page of the items that the filters let through; it has a NextToken when more follow."""
    # Defaults, the same for every List operation here: CreationTime, Ascending.
    fitting = sorted(
        (item for item in items if _in_time(item, request)),
        key=orders[request.get("SortBy", "CreationTime")],
        reverse=request.get("SortOrder", "Ascending") == "Descending",
    )
    start = _start(request.get("NextToken"))
    size = request.get("MaxResults", 10)
    answer: JSON = {member: [shown(each) for each in fitting[start : start + size]]}
    if start + size < len(fitting):
        answer["NextToken"] = base64.urlsafe_b64encode(str(start + size).encode()).decode()
    return answer


def _fits(record: Record, request: Mapping[str, Any]) -> bool:
    if request.get("WarmPoolStatusEquals") or request.get("TrainingPlanArnEquals"):
        return False  # there are neither warm pools nor training plans here
    if request.get("NameContains", "") not in record.name:
        return False
    return bool(request.get("StatusEquals", record.status) == record.status)


def _in_time(item: Dated, request: Mapping[str, Any]) -> bool:
    for name, (time_of, after) in _BOUNDS.items():
        bound = request.get(name)
        if bound is not None:
            time, limit = time_of(item), _aware(bound)
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
