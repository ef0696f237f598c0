"""When a schedule starts a run: EventBridge Scheduler's expressions, checked before they are deployed.

    cron(0 6 ? * MON-FRI *)      rate(12 hours)      at(2026-12-01T06:00:00)

Sources: "Schedule types" in the user guide of EventBridge Scheduler.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime
from typing import Annotated
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator

from workflows.specification.settings import problem

EXAMPLES = "cron(0 6 ? * MON-FRI *), rate(12 hours) or at(2026-12-01T06:00:00)"
_MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
_DAYS = ("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT")
_RATE = re.compile(r"rate\(([1-9][0-9]{0,5}) (minute|hour|day)s?\)")
# (name, least, most, names that count from the least one, what else the field takes)
_FIELDS: tuple[tuple[str, int, int, Sequence[str], str], ...] = (
    ("minutes", 0, 59, (), ""),
    ("hours", 0, 23, (), ""),
    ("day of month", 1, 31, (), r"\?|L|LW|([1-9]|[12][0-9]|3[01])W"),
    ("month", 1, 12, _MONTHS, ""),
    ("day of week", 1, 7, _DAYS, r"\?|L|([1-7]|SUN|MON|TUE|WED|THU|FRI|SAT)(L|#[1-5])"),
    ("year", 1970, 2199, (), ""),
)


def _as_expression(text: str) -> str:
    """Raises the problem of an expression that EventBridge Scheduler would refuse."""
    if text.startswith("cron(") and text.endswith(")"):
        _check_cron(text.removeprefix("cron(").removesuffix(")").split())
    elif text.startswith("at(") and text.endswith(")"):
        try:
            datetime.strptime(text, "at(%Y-%m-%dT%H:%M:%S)")
        except ValueError:
            raise _wrong(text, "at(yyyy-mm-ddThh:mm:ss)") from None
    elif not _RATE.fullmatch(text):
        raise _wrong(text, EXAMPLES)
    return text


def _check_cron(fields: Sequence[str]) -> None:
    if len(fields) != len(_FIELDS):
        raise _wrong(
            f"{len(fields)} fields", "cron(minutes hours day-of-month month day-of-week year), six of them"
        )
    for text, (name, least, most, names, more) in zip(fields, _FIELDS, strict=True):
        for part in text.split(","):
            if not (more and re.fullmatch(more, part)) and not _is_range(part, least, most, names):
                known = f" or {names[0]}-{names[-1]}" if names else ""
                raise _wrong(f"{part} as {name}", f"{least}-{most}{known}")
    if (fields[2] == "?") == (fields[4] == "?"):
        raise _wrong(
            f"`{fields[2]}` as day of month and `{fields[4]}` as day of week", "`?` as exactly one of them"
        )


def _is_range(part: str, least: int, most: int, names: Sequence[str]) -> bool:
    """`*`, `5`, `1-5`, `MON-FRI`, and each with a step such as `0/15`."""
    whole, slash, step = part.partition("/")
    if slash and not re.fullmatch(r"[1-9][0-9]{0,3}", step):
        return False
    if whole == "*":
        return True
    ends = whole.split("-")
    return len(ends) <= 2 and all(_is_value(end, least, most, names) for end in ends)


def _is_value(text: str, least: int, most: int, names: Sequence[str]) -> bool:
    return text in names or (re.fullmatch(r"[0-9]{1,4}", text) is not None and least <= int(text) <= most)


def _wrong(found: str, expected: str) -> Exception:
    return problem("schedule", f"found {found}, expected {expected}")


def _as_zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise problem(
            "timezone", f"found {name}, expected a time zone such as UTC or Europe/Berlin"
        ) from None
    return name


Expression = Annotated[str, AfterValidator(_as_expression)]
Zone = Annotated[str, AfterValidator(_as_zone)]
