"""JSONata's functions without the reading of their signatures, for arguments of the usual types.

For every other argument, and for a function that is not here, the library's own is called with its checks.
"""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

from jsonata.functions import Functions
from jsonata.utils import Utils

from workflows.local.step_functions.jsonata.compiled.library import (
    NUMBER,
    PATTERN,
    TEXT,
    Function,
    checked,
    known,
    typed,
)
from workflows.local.step_functions.jsonata.compiled.library_values import (
    NUMBERS,
    Array,
    Closure,
    Sequenced,
    UnsureError,
    array,
    text,
    truth,
)
from workflows.local.step_functions.jsonata.json_values import NULL
from workflows.local.step_functions.jsonata.own_functions import hash_of, parse

STARTS = frozenset({str, bool, int, float, dict})


def lookup(value: Any, key: Any) -> Any:
    """`$lookup`."""
    if value is None and key.__class__ is str:
        return None
    if value.__class__ is dict and key.__class__ is str:
        found = value.get(key)
        if found.__class__ is float:
            return Utils.convert_number(found)  # as the library does with what its functions return
        return NULL if found is None and key in value else found
    return checked("lookup", value, key)


def merge(objects: Any) -> Any:
    """`$merge`."""
    made: dict[str, Any] = {}
    if isinstance(objects, list):
        for each in objects:
            if each.__class__ is not dict:
                return checked("merge", objects)
            made.update(each)
        return made
    return dict(objects) if objects.__class__ is dict else checked("merge", objects)


def merged(*objects: Any) -> Any:
    """`$merge` of an array that is written out: most are objects, and then it need not be made."""
    made: dict[str, Any] = {}
    for each in objects:
        if each.__class__ is dict:
            made.update(each)
        elif each is not None:
            return merge(array(*objects))
    return made


def count(value: Any) -> int:
    """`$count`; undefined has no items, and null, as the library reads it, neither."""
    if isinstance(value, list):
        return len(value)
    return 0 if value is None or value is NULL else 1


def over_numbers(name: str, function: Function) -> Function:
    """`$sum`, `$min`, `$max`."""

    def call(values: Any) -> Any:
        if isinstance(values, list) and values and NUMBERS.issuperset(map(type, values)):
            return Utils.convert_number(function(values))
        return checked(name, values)

    return call


def of_written(name: str, function: Function) -> Function:
    """Makes `$sum`, `$min` or `$max` of an array that is written out: one of numbers is never made."""
    over = over_numbers(name, function)

    def call(*values: Any) -> Any:
        if values and NUMBERS.issuperset(map(type, values)):
            return Utils.convert_number(function(values))
        return over(array(*values))

    return call


def to_whole(name: str, function: Function) -> Function:
    """`$floor` and `$ceil`."""
    unusual = typed(name, NUMBER)

    def call(value: Any) -> Any:
        return function(float(value)) if value.__class__ in NUMBERS else unusual(value)

    return call


_to_millis = typed("toMillis", TEXT)


def to_millis(value: Any) -> Any:
    """`$toMillis`; a year alone, or a time without a zone, is the library's."""
    if value.__class__ is str and value[4:5] == "-":
        moment = datetime.fromisoformat(value)
        if moment.tzinfo is not None:
            return int(moment.timestamp() * 1000)
    return _to_millis(value)


_from_millis = typed("fromMillis", NUMBER)
_1970 = datetime(1970, 1, 1, tzinfo=UTC)
_YEARS = range(8_000_000_000_000)  # 1970 to 2223: later, the library's float loses milliseconds


def from_millis(value: Any) -> Any:
    """`$fromMillis`; the library reads its picture of a moment part by part."""
    if value.__class__ is int and value in _YEARS:
        moment = _1970 + timedelta(milliseconds=value)
        return moment.isoformat(timespec="milliseconds")[:-6] + "Z"
    return _from_millis(value)


def parsed(value: Any) -> Any:
    """`$parse`; of nothing it may be the context, of all else an error."""
    if value.__class__ is not str:
        raise UnsureError
    return parse(value)


def hashed(value: Any, algorithm: Any) -> Any:
    """`$hash`; of nothing it may be that of the context, of all else an error."""
    if value.__class__ is not str or algorithm.__class__ is not str:
        raise UnsureError
    return hash_of(value, algorithm)


_TYPES = {str: "string", int: "number", float: "number", bool: "boolean", dict: "object"}


def type_of(value: Any) -> Any:
    """`$type`."""
    return _TYPES.get(value.__class__) or Functions.type(value)


def string(value: Any) -> Any:
    """`$string`."""
    return None if value is None else text(value)


_substring = known("substring", TEXT, NUMBER, NUMBER)


def substring(value: Any, start: Any, length: Any) -> Any:
    """`$substring`; from the end, or of nothing, the library's."""
    usual = value.__class__ is str and start.__class__ is int and length.__class__ is int
    if usual and start >= 0 and length > 0:
        return value[start : start + length]
    return _substring(value, start, length)


def append(left: Any, right: Any) -> Any:
    """`$append`."""
    found = Functions.append(left, right)
    return Utils.convert_number(found) if found.__class__ in NUMBERS else found


def keys(value: Any) -> Any:
    """`$keys`."""
    return Sequenced(value) if value.__class__ is dict else checked("keys", value)


def distinct(value: Any) -> Any:
    """`$distinct`: that of an array in the input is an array, that of a made one a sequence."""
    if isinstance(value, Array) and len(value) > 1 and all(each.__class__ is str for each in value):
        return Sequenced(dict.fromkeys(value))
    return checked("distinct", value)


