"""Durations as people write them: "90s", "45m", "2h", "1h30m", "250ms", "2d"."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, PlainSerializer, WithJsonSchema

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)")
PATTERN = r"^(\d+(\.\d+)?(ms|s|m|h|d))+$"


def parse_duration(value: Any) -> timedelta:
    """`"1h30m"` as a timedelta. Raises ValueError otherwise, also for a number without a unit."""
    if isinstance(value, timedelta):
        return value
    if not isinstance(value, str) or not re.match(PATTERN, value.strip()):
        raise ValueError('a duration such as "90s", "45m", "2h", "1h30m" or "2d"')
    seconds = sum(float(number) * _UNITS[unit] for number, unit in _PART.findall(value))
    return timedelta(seconds=seconds)


def format_duration(value: timedelta | float) -> str:
    """The shortest exact text, e.g. `2h`, `1h30m`, `250ms`; a number is taken as seconds."""
    seconds = value.total_seconds() if isinstance(value, timedelta) else float(value)
    milliseconds = round(seconds * 1000)
    if milliseconds <= 0:
        return "0s"
    parts = []
    for unit in ("d", "h", "m", "s", "ms"):
        size = round(_UNITS[unit] * 1000)
        count, milliseconds = divmod(milliseconds, size)
        if count:
            parts.append(f"{count}{unit}")
    return "".join(parts)


Duration = Annotated[
    timedelta,
    BeforeValidator(parse_duration),
    PlainSerializer(format_duration, return_type=str),
    WithJsonSchema({"type": "string", "pattern": PATTERN, "examples": ["90s", "45m", "2h"]}),
]


def between(shortest: timedelta, longest: timedelta) -> AfterValidator:
    """Limits a duration, as in `Annotated[Duration, between(a, b)]`; both bounds are allowed."""

    def check(value: timedelta) -> timedelta:
        if not shortest <= value <= longest:
            raise ValueError(f"{format_duration(shortest)} to {format_duration(longest)}")
        return value

    return AfterValidator(check)
