"""Calls the library's own functions: with their check of the arguments, or without it for usual types."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache
from operator import contains
from typing import Any

from jsonata.jsonata import Jsonata
from jsonata.utils import Utils

from workflows.local.step_functions.jsonata.compiled.library_values import NUMBERS, UnsureError

Function = Callable[..., Any]

LIBRARY: dict[str, Any] = {
    name: value
    for name, value in Jsonata.static_frame.bindings.items()
    if isinstance(value, Jsonata.JNativeFunction)
}
UNSAFE = frozenset({"eval", "now", "millis", "random", "shuffle", "sort"})
"""Functions that the library ties to a thread, or that are Step Functions' own."""

TEXT, NUMBER = frozenset({str}), NUMBERS
PATTERN = frozenset({str, re.Pattern})
LONGEST_REMEMBERED = 512  # characters of an argument


def checked(name: str, *arguments: Any, context: Any = None) -> Any:
    """Calls a function of the library's with its check of the arguments."""
    function = LIBRARY[name]
    return function.call(context, function.validate(list(arguments), context))


def typed(name: str, *kinds: frozenset[type]) -> Function:
    """The library's function, called at once for arguments of exactly these types.

    With others the context may come in, or it is an error.
    """
    function = LIBRARY[name]
    method, missing = function.method, (None,) * (function.nargs - len(kinds))

    def undefined(arguments: tuple[Any, ...]) -> Any:
        for argument, kind in zip(arguments, kinds, strict=True):
            if argument is not None and argument.__class__ not in kind:
                raise UnsureError
        return checked(name, *arguments)

    def call(*arguments: Any) -> Any:
        if not all(map(contains, kinds, map(type, arguments))):
            return undefined(arguments)
        found = method(*arguments, *missing)
        return Utils.convert_number(found) if found.__class__ in NUMBERS else found

    return call


def known(name: str, *kinds: frozenset[type]) -> Function:
    """The same for a function whose answer is a text or a number: it remembers the last answers.

    A run asks for few different ones: the moments of a job, its settings. Long texts take too much room.
    """
    call = typed(name, *kinds)
    remembered = lru_cache(maxsize=1024, typed=True)(call)

    def ask_one(argument: Any) -> Any:
        if argument.__class__ is str and len(argument) > LONGEST_REMEMBERED:
            return call(argument)
        return remembered(argument)

    def ask(*arguments: Any) -> Any:
        for each in arguments:
            if each.__class__ is str and len(each) > LONGEST_REMEMBERED:
                return call(*arguments)
        return remembered(*arguments)

    return ask_one if len(kinds) == 1 else ask
