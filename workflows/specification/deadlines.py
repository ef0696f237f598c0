"""Deadlines as people write them: how long from the start, a time of day with its zone, or a moment.

    36h      07:30 Europe/Berlin      07:30+01:00      2026-12-01T06:00:00Z

The machine knows no time zones, so the offsets of a named zone are handed to it as data (`offsets`); a run
input, which the machine reads by itself, gives the offset.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, time, timedelta
from typing import Annotated
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator, WithJsonSchema

from workflows.specification.durations import PATTERN, parse_duration

_OFFSET = r"(Z|[+-][0-9]{2}:[0-9]{2})"
_TIME = r"([01][0-9]|2[0-3]):[0-5][0-9]"
MOMENT = rf"^[0-9]{{4}}-[0-9]{{2}}-[0-9]{{2}}T{_TIME}(:[0-5][0-9])?{_OFFSET}$"
TIME_OF_DAY = rf"^{_TIME}{_OFFSET}$"
ZONED = rf"^{_TIME} [A-Za-z][A-Za-z0-9_+/-]*$"
INPUT_PATTERN = "|".join((PATTERN.replace(r"\d", "[0-9]").replace(r"\.", "[.]"), TIME_OF_DAY, MOMENT))
"""What a run input may say; without backslashes, because it stands in JSON and in JSONata."""

EXAMPLES = '"36h", "07:30 Europe/Berlin", "07:30+01:00" or "2026-12-01T06:00:00Z"'
_TABLE = (datetime(2025, 1, 1, tzinfo=UTC), datetime(2046, 1, 1, tzinfo=UTC))  # of a zone's offsets


def due(text: str, start: datetime) -> datetime:
    """The moment that a deadline means for a run that starts at `start` (an aware datetime).

    Raises ValueError for text that is no deadline.
    """
    if re.match(PATTERN, text):
        return start + parse_duration(text)
    if re.match(MOMENT, text):
        return datetime.fromisoformat(text)
    if re.match(TIME_OF_DAY, text):
        clock = time.fromisoformat(text)
        today = datetime.combine(start.astimezone(clock.tzinfo).date(), clock)
        return today if today > start else today + timedelta(days=1)
    if re.match(ZONED, text):
        hours, _, zone = text.partition(" ")
        local = start.astimezone(_zone(zone))
        today = datetime.combine(local.date(), time.fromisoformat(hours), tzinfo=_zone(zone))
        return today if today > start else today + timedelta(days=1)
    raise ValueError(f"a deadline such as {EXAMPLES}")


def offsets(text: str) -> list[tuple[int, int]]:
    """The offsets of a named zone from UTC: (from when, in milliseconds since 1970; offset in milliseconds).

    Empty for a deadline that names no zone. From 2025 to 2045, as the zone's rules stand today.
    """
    if not re.match(ZONED, text):
        return []
    zone = _zone(text.partition(" ")[2])
    found: list[tuple[int, int]] = []
    moment, end = _TABLE
    while moment < end:
        offset = _millis(moment.astimezone(zone).utcoffset() or timedelta())
        if not found or found[-1][1] != offset:
            found.append((round(_change(moment, zone).timestamp() * 1000) if found else 0, offset))
        moment += timedelta(days=1)
    return found


def _change(after: datetime, zone: ZoneInfo) -> datetime:
    """The minute in the day before `after` from which the offset is that at `after`."""
    low, high = after - timedelta(days=1), after
    offset = after.astimezone(zone).utcoffset()
    while high - low > timedelta(minutes=1):
        middle = low + (high - low) / 2
        low, high = (low, middle) if middle.astimezone(zone).utcoffset() == offset else (middle, high)
    return high.replace(second=0, microsecond=0)


def _millis(span: timedelta) -> int:
    return round(span.total_seconds() * 1000)


def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError(f"a time zone such as Europe/Berlin or UTC, and {name} is none") from None


def _checked(text: str) -> str:
    due(text, datetime.now(UTC))
    return text


Deadline = Annotated[
    str,
    AfterValidator(_checked),
    WithJsonSchema({"type": "string", "examples": ["36h", "07:30 Europe/Berlin", "2026-12-01T06:00:00Z"]}),
]
