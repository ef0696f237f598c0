"""Requests and answers of AWS's APIs as Python has them: JSON with datetimes, copied and written as JSON."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from functools import lru_cache
from typing import Any

_ATOMS = frozenset({str, bool, int, float, type(None), bytes})


def copied(value: Any) -> Any:
    """A copy that shares nothing that could be changed; copy.deepcopy takes ten times as long."""
    kind = value.__class__
    if kind is dict:
        return {key: item if item.__class__ in _ATOMS else copied(item) for key, item in value.items()}
    if kind is list or kind is tuple:
        return [item if item.__class__ in _ATOMS else copied(item) for item in value]
    return value


def with_times(value: Any, written: Callable[[datetime], Any]) -> Any:
    """A copy in which every moment is written as an API writes it."""
    kind = value.__class__
    if kind is dict:
        return {
            key: item if item.__class__ in _ATOMS else with_times(item, written)
            for key, item in value.items()
        }
    if kind is list or kind is tuple:
        return [item if item.__class__ in _ATOMS else with_times(item, written) for item in value]
    return written(value) if isinstance(value, datetime) else value


@lru_cache(maxsize=1024)  # a description tells the same few moments again and again
def milliseconds(moment: datetime) -> int:
    """Since 1970, as EventBridge and `.sync` tell times."""
    return round(moment.timestamp() * 1000)
