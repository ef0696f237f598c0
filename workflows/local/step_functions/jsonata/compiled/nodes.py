"""Writes the Python source for each kind of node of the syntax tree.

The order of evaluation is the library's. Names of attributes are those of its parser's symbols.
"""

from __future__ import annotations

import ast
from collections import Counter
from typing import Any

from workflows.local.step_functions.jsonata.compiled.library_values import Array
from workflows.local.step_functions.jsonata.compiled.operators import ARITHMETIC, COMPARISONS
from workflows.local.step_functions.jsonata.compiled.source import (
    UNDEFINED,
    Frame,
    Piece,
    Slot,
    Source,
    UnsupportedError,
)

LIBRARYS = ("group", "keep_array", "tuple", "focus", "index", "ancestor", "keep_singleton_array")
"""Marks of a node that only the library heeds: grouping, `[]`, `@`, `#` and `%`."""


def literal(value: Any) -> Piece:
    """A constant of JSON."""
    if value is None:
        return Piece("NULL", "defined")
    if isinstance(value, bool):
        return Piece(repr(value), "boolean")
    if isinstance(value, str):
        return Piece(repr(value), "text")
    if isinstance(value, int | float) and value - value == 0:
        return Piece(f"({value!r})", "defined")
    raise UnsupportedError("literal")


def write_literal(source: Source, node: Any, context: Piece, tail: bool) -> Piece:
    return literal(node.value)


def write_regex(source: Source, node: Any, context: Piece, tail: bool) -> Piece:
    return Piece(source.constant(node.value), "defined")


def write_variable(source: Source, node: Any, context: Piece, tail: bool) -> Piece:
    if node.value == "":
        return context
    if node.value == "$":
        raise UnsupportedError("$$")
    return source.variable(str(node.value))


def write_block(source: Source, node: Any, context: Piece, tail: bool) -> Piece:
    """A frame of its own; only its own statements bind its variables, so all is known as it is written."""
    names = Counter(str(each.lhs.value) for each in node.expressions if each.type == "bind")
    frame = Frame({name: Slot(source.name("x")) for name in names})
    places = {name: source.line("pass") for name in names}
    found = UNDEFINED
    with source.frame(frame):
        for number, each in enumerate(node.expressions, start=1):
            if each.type == "bind":
                found = _bind(source, each, context, frame, again=names[str(each.lhs.value)] > 1)
            else:
                found = source.write(source, each, context, tail=tail and number == len(node.expressions))
    for name, slot in frame.slots.items():
        if slot.asked:
            source.rewrite(places[name], f"{slot.code} = UNBOUND")
    return found


def _bind(source: Source, node: Any, context: Piece, frame: Frame, *, again: bool) -> Piece:
    if getattr(node, "predicate", None):
        raise UnsupportedError("bind")
    with source.visited():
        value = source.write(source, node.rhs, context)
    slot = frame.slots[str(node.lhs.value)]
    source.line(f"{slot.code} = {value.code}")
    # A lambda may read a variable that is bound again after it was made.
    slot.bound, slot.kind = True, "any" if again else value.kind
    source.changed(slot.code)
    return Piece(slot.code, slot.kind)


def write_condition(source: Source, node: Any, context: Piece, tail: bool) -> Piece:
    asked = source.write(source, node.condition, context)
    result = source.name()
    kinds = []
    for word, branch in ((f"if {asked.test}:", node.then), ("else:", node._else)):
        source.line(word)
        with source.indented():
            value = UNDEFINED if branch is None else source.write(source, branch, context, tail=tail)
            source.line(f"{result} = {value.code}")
            kinds.append(value)
    if kinds[0].kind == kinds[1].kind:
        return Piece(result, kinds[0].kind)
    return Piece(result, "defined" if all(kind.defined for kind in kinds) else "any")


def write_binary(source: Source, node: Any, context: Piece, tail: bool) -> Piece:
    sign = str(node.value)
    if sign in ("and", "or"):
        return _logical(source, node, context, sign)
    if sign == "&":
        parts = _concatenated(source, node, context)
        return source.keep(" + ".join(parts), "text")
    left, right = source.write(source, node.lhs, context), source.write(source, node.rhs, context)
    if sign in ARITHMETIC:
        return source.keep(f"{ARITHMETIC[sign].__name__}({left.code}, {right.code})")
    if sign in COMPARISONS:
        return source.keep(f"{COMPARISONS[sign].__name__}({left.code}, {right.code})", "truth")
    if sign in ("=", "!="):
        return source.keep(_equality(node, left, right, sign), "boolean")
    if sign == "in" and right.kind == "texts":
        return source.keep(f"{left.code} in {right.code}", "boolean")
    if sign == "in":
        return source.keep(f"within({left.code}, {right.code})", "boolean")
    if sign == "..":
        return source.keep(f"span({left.code}, {right.code})")
    raise UnsupportedError(sign)


