"""Compiles a JSONata text to a Python function.

    syntax tree -> Python source -> function(variables, run) -> value, or UnsureError

The library parses, and it has the last word: what is not compiled, and whatever the compiled form does not
know for sure (every error among it), the library evaluates. So nothing has to be equal but the values.

Values never change, so a path that is read again on the same way through the source is read once.

Its bounds hold as well: each compiled expression and each lambda adds what the library would visit at most,
each loop its items times its nodes, and the library decides where this could be too much.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

from jsonata.functions import Functions

from workflows.local.step_functions.jsonata.compiled import library_values, operators
from workflows.local.step_functions.jsonata.compiled.library_values import MAX_DEPTH, MAX_STEPS, UnsureError
from workflows.local.step_functions.jsonata.compiled.quick_functions import string
from workflows.local.step_functions.jsonata.compiled.source import UNDEFINED, Source, UnsupportedError
from workflows.local.step_functions.jsonata.compiled.tree import write
from workflows.local.step_functions.jsonata.json_values import NULL


class Run(Protocol):
    """The parts of a world that a compiled expression asks for."""

    @property
    def functions(self) -> Mapping[str, Any]:
        """Functions by their names, for expressions that use one as a value, and Step Functions' own."""

    def millis(self) -> int:
        """The clock's time."""


Compiled = Callable[[Mapping[str, Any], Run], Any]

_UNBOUND = object()


_NAMES: dict[str, Any] = {
    **{name: value for name, value in vars(library_values).items() if callable(value)},
    **{name: value for name, value in vars(operators).items() if callable(value)},
    "F_string": string,
    "NULL": NULL,
    "SURE": library_values.SURE,
    "UNBOUND": _UNBOUND,
    "UnsureError": UnsureError,
    "MAX_DEPTH": MAX_DEPTH,
    "MAX_STEPS": MAX_STEPS,
    "looked_up": Functions.lookup,
}


def compiled(text: str, tree: Any, functions: frozenset[str]) -> tuple[Compiled, frozenset[str]] | None:
    """Returns a syntax tree's function and the functions it assumes; None when only the library can.

    `functions` are the names that every expression knows.
    """
    source = Source(write, functions)
    try:
        result = write(source, tree, UNDEFINED)
    except (UnsupportedError, RecursionError):
        return None
    if source.extent.deepest > MAX_DEPTH or source.extent.nodes > MAX_STEPS:
        return None
    head = [
        "def expression(V, R):",
        f" B = [{source.extent.deepest}, {source.extent.nodes}]",
        *(f" {code} = V.get({name!r})" for name, code in source.free.items()),
    ]
    whole = "\n".join([*head, *source.lines, f" return {result.code}", ""])
    known = {**_NAMES, **source.constants}
    try:
        exec(compile(whole, f"<JSONata {text[:60]}>", "exec"), known)
    except (SyntaxError, RecursionError, MemoryError):  # nested deeper than Python reads
        return None
    function: Compiled = known["expression"]
    return function, frozenset(source.used)
