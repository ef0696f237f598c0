"""Writes paths: the first step, runs of plain names, and each other step as a loop over the items before."""

from __future__ import annotations

from typing import Any

from workflows.local.step_functions.jsonata.compiled.nodes import write_array
from workflows.local.step_functions.jsonata.compiled.source import UNDEFINED, Piece, Source, UnsupportedError

_STEPS = frozenset({"name", "block", "unary", "function", "variable", "wildcard", "string", "condition"})


def write_path(source: Source, node: Any, context: Piece, tail: bool) -> Piece:
    """`$a.b[c].d`."""
    steps = list(node.steps)
    for step in steps:
        if step.type not in _STEPS or any(getattr(step, name, None) for name in ("tuple", "focus", "index")):
            raise UnsupportedError(step.type)
    found, steps = _begin(source, steps, context)
    single = False
    while steps:
        names = _names(steps)
        single = bool(names)
        if names:
            found = _by_names(source, found, names)
        else:
            found = _step(source, steps[0], source.keep(f"items({found.code})"), last=len(steps) == 1)
        steps = steps[len(names) or 1 :]
    return found if single else source.keep(f"single({found.code})")


def _visit(source: Source, count: int) -> None:
    """Counts steps that are written without a visit to their nodes."""
    for _ in range(count):
        with source.visited():
            pass


def _begin(source: Source, steps: list[Any], context: Piece) -> tuple[Piece, list[Any]]:
    """The value of the first step, and the steps that are left."""
    first = steps[0]
    if first.type == "variable" and not getattr(first, "stages", None) and len(steps) > 1:
        return source.write(source, first, context), steps[1:]
    if first.type == "name":
        return context, steps
    if context is not UNDEFINED and first.type != "variable":
        source.line(f"if isinstance({context.code}, list): raise UnsureError")
    if first.type == "wildcard":
        raise UnsupportedError("wildcard")
    if getattr(first, "consarray", False):
        # Its items are the next step's; every other array is flattened, which is the same, but for this mark.
        if len(steps) == 1 or getattr(first, "stages", None):
            raise UnsupportedError("array")
        with source.visited():
            return write_array(source, first, context), steps[1:]
    value = source.write(source, first, context)
    found = _staged(source, first, value)
    if len(steps) == 1:
        found = source.keep(f"flat(() if {found.code} is None else [{found.code}], True)")
    return found, steps[1:]


def _names(steps: list[Any]) -> list[str]:
    """The plain names that the path goes on with."""
    found = []
    for step in steps:
        if step.type != "name" or getattr(step, "stages", None):
            break
        found.append(str(step.value))
    return found


def _by_names(source: Source, found: Piece, names: list[str]) -> Piece:
    """From object to object without a call, which costs more than what it does; or else by one."""
    _visit(source, len(names))
    path = tuple(names)
    known = source.read_before(found.code, path)
    if known is not None:
        known.times += 1
        source.rewrite(known.place, _otherwise(known.code, found.code, path, known.times))
        return Piece(known.code)
    inner = _inner(source, found.code, path[:-1])
    last = repr(path[-1])
    value = source.keep(f"{inner}.get({last}) if {inner}.__class__ is dict else None").code
    source.line(f"if {_unsure(value, inner, last)}:")
    with source.indented():
        source.line(_otherwise(value, found.code, path))
    source.remember(found.code, path, value)
    return Piece(value)


def _unsure(value: str, of: str, name: str) -> str:
    """Whether the value of a name may be another than what was found in an object."""
    there = f"{value} is not None or {of}.__class__ is not dict or {name} in {of}"
    return f"{value}.__class__ not in SURE and ({there})"


def _otherwise(value: str, of: str, path: tuple[str, ...], times: int = 1) -> str:
    asked = f", {times}" if times > 1 else ""
    if len(path) == 1:
        return f"{value} = by_name({of}, {path[0]!r}, B{asked})"
    return f"{value} = by_names({of}, {path!r}, B{asked})"


def _inner(source: Source, value: str, path: tuple[str, ...]) -> str:
    """The object that the last name is asked of, if all before it are objects."""
    inner = value
    for end, name in enumerate(path, start=1):
        way = (None, *path[:end])  # no path's value: through a list that would be another
        known = source.read_before(value, way)
        if known is None:
            found = source.keep(f"{inner}.get({name!r}) if {inner}.__class__ is dict else None")
            source.remember(value, way, found.code)
        inner = found.code if known is None else known.code
    return inner


def _step(source: Source, step: Any, before: Piece, *, last: bool) -> Piece:
    """One step for each item of `before`, its results flattened into one sequence."""
    results, item = source.name(), source.name("i")
    source.line(f"{results} = []")
    with source.loop(item, before.code):
        value = _stepped(source, step, Piece(item))
        value = _staged(source, step, value)
        source.line(f"if {value.code} is not None: {results}.append({value.code})")
    return source.keep(f"flat({results}, {last})")


def _stepped(source: Source, step: Any, item: Piece) -> Piece:
    if step.type in ("name", "wildcard"):
        _visit(source, 1)
        if step.type == "wildcard":
            return source.keep(f"wildcard({item.code})")
        of, name = item.code, repr(str(step.value))
        value = source.keep(f"{of}.get({name}) if {of}.__class__ is dict else None")
        source.line(f"if {_unsure(value.code, of, name)}: {value.code} = single(looked_up({of}, {name}))")
        return value
    return source.write(source, step, item)


def _staged(source: Source, step: Any, value: Piece) -> Piece:
    """The predicates of a step."""
    for stage in getattr(step, "stages", None) or ():
        if stage.type != "filter":
            raise UnsupportedError(stage.type)
        value = write_predicate(source, stage.expr, value)
    return value


def write_predicate(source: Source, predicate: Any, value: Piece) -> Piece:
    """`value[predicate]`, not yet reduced to a single item."""
    if predicate.type == "number":
        return source.keep(f"at({value.code}, {int(predicate.value)})")
    before = source.keep(f"listed({value.code})")
    results, item = source.keep("Sequenced()"), source.name("i")
    with source.loop(item, before.code) as begin:
        answer = source.write(source, predicate, Piece(item))
        test = answer.code
        if answer.kind not in ("boolean", "truth"):
            place = source.name("n")
            source.rewrite(begin, f"for {place}, {item} in enumerate({before.code}):")
            test = f"chosen({answer.code}, {place}, len({before.code}))"
        source.line(f"if {test}: {results.code}.append({item})")
    return results
