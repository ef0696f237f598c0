"""A JSONata text as a Python function.

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

from workflows.local.step_functions.jsonata.compiled import operators, values
from workflows.local.step_functions.jsonata.compiled.functions import string
from workflows.local.step_functions.jsonata.compiled.source import UNDEFINED, Source, UnsupportedError
from workflows.local.step_functions.jsonata.compiled.tree import write
from workflows.local.step_functions.jsonata.compiled.values import UnsureError
from workflows.local.step_functions.jsonata.depth import MAX_DEPTH, MAX_STEPS
from workflows.local.step_functions.jsonata.values import NULL


class Run(Protocol):
    """What belongs to one world."""

    @property
    def functions(self) -> Mapping[str, Any]:
        """Functions by their names, for expressions that use one as a value, and Step Functions' own."""

    def millis(self) -> int:
        """The clock's time."""


Compiled = Callable[[Mapping[str, Any], Run], Any]

_UNBOUND = object()


_NAMES: dict[str, Any] = {
    **{name: value for name, value in vars(values).items() if callable(value)},
    **{name: value for name, value in vars(operators).items() if callable(value)},
    "F_string": string,
    "NULL": NULL,
    "SURE": values.SURE,
    "UNBOUND": _UNBOUND,
    "UnsureError": UnsureError,
    "MAX_DEPTH": MAX_DEPTH,
    "MAX_STEPS": MAX_STEPS,
    "looked_up": Functions.lookup,
}


def compiled(
    text: str, tree: Any, functions: frozenset[str], rules: Mapping[str, Callable[..., Any]]
) -> tuple[Compiled, frozenset[str]] | None:
    """The function for a syntax tree, and the functions that it takes for granted; None: the library's.

    `functions` are the names that every expression knows, `rules` those that are given in Python.
    """
    source = Source(write, functions, frozenset(rules))
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
    known = {**_NAMES, **source.constants, **{f"rule_{name}": rule for name, rule in rules.items()}}
    try:
        exec(compile(whole, f"<JSONata {text[:60]}>", "exec"), known)
    except (SyntaxError, RecursionError, MemoryError):  # nested deeper than Python reads
        return None
    function: Compiled = known["expression"]
    return function, frozenset(source.used)