def _equality(node: Any, left: Piece, right: Piece, sign: str) -> str:
    """A text, true, false and null are compared without a call."""
    for this, other, piece in ((node.lhs, right, left), (node.rhs, left, right)):
        if this.type == "string" or this.type == "value":
            same, differs = ("==", "!=") if this.type == "string" else ("is", "is not")
            if sign == "=":
                return f"{other.code} {same} {piece.code}"
            return f"{other.code} is not None and {other.code} {differs} {piece.code}"
    return f"{'equal' if sign == '=' else 'unequal'}({left.code}, {right.code})"


def _logical(source: Source, node: Any, context: Piece, sign: str) -> Piece:
    left = source.write(source, node.lhs, context)
    result = source.name()
    source.line(f"{result} = {left.boolean}")
    source.line(f"if {result}:" if sign == "and" else f"if not {result}:")
    with source.indented():
        source.line(f"{result} = {source.write(source, node.rhs, context).boolean}")
    return Piece(result, "boolean")


def _concatenated(source: Source, node: Any, context: Piece) -> list[str]:
    """The texts of `a & b & c`, in their order."""
    parts: list[str] = []
    for each in (node.lhs, node.rhs):
        if each.type == "binary" and str(each.value) == "&" and not getattr(each, "predicate", None):
            with source.visited():
                parts += _concatenated(source, each, context)
            continue
        value = source.write(source, each, context)
        as_text = f"({value.code} if {value.code}.__class__ is str else text({value.code}))"
        parts.append(value.code if value.kind == "text" else as_text)
    return parts


def write_unary(source: Source, node: Any, context: Piece, tail: bool) -> Piece:
    sign = str(node.value)
    if sign == "-":
        return source.keep(f"negative({source.write(source, node.expression, context).code})")
    if sign == "[":
        made = write_array(source, node, context)
        if getattr(node, "consarray", False):
            source.line(f"{made.code}.cons = True")
        return made
    if sign == "{":
        return write_object(source, node, context)
    raise UnsupportedError(sign)


def write_array(source: Source, node: Any, context: Piece) -> Piece:
    """`[...]`."""
    values = array_items(source, node, context)
    marked = getattr(node, "consarray", False)  # the mark is set on the array, each time
    if values and not marked and all(code[0] in "'\"" for code in values):
        return Piece(source.constant(Array(ast.literal_eval(code) for code in values)), "texts")
    return source.keep(f"array({', '.join(values)})", "defined")


def array_items(source: Source, node: Any, context: Piece) -> list[str]:
    """What to write for its items: an array that is written inside stays one, every other is taken apart."""
    values = []
    for each in node.expressions:
        value = source.write(source, each, context)
        values.append(f"({value.code},)" if str(each.value) == "[" else value.code)
    return values


def is_array(arguments: Any) -> bool:
    """Whether the only argument is written as an array, with nothing behind it."""
    if len(arguments or ()) != 1 or arguments[0].type != "unary" or str(arguments[0].value) != "[":
        return False
    return not any(getattr(arguments[0], name, None) for name in ("predicate", "consarray", *LIBRARYS))


def write_object(source: Source, node: Any, context: Piece) -> Piece:
    """`{...}` for one context item; over an array it groups, and the library does that."""
    if context is not UNDEFINED:
        source.line(f"if isinstance({context.code}, list): raise UnsureError")
    keys = [source.write(source, key, context) for key, _ in node.lhs_object]
    # JSONata says so of two keys that are alike: its error.
    constant = all(key.kind == "text" and key.code[0] in "'\"" for key in keys)
    if not constant:
        values = [source.write(source, value, context) for _, value in node.lhs_object]
        # A value whose key is undefined is not worked out: it can only differ by an error.
        if len(keys) == 1 and values[0].defined:
            key, value = keys[0].code, values[0].code
            return source.keep(
                f"{{{key}: {value}}} if {key}.__class__ is str else keyed([{key}], [{value}])", "defined"
            )
        names, found = (", ".join(piece.code for piece in pieces) for pieces in (keys, values))
        return source.keep(f"keyed([{names}], [{found}])", "defined")
    if len({key.code for key in keys}) < len(keys):
        raise UnsupportedError("keys")
    values = [source.write(source, value, context) for _, value in node.lhs_object]
    return _entries(source, keys, values)


def _entries(source: Source, keys: list[Piece], values: list[Piece]) -> Piece:
    first = 0
    while first < len(values) and values[first].defined:
        first += 1
    known = ", ".join(f"{key.code}: {value.code}" for key, value in zip(keys[:first], values, strict=False))
    made = source.keep(f"{{{known}}}", "defined")
    for key, value in zip(keys[first:], values[first:], strict=True):
        if value.defined:
            source.line(f"{made.code}[{key.code}] = {value.code}")
        else:
            source.line(f"if {value.code} is not None: {made.code}[{key.code}] = {value.code}")
    return made
