"""JSON texts, as AWS writes and reads them."""

from __future__ import annotations

import json
import math
from typing import Any

import orjson

# JSON values are trees: nothing has to be looked at twice to find that out.
_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), check_circular=False).encode
# What only orjson can write is no JSON value: it is refused, as by Python's own writer.
_ONLY_JSON = orjson.OPT_PASSTHROUGH_DATETIME | orjson.OPT_PASSTHROUGH_DATACLASS


def text_of(value: Any) -> str:
    """Return the compact JSON text of a value, as AWS writes it in histories.

    By orjson, in a tenth of the time; by Python for integers beyond 64 bits and half surrogate pairs.
    """
    try:
        return orjson.dumps(value, None, _ONLY_JSON).decode()
    except TypeError:
        return _encode(value)


def size_of(text: str) -> int:
    """Return the bytes of a text in UTF-8."""
    return len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))


class Unwritten:
    """The JSON text of a value that never changes again, written when it is first read by `str(text)`.

    A planned run's histories hold the descriptions of its jobs, and nobody reads most of them. `at_most`: the
    bytes that the text takes in UTF-8, or more. There is no null in it.
    """

    __slots__ = ("_text", "_value", "at_most")

    def __init__(self, value: Any, at_most: int) -> None:
        self._value = value
        self._text: str | None = None
        self.at_most = at_most

    def __str__(self) -> str:
        if self._text is None:
            self._text = text_of(self._value)
        return self._text


Text = str | Unwritten


def read_json(text: str) -> Any:
    """Read strict JSON: Python's reader alone also takes NaN, Infinity and 1e999.

    An integer beyond 64 bits is read as JavaScript does, as the nearest float. Raises ValueError, or
    RecursionError for what is nested too deeply to walk.
    """
    try:
        return orjson.loads(text)
    except ValueError:  # for the words of the error, and for half surrogate pairs
        return json.loads(text, parse_constant=_refuse, parse_float=_finite)


def _refuse(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"the number {text} is too large")
    return number
