"""Makes a function for a shape, once, that tells whether a request keeps to it.

    accepted = acceptance(shape)(request)      the request without its nulls, or MISFIT

What does not fit is not explained here: `service_model.checked` then walks the shape again and says what is
wrong with it. A plan sends some thousand requests a run, and all of them fit.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from botocore.model import Shape

MISFIT: Any = object()
Acceptance = Callable[[Any], Any]
Pattern = Callable[[str], "re.Pattern[str] | None"]

_TYPES: dict[str, tuple[type, ...]] = {
    "integer": (int,),
    "long": (int,),
    "float": (int, float),
    "double": (int, float),
}


def acceptance(shape: Shape, pattern: Pattern, known: dict[str, Acceptance] | None = None) -> Acceptance:
    """The function for a shape; `pattern` compiles one of the model's patterns, None if Python cannot."""
    known = {} if known is None else known
    if shape.name in known:
        return known[shape.name]
    # A shape may contain itself: what is inside finds this first, and asks again when it is called.
    known[shape.name] = lambda value: known[shape.name](value)
    make = _MAKERS.get(shape.type_name, _simple)
    known[shape.name] = make(shape, pattern, known)
    return known[shape.name]


def _structure(shape: Any, pattern: Pattern, known: dict[str, Acceptance]) -> Acceptance:
    members = {name: acceptance(member, pattern, known) for name, member in shape.members.items()}
    required = tuple(shape.required_members)

    def accept(value: Any) -> Any:
        if not isinstance(value, dict):
            return MISFIT
        kept = {}
        for name, each in value.items():
            member = members.get(name)
            if member is None:
                return MISFIT
            if each is not None:
                found = kept[name] = member(each)
                if found is MISFIT:
                    return MISFIT
        for name in required:
            if name not in kept:
                return MISFIT
        return kept

    return accept


def _list(shape: Any, pattern: Pattern, known: dict[str, Acceptance]) -> Acceptance:
    member, within = acceptance(shape.member, pattern, known), _bounds(shape)

    def accept(value: Any) -> Any:
        if not isinstance(value, list | tuple) or not within(len(value)):
            return MISFIT
        kept = [MISFIT if each is None else member(each) for each in value]
        return MISFIT if any(each is MISFIT for each in kept) else kept

    return accept


def _map(shape: Any, pattern: Pattern, known: dict[str, Acceptance]) -> Acceptance:
    key, member = acceptance(shape.key, pattern, known), acceptance(shape.value, pattern, known)
    within = _bounds(shape)

    def accept(value: Any) -> Any:
        if not isinstance(value, dict) or not within(len(value)):
            return MISFIT
        kept = {}
        for name, each in value.items():
            found = kept[name] = MISFIT if each is None else member(each)
            if found is MISFIT or key(name) is MISFIT:
                return MISFIT
        return kept

    return accept


def _string(shape: Any, pattern: Pattern, known: dict[str, Acceptance]) -> Acceptance:
    least, most = _limits(shape)
    enum = frozenset(shape.enum or ())
    text = shape.metadata.get("pattern")
    compiled = pattern(text) if text else None
    matches = compiled.fullmatch if compiled else None

    def accept(value: Any) -> Any:
        if not isinstance(value, str) or not least <= len(value) <= most or (enum and value not in enum):
            return MISFIT
        return value if matches is None or matches(value) else MISFIT

    return accept


def _number(shape: Any, pattern: Pattern, known: dict[str, Acceptance]) -> Acceptance:
    within, types = _bounds(shape), _TYPES[shape.type_name]

    def accept(value: Any) -> Any:
        fits = isinstance(value, types) and not isinstance(value, bool) and within(value)  # type: ignore[arg-type]
        return value if fits else MISFIT

    return accept


def _simple(shape: Any, pattern: Pattern, known: dict[str, Acceptance]) -> Acceptance:
    def accept(value: Any) -> Any:
        if shape.type_name == "boolean":
            return value if isinstance(value, bool) else MISFIT
        if shape.type_name == "timestamp":
            fits = isinstance(value, datetime | int | float) and not isinstance(value, bool)
            return value if fits else MISFIT
        if shape.type_name == "blob":
            return value if isinstance(value, str | bytes | bytearray) or hasattr(value, "read") else MISFIT
        return MISFIT  # a type that nobody has thought of: the long way knows

    return accept


def _bounds(shape: Any) -> Callable[[float], bool]:
    least, most = _limits(shape)
    return lambda size: bool(least <= size <= most)


def _limits(shape: Any) -> tuple[float, float]:
    low, high = shape.metadata.get("min"), shape.metadata.get("max")
    return float("-inf") if low is None else low, float("inf") if high is None else high


_MAKERS: Mapping[str, Callable[[Any, Pattern, dict[str, Acceptance]], Acceptance]] = {
    "structure": _structure,
    "list": _list,
    "map": _map,
    "string": _string,
    **dict.fromkeys(("integer", "long", "float", "double"), _number),
}
