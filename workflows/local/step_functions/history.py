"""An execution's event history: ids, the chain of previous events, the quota, and its reading."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from workflows.local.clock import Clock
from workflows.local.json_texts import Unwritten
from workflows.local.service_errors import TaskError
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
    """Events in order; the last place is kept for the event that ends the execution.

    An event is written as AWS shows it when somebody reads it: of a planned run's most are never read.
    """

    def __init__(self, clock: Clock, events: list[Event] | None = None) -> None:
        self._clock = clock
        self._env = clock.env
        self._written: list[Event] = events if events is not None else []
        # One after the other: seconds, type, the event before, the name of its details, and these.
        self._new: list[Any] = []
        self.count = len(self._written)
        self.closed = False

    @property
    def events(self) -> list[Event]:
        """The events as GetExecutionHistory shows them; not to be changed."""
        written = self._written
        new = iter(self._new)
        for seconds, kind, previous, key, details in zip(new, new, new, new, new, strict=True):
            event = {
                "timestamp": self._clock.at(seconds),
                "type": kind,
                "id": len(written) + 1,
                "previousEventId": previous,
            }
            if key is not None:
                event[key] = _read(details)
            written.append(event)
        self._new.clear()
        return written

    def moment(self, number: int) -> datetime:
        """The time of an event."""
        place = number - 1 - len(self._written)
        moment: datetime = (
            self.events[number - 1]["timestamp"] if place < 0 else self._clock.at(self._new[5 * place])
        )
        return moment

    def append(self, kind: str, previous: int, key: str | None = None, details: Any = None) -> int:
        """Add an event and return its id; raises HistoryFullError. Silent once `closed`.

        Closed means that the execution was stopped: what its branches do while they clean up is
        no part of its history.
        """
        if self.closed:
            return previous
        number = self.count + 1
        if number >= MAX_EVENTS:
            raise HistoryFullError
        self.count = number
        self._new += (self._env.now, kind, previous, key, details)
        return number

    def finish(self, kind: str, previous: int, key: str, details: dict[str, Any]) -> int:
        """Add the event that ends the execution, then close."""
        self.count += 1
        self._new += (self._env.now, kind, previous, key, details)
        self.closed = True
        return self.count


def _read(details: Any) -> Any:
    if isinstance(details, dict):
        return {name: str(item) if item.__class__ is Unwritten else item for name, item in details.items()}
    return details


def without_data(event: Event) -> Event:
    """Return the event as GetExecutionHistory shows it with includeExecutionData=False."""
    return {
        key: {name: item for name, item in value.items() if name not in _DATA_KEYS}
        if isinstance(value, dict)
        else value
        for key, value in event.items()
    }
