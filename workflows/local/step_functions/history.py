"""An execution's event history: ids, the chain of previous events, the quota, and its reading."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

from workflows.local.errors import TaskError
from workflows.local.step_functions.limits import MAX_EVENTS, RUNTIME

Event = dict[str, Any]

NOT_TRUNCATED = {"truncated": False}
# What includeExecutionData=False leaves out of the details; their other keys stay.
_DATA_KEYS = ("input", "inputDetails", "output", "outputDetails")


class HistoryFullError(TaskError):
    """The execution used up its events; nothing catches this."""

    def __init__(self) -> None:
        super().__init__(
            RUNTIME,
            f"The execution reached the maximum number of history events ({MAX_EVENTS}).",
        )


class History:
    """Events in order; the last place is kept for the event that ends the execution."""

    def __init__(self, now: Callable[[], datetime], events: list[Event] | None = None) -> None:
        self._now = now
        self.events: list[Event] = events if events is not None else []
        self.moment: datetime | None = None  # of the event that was added last
        self.closed = False

    def append(self, kind: str, previous: int, key: str | None = None, details: Any = None) -> int:
        """Add an event and return its id; raises HistoryFullError. Silent once `closed`.

        Closed means that the execution was stopped: what its branches do while they clean up is
        no part of its history.
        """
        if self.closed:
            return previous
        number = len(self.events) + 1
        if number >= MAX_EVENTS:
            raise HistoryFullError
        self.moment = moment = self._now()
        event = {"timestamp": moment, "type": kind, "id": number, "previousEventId": previous}
        if key is not None:
            event[key] = details
        self.events.append(event)
        return number

    def finish(self, kind: str, previous: int, key: str, details: dict[str, Any]) -> int:
        """Add the event that ends the execution, then close."""
        number = len(self.events) + 1
        event = {"timestamp": self._now(), "type": kind, "id": number, "previousEventId": previous}
        self.events.append({**event, key: details})
        self.closed = True
        return number


def without_data(event: Event) -> Event:
    """Return the event as GetExecutionHistory shows it with includeExecutionData=False."""
    return {
        key: {name: item for name, item in value.items() if name not in _DATA_KEYS}
        if isinstance(value, dict)
        else value
        for key, value in event.items()
    }
