"""Writes calls of functions, and lambdas."""

from __future__ import annotations

from functools import partial
from typing import Any

from workflows.local.step_functions.jsonata.compiled.library import LIBRARY, UNSAFE
from workflows.local.step_functions.jsonata.compiled.nodes import array_items, is_array
from workflows.local.step_functions.jsonata.compiled.quick_functions import OF_WRITTEN, OWN, library_function
from workflows.local.step_functions.jsonata.compiled.source import (
    UNDEFINED,
    Extent,
    Frame,
    Kind,
    Piece,
    Slot,
    Source,
    UnsupportedError,
)

_PLAIN = frozenset(
    {
        *("count", "type", "string", "substring", "substringBefore", "substringAfter", "length", "join"),
        *("sum", "min", "max", "average", "number", "floor", "ceil", "round", "abs", "sqrt", "power"),
        *("merge", "trim", "lowercase", "uppercase", "replace", "toMillis", "fromMillis", "formatNumber"),
    }
)
"""Functions that return no sequence: nothing has to be reduced to a single item."""


def write_call(source: Source, node: Any, context: Piece, tail: bool, first: Piece | None = None) -> Piece:
    """`$function(a, b)`; `first` is what `~>` puts before its arguments."""
    procedure = node.procedure
    name = str(procedure.value) if procedure.type == "variable" else ""
    free = name and source.is_free(name) and not getattr(procedure, "predicate", None)
    if free and name in source.functions:
        with source.visited():  # the variable that names it
            pass
        if name in OF_WRITTEN and first is None and is_array(node.arguments):
            return _of_written(source, name, node.arguments[0], context)
        arguments = _arguments(source, node, context, first)
        return _reduced(source, _known(source, name, arguments, context, tail), tail)
    function = source.write(source, procedure, context)
    if not name and procedure.type not in ("lambda", "block", "function", "condition"):
        raise UnsupportedError("procedure")
    arguments = _arguments(source, node, context, first)
    given = ", ".join(argument.code for argument in arguments)
    return _reduced(source, source.keep(f"called({function.code}, [{given}], {context.code}, {tail})"), tail)


def _arguments(source: Source, node: Any, context: Piece, first: Piece | None) -> list[Piece]:
    before = [] if first is None else [first]
    return before + [source.write(source, each, context) for each in node.arguments or ()]


def _reduced(source: Source, found: Piece, tail: bool) -> Piece:
    if tail or found.kind != "any":
        return found
    return source.keep(f"single({found.code})")


def _known(source: Source, name: str, arguments: list[Piece], context: Piece, tail: bool) -> Piece:
    """A call of one of the functions that there are from the start."""
    source.used.add(name)
    given = ", ".join(argument.code for argument in arguments)
    if name == "exists" and len(arguments) == 1:
        return source.keep(f"{given} is not None", "boolean")
    if name == "not" and len(arguments) == 1:
        [asked] = arguments
        if asked.kind == "boolean":
            return source.keep(f"not {asked.code}", "boolean")
        return source.keep(f"None if {asked.code} is None else not {asked.test}", "truth")
    if name == "error":
        source.line("raise UnsureError")
        return UNDEFINED
    if name == "string" and len(arguments) == 1:
        return source.keep(f"{given} if {given}.__class__ is str else F_string({given})", "plain")
    if name not in LIBRARY or name in UNSAFE:
        return _own_call(source, name, arguments, context, tail)
    return _library_call(source, name, arguments, context, tail)


def _own_call(source: Source, name: str, arguments: list[Piece], context: Piece, tail: bool) -> Piece:
    """A function of Step Functions', or one of the library's that belongs to a world."""
    given = ", ".join(argument.code for argument in arguments)
    if name == "millis" and not arguments:
        return source.keep("R.millis()", "defined")
    known = OWN.get((name, len(arguments)))
    if known is not None:
        source.constants[f"F_{name}"] = known
        return source.keep(f"F_{name}({given})")
    if tail and not arguments:
        raise UnsupportedError("context of a tail call")
    return source.keep(f"called(R.functions[{name!r}], [{given}], {context.code})")


def _library_call(source: Source, name: str, arguments: list[Piece], context: Piece, tail: bool) -> Piece:
    function = library_function(name, len(arguments))
    given = [argument.code for argument in arguments]
    if isinstance(function, partial):
        # The context may stand for an argument that was left out; that of a tail call is the caller's.
        if tail and len(arguments) < LIBRARY[name].nargs:
            raise UnsupportedError("context of a tail call")
        given.append(f"context={context.code}")
    key = f"F_{name}_{len(arguments)}"
    source.constants[key] = function
    kind: Kind = "truth" if name == "contains" else "plain" if name in _PLAIN else "any"
    return source.keep(f"{key}({', '.join(given)})", kind)


def _of_written(source: Source, name: str, array: Any, context: Piece) -> Piece:
    """`$merge([a, b])`, `$max([a, b])`: the array is not made."""
    source.used.add(name)
    source.constants[f"F_{name}"] = OF_WRITTEN[name]
    with source.visited():
        return source.keep(f"F_{name}({', '.join(array_items(source, array, context))})", "plain")


def write_lambda(source: Source, node: Any, context: Piece, tail: bool) -> Piece:
    """`function($a, $b) { ... }`, a Python function inside the one around it."""
    if getattr(node, "thunk", False):  # what a lambda returns is a call: there is no stack to save here
        return source.write(source, node.body, context, tail=True)
    if getattr(node, "signature", None) or source.loops:
        # A Python function sees the names of a loop as they are when it is called, not when it was made.
        raise UnsupportedError("lambda")
    names = [str(argument.value) for argument in node.arguments]
    if len(set(names)) < len(names):
        raise UnsupportedError("parameters")
    frame = Frame({name: Slot(source.name("p"), bound=True) for name in names}, of_lambda=True)
    function = source.name("f")
    source.line(f"def {function}({', '.join(slot.code for slot in frame.slots.values())}):")
    outer, source.extent = source.extent, Extent()
    with source.apart(), source.indented(), source.frame(frame):
        place, bound = source.line("pass"), source.line("pass")  # what the library would count, at most
        found = source.write(source, node.body, context, tail=True)
        source.line(f"B[0] -= {source.extent.deepest}")
        source.line(f"return {found.code}")
    depth, nodes = source.extent.deepest, source.extent.nodes
    source.rewrite(place, f"B[0] += {depth}; B[1] += {nodes}")
    source.rewrite(bound, "if B[0] > MAX_DEPTH or B[1] > MAX_STEPS: raise UnsureError")
    source.extent = outer
    return source.keep(f"Closure({function}, {len(names)})", "defined")


def write_chain(source: Source, node: Any, context: Piece, tail: bool) -> Piece:
    """`value ~> $function(a)`; of functions among each other only the library makes a chain."""
    first = source.write(source, node.lhs, context)
    if node.rhs.type != "function" or getattr(node.rhs, "predicate", None):
        raise UnsupportedError("~>")
    return write_call(source, node.rhs, context, False, first)
