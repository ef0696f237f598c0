"""Names that an expression reads from a context item, which state machines do not have.

AWS refuses such a definition when it is created (UNSUPPORTED_JSONATA_EXPRESSION). This walks the
syntax tree of jsonata-python, whose node types and attributes are JSONata's own.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any


def top_level_references(node: Any) -> Iterator[str]:
    """Yield AWS's refusal of each name that a syntax tree reads from the missing context item.

    A predicate, a sort term, a grouping and a later step see the item before them, so a plain name
    in them is legal; a lambda's body keeps the context of the expression around it.
    """
    kind = getattr(node, "type", None)
    if kind == "path":
        first = node.steps[0]
        yield from _first_step(first)
        return
    if kind in ("name", "wildcard", "descendant"):
        yield from _first_step(node)
        return
    if kind == "variable" and node.value == "$":
        yield "Reference to '$$' is not supported."
    yield from _inside(node)


def _first_step(step: Any) -> Iterator[str]:
    kind = getattr(step, "type", None)
    if kind == "name":
        yield f"Reference to '{step.value}' at the top level is not supported."
    elif kind in ("wildcard", "descendant"):
        yield f"Reference to '{'*' if kind == 'wildcard' else '**'}' is not supported."
    else:
        yield from top_level_references(step)


def _inside(node: Any) -> Iterator[str]:
    for name in ("lhs", "rhs", "expression", "condition", "then", "_else", "procedure", "body"):
        child = getattr(node, name, None)
        if child is not None and hasattr(child, "type"):
            yield from top_level_references(child)
    for name in ("arguments", "expressions"):
        for child in getattr(node, name, None) or ():
            yield from top_level_references(child)
    for pair in getattr(node, "lhs_object", None) or ():
        for child in pair:
            yield from top_level_references(child)
