"""The library's values, as compiled expressions handle them: sequences, truth, text, and steps by name.

Every function here answers as the library does, or raises `UnsureError`, and then the library is asked.
`budget` is a list of two numbers that compiled code carries along: depth and steps so far (`compiler.py`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from jsonata.functions import Functions
from jsonata.jsonata import Jsonata
from jsonata.utils import Utils

from workflows.local.step_functions.jsonata.json_values import LISTS, NULL

MAX_DEPTH = 100
MAX_STEPS = 500_000

NUMBERS: frozenset[Any] = frozenset({int, float})
SURE: frozenset[Any] = frozenset({str, int, float, bool, dict})
"""What a name in an object may hold for `object.name` to be just that."""


class UnsureError(Exception):
    """The compiled form does not know the answer, or the answer is an error: the library is asked."""


class Array(Utils.JList):  # type: ignore[misc]
    """An array that an expression made; the library's own sets five flags on each, at a microsecond."""

    # Of the class: on each array they would be written anew.
    sequence = outer_wrapper = tuple_stream = keep_singleton = cons = False
    __init__ = list.__init__


class Sequenced(Array):
    """The result of a path or `$map`: it stands for its only item, and for undefined if it is empty."""

    sequence = True


class Closure(Jsonata.JFunctionCallable):  # type: ignore[misc]
    """A lambda; the library's own `$map` and the like can call it, too."""

    __slots__ = ("arguments", "arity", "function")

    def __init__(self, function: Any, arity: int) -> None:
        self.function = function
        self.arity = arity
        self.arguments = range(arity)  # of which the library asks the length

    def call(self, _input: Any, arguments: Sequence[Any]) -> Any:
        """Calls the lambda; surplus arguments are dropped, and for missing ones the library is asked."""
        return self.function(*arguments[: self.arity])


def single(value: Any) -> Any:
    """Returns the value that a sequence stands for; every other value stands for itself."""
    if isinstance(value, Utils.JList) and value.sequence and len(value) < 2:
        return value[0] if value else None
    return value


def truth(value: Any) -> bool:
    """Returns the effective boolean of a value; that of undefined is false."""
    kind = value.__class__
    if kind is bool:
        return bool(value)
    if kind is str or kind is dict:
        return len(value) > 0
    return value is not None and bool(Functions.to_boolean(value))


def text(value: Any) -> str:
    """Returns the text that `&` makes of a value; undefined is an empty text."""
    kind = value.__class__
    if kind is str:
        return str(value)
    if kind is int and -(10**15) < value < 10**15:  # beyond, the library rounds to 15 digits
        return str(value)
    if kind is float and 1e-4 <= abs(value) < 1e15:
        digits = f"{value:.15g}"
        if "." in digits:  # what is whole by then has its own way to be written
            return digits
    return "" if value is None else str(Functions.string(value, None))


def listed(value: Any) -> Any:
    """Returns the items that a predicate goes through."""
    if isinstance(value, list):
        return value
    return () if value is None else (value,)


def items(value: Any) -> Any:
    """The items that a step hands to the next one; a constructed array may be one of them, or all."""
    if isinstance(value, list):
        if isinstance(value, Utils.JList) and value.cons:
            raise UnsureError
        return value
    return () if value is None else (value,)


def flat(results: list[Any], last: bool) -> Any:
    """The results of a step, one for each item, as the next step sees them."""
    if last and len(results) == 1:
        [only] = results
        if isinstance(only, list) and not (isinstance(only, Utils.JList) and only.sequence):
            return only
    found = Sequenced()
    for each in results:
        if not isinstance(each, list) or (isinstance(each, Utils.JList) and each.cons):
            found.append(each)
        else:
            found.extend(each)
    return found


def spend(budget: list[int], steps: int) -> None:
    """Count what the library would have counted, or more; beyond its bound it has to count itself."""
    budget[1] += steps
    if budget[1] > MAX_STEPS:
        raise UnsureError


def by_name(value: Any, name: str, budget: list[int], times: int = 1) -> Any:
    """`value.name`, the most frequent expression of all; `times`: how often the value is asked for."""
    if value.__class__ is dict:
        found = value.get(name)
        if found is None:
            return NULL if name in value else None
        return single(found) if found.__class__ is Sequenced else found
    return by_names(value, (name,), budget, times)


def by_names(value: Any, names: tuple[str, ...], budget: list[int], times: int = 1) -> Any:
    """`value.a.b.c`: from object to object, as nearly always, or over whatever there is."""
    found = value
    for name in names:
        if found.__class__ is not dict:
            return _through(value, names, budget, times)
        inner = found.get(name)
        if inner is None:
            return _through(value, names, budget, times) if name in found else None
        found = inner
    return single(found) if found.__class__ is Sequenced else found


def _through(value: Any, names: tuple[str, ...], budget: list[int], times: int) -> Any:
    """Follows names through lists as well, which the library would walk each time."""
    found: Any = items(value)
    for place, name in enumerate(names, start=1):
        spend(budget, len(found) * times)
        results = []
        for item in found:
            each = single(Functions.lookup(item, name))
            if each is not None:
                results.append(each)
        found = flat(results, place == len(names))
        if not found:
            # An empty array that is the last step's only result is that array.
            return single(found)
    return single(found)


def wildcard(value: Any) -> Any:
    """`value.*`, one step of a path."""
    if value.__class__ is dict and not any(isinstance(each, list) for each in value.values()):
        return single(Sequenced(value.values()))
    return single(Jsonata.evaluate_wildcard(_LIBRARY, None, value))


_LIBRARY = object.__new__(Jsonata)
"""For those of its methods that need nothing of an expression."""


def at(value: Any, index: int) -> Any:
    """`value[index]`, not yet reduced to a single item."""
    found = listed(value)
    if index < 0:
        index += len(found)
    if not 0 <= index < len(found):
        return None
    item = found[index]
    if isinstance(item, list):
        return item
    return Sequenced((NULL if item is None else item,))


def chosen(answer: Any, place: int, count: int) -> bool:
    """Whether a predicate keeps the item at `place` of `count`: by its truth, or by its position."""
    if Utils.is_numeric(answer):
        answer = (answer,)
    elif not Utils.is_array_of_numbers(answer):
        return truth(answer)
    return any((int(each) + count if int(each) < 0 else int(each)) == place for each in answer)


def array(*values: Any) -> Any:
    """`[a, b]`: arrays in it are taken apart (one that is to stay comes in a tuple), nothing is left out."""
    made = Array()
    for value in values:
        if isinstance(value, LISTS):
            made.extend(value)
        elif value is not None:
            made.append(value)
    return made


def keyed(keys: list[Any], values: list[Any]) -> dict[str, Any]:
    """`{key: value}` with keys that are worked out."""
    named = [key for key in keys if key is not None]
    if not all(key.__class__ is str for key in named) or len(set(named)) < len(named):
        raise UnsureError
    return {
        key: value for key, value in zip(keys, values, strict=True) if key is not None and value is not None
    }


def called(function: Any, arguments: list[Any], context: Any, tail: bool = False) -> Any:
    """Call whatever function a variable holds; what it returns is not yet reduced to a single item.

    A function of JSONata's that a lambda ends with (`tail`) may take its context from the lambda's caller.
    """
    if function.__class__ is Closure:
        return function.call(None, arguments)
    if isinstance(function, Jsonata.JFunction) and not tail:
        return function.call(context, function.validate(arguments, context))
    raise UnsureError
