"""Chooses the part of the compiler that writes a kind of node."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from workflows.local.step_functions.jsonata.compiled import calls, nodes, paths
from workflows.local.step_functions.jsonata.compiled.source import Piece, Source, UnsupportedError

Writer = Callable[[Source, Any, Piece, bool], Piece]

_WRITERS: dict[str, Writer] = {
    "string": nodes.write_literal,
    "number": nodes.write_literal,
    "value": nodes.write_literal,
    "regex": nodes.write_regex,
    "variable": nodes.write_variable,
    "block": nodes.write_block,
    "condition": nodes.write_condition,
    "binary": nodes.write_binary,
    "unary": nodes.write_unary,
    "path": paths.write_path,
    "function": calls.write_call,
    "lambda": calls.write_lambda,
    "apply": calls.write_chain,
}


def write(source: Source, node: Any, context: Piece, *, tail: bool = False) -> Piece:
    """Write what evaluates a node, its predicates included; raises UnsupportedError."""
    writer = _WRITERS.get(node.type)
    if writer is None or any(getattr(node, name, None) for name in nodes.LIBRARYS):
        raise UnsupportedError(node.type)
    with source.visited():
        predicates = getattr(node, "predicate", None) if node.type != "path" else None
        if not predicates:
            return writer(source, node, context, tail)
        found = writer(source, node, context, True)
        for predicate in predicates:
            found = paths.write_predicate(source, predicate.expr, found)
        return source.keep(f"single({found.code})")
