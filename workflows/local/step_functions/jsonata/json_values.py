"""Converts JSON on its way into an expression and out of it, and defines the errors when it cannot."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

from jsonata.utils import Utils

from workflows.local.json_texts import Text, Unwritten

NULL = Utils.NULL_VALUE


class ExpressionError(Exception):
    """An expression does not parse or threw while it was evaluated; the text is JSONata's own."""


class UndefinedError(Exception):
    """An expression returned nothing."""


class UnsupportedResultError(Exception):
    """An expression returned something that JSON cannot hold: a function, a regular expression."""


def prepare(value: Any, text: Text | None = None) -> Any:
    """Return JSON as an expression may see it: with `NULL_VALUE` for None; the same object if none.

    Lists and objects without a null in them are shared, not copied. `text`, the value's own where it is
    known, tells at once that there is none.
    """
    if text is not None and (isinstance(text, Unwritten) or not may_hold_null(text)):
        return value
    if value is None:
        return NULL
    if isinstance(value, dict):
        return _each(prepare, value, value.items())
    if isinstance(value, list):
        return _each(prepare, value, enumerate(value))
    return value


def may_hold_null(text: str) -> bool:
    """Whether a JSON text has a null in it, or the word in one of its strings."""
    # From behind: the search from the front looks again at every l, of which a description has many.
    return text.rfind("null") >= 0


ATOMS = frozenset({str, bool, int})
LISTS = (list, tuple)  # written out in a test of a class, `list | tuple` is made anew each time


def plain(value: Any) -> Any:
    """Return the library's result as plain JSON: the same object if it is, and shares what in it is."""
    kind = value.__class__
    if kind in ATOMS:
        return value
    if kind is dict:
        return _each(plain, value, value.items())
    if kind is list:
        return _each(plain, value, enumerate(value))
    if isinstance(value, LISTS):
        return [item if item.__class__ in ATOMS else plain(item) for item in value]
    if value is None or value is NULL:
        return None
    if kind is float:
        if not math.isfinite(value):
            raise ExpressionError("D1001: Number out of range: " + repr(value))
        return int(value) if value.is_integer() and abs(value) < 2**53 else value
    raise UnsupportedResultError


def _each(change: Callable[[Any], Any], value: Any, items: Iterable[tuple[Any, Any]]) -> Any:
    """Returns the object or list with each item changed, or itself if no item changes."""
    made = None
    for key, item in items:
        if item.__class__ not in ATOMS:
            changed = change(item)
            if changed is not item:
                made = value.copy() if made is None else made
                made[key] = changed
    return value if made is None else made
