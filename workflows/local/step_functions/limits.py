"""Step Functions' quotas on data and history (AWS.md 9.3, 9.4), and times as it writes them."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

import orjson

from workflows.local.json_texts import Text, Unwritten, size_of, text_of
from workflows.local.service_errors import TaskError

MAX_PAYLOAD = 262_144
"""Bytes of UTF-8 JSON in a state's input or output, a task's result, a variable."""

ALWAYS_FITS = MAX_PAYLOAD // 4
"""Characters of a text that is not larger, whatever it says: UTF-8 takes four bytes at most."""

MAX_EVENTS = 25_000
"""Events in one execution's history."""

MAX_DEFINITION = 1_048_576
"""Bytes of a state machine's definition."""

REDRIVABLE_DAYS = 14
MAX_OPEN_DAYS = 365

RUNTIME = "States.Runtime"
DATA_LIMIT = "States.DataLimitExceeded"

_WHOLE_SECONDS = orjson.OPT_OMIT_MICROSECONDS


@lru_cache(maxsize=1024)  # a description tells the same few moments again and again
def timestamp(moment: datetime) -> str:
    """Write a time as Step Functions does: UTC, milliseconds, `Z`; by orjson, in a third of the time."""
    if moment.tzinfo is not UTC:
        moment = moment.astimezone(UTC)
    quoted = orjson.dumps(moment, None, _WHOLE_SECONDS)
    return f"{quoted[1:20].decode()}.{moment.microsecond // 1000:03}Z"


def fitting(text: Text, name: str) -> Text:
    """Return the text of what state or task `name` gave, or raise States.DataLimitExceeded."""
    if isinstance(text, Unwritten):
        if text.at_most <= MAX_PAYLOAD:
            return text
        text = str(text)
    if len(text) > ALWAYS_FITS and size_of(text) > MAX_PAYLOAD:
        raise TaskError(
            DATA_LIMIT,
            f"The state/task '{name}' returned a result with a size exceeding the maximum number "
            "of bytes service limit.",
        )
    return text


def fitting_variable(value: Any, name: str) -> str:
    """Return the JSON text of a variable, or raise States.DataLimitExceeded."""
    text = text_of(value)
    if len(text) > ALWAYS_FITS and size_of(text) > MAX_PAYLOAD:
        raise TaskError(
            DATA_LIMIT,
            f"The size of the variable '{name}' exceeds the maximum of {MAX_PAYLOAD} bytes.",
        )
    return text