def join(values: Any, between: Any = "") -> Any:
    """`$join`."""
    if isinstance(values, list) and between.__class__ is str:
        for each in values:
            if each.__class__ is not str:
                return checked("join", values, between)
        return between.join(values)
    return checked("join", values, between)


def parameters(function: Any) -> int:
    """How many arguments a compiled lambda takes; raises for every other function."""
    if function.__class__ is not Closure:
        raise UnsureError
    return int(function.arity)


def each_call(function: Closure, values: Any) -> Any:
    """Yield what a lambda says of each item."""
    takes, call = parameters(function), function.function
    if takes == 1:
        return (call(value) for value in values)
    if takes == 2:
        return (call(value, place) for place, value in enumerate(values))
    return (function.call(None, (value, place, values)) for place, value in enumerate(values))


def member_calls(function: Closure, value: dict[str, Any]) -> Any:
    """Yield what a lambda says of each member of an object."""
    call = function.function
    if function.arity == 2:
        return (call(item, key) for key, item in value.items())
    return (function.call(None, (item, key, value)) for key, item in value.items())


ITEMS = frozenset({str, bool, int, float, dict})


def map_over(values: Any, function: Any) -> Any:
    """`$map`."""
    if function.__class__ is not Closure:
        return checked("map", values, function)
    if values is None:
        return None
    if values.__class__ in ITEMS:  # what a sequence of one is
        values = [values]
    elif not isinstance(values, list):
        return checked("map", values, function)
    return Sequenced([each for each in each_call(function, values) if each is not None])


def filter_by(values: Any, function: Any) -> Any:
    """`$filter`."""
    if not isinstance(values, list) or function.__class__ is not Closure:
        return checked("filter", values, function)
    answers = each_call(function, values)
    return Sequenced([value for value, kept in zip(values, answers, strict=True) if truth(kept)])


def reduce_by(values: Any, function: Any, start: Any = None) -> Any:
    """`$reduce`."""
    usual = isinstance(values, list) and function.__class__ is Closure and function.arity == 2
    if not usual or not (start is None or start.__class__ in STARTS or isinstance(start, list)):
        return checked("reduce", values, function, start)
    call, left = function.function, iter(values)
    found = next(left, None) if start is None else start
    for value in left:
        found = call(found, value)
    return Utils.convert_number(found) if found.__class__ in NUMBERS else found


def each_of(value: Any, function: Any) -> Any:
    """`$each`."""
    if value is None and function.__class__ is Closure:
        return None
    if value.__class__ is not dict or function.__class__ is not Closure:
        return checked("each", value, function)
    found = member_calls(function, value)
    return Sequenced([each for each in found if each is not None])


def sift(value: Any, function: Any) -> Any:
    """`$sift`."""
    if value.__class__ is not dict or function.__class__ is not Closure:
        return checked("sift", value, function)
    answers = member_calls(function, value)
    kept = {key: item for (key, item), keep in zip(value.items(), answers, strict=True) if truth(keep)}
    return kept or None


FAST: dict[tuple[str, int], Function] = {
    ("lookup", 2): lookup,
    ("merge", 1): merge,
    ("count", 1): count,
    ("sum", 1): over_numbers("sum", sum),
    ("min", 1): over_numbers("min", min),
    ("max", 1): over_numbers("max", max),
    ("type", 1): type_of,
    ("string", 1): string,
    ("append", 2): append,
    ("keys", 1): keys,
    ("distinct", 1): distinct,
    ("join", 1): join,
    ("join", 2): join,
    ("map", 2): map_over,
    ("filter", 2): filter_by,
    ("reduce", 2): reduce_by,
    ("reduce", 3): reduce_by,
    ("each", 2): each_of,
    ("sift", 2): sift,
    ("substring", 2): known("substring", TEXT, NUMBER),
    ("substring", 3): substring,
    ("contains", 2): known("contains", TEXT, PATTERN),
    ("replace", 3): known("replace", TEXT, PATTERN, TEXT),
    ("match", 2): typed("match", TEXT, frozenset({re.Pattern})),
    ("split", 2): typed("split", TEXT, PATTERN),
    ("number", 1): known("number", TEXT | NUMBER),
    ("round", 2): known("round", NUMBER, frozenset({int})),
    ("power", 2): known("power", NUMBER, NUMBER),
    ("toMillis", 1): to_millis,
    ("floor", 1): to_whole("floor", math.floor),
    ("ceil", 1): to_whole("ceil", math.ceil),
    ("fromMillis", 1): from_millis,
    **{
        (name, 1): known(name, TEXT)
        for name in ("length", "trim", "lowercase", "uppercase", "base64encode", "base64decode")
    },
    **{(name, 2): known(name, TEXT, TEXT) for name in ("substringBefore", "substringAfter")},
    **{(name, 1): known(name, NUMBER) for name in ("abs", "sqrt", "round")},
}
"""By name and number of arguments."""

OWN: dict[tuple[str, int], Function] = {("parse", 1): parsed, ("hash", 2): hashed}
"""The same of those that Step Functions adds, and that depend on their arguments only."""

OF_WRITTEN: dict[str, Function] = {
    "merge": merged,
    "sum": of_written("sum", sum),
    "min": of_written("min", min),
    "max": of_written("max", max),
}
"""Functions of an array that is written out as their argument, for its items."""


def library_function(name: str, given: int) -> Function:
    """What to call for a function of JSONata's with so many arguments."""
    return FAST.get((name, given)) or partial(checked, name)
