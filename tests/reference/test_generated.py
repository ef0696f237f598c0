"""Expressions of the constructs that our machines use: compiled form, library and reference answer alike."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.reference.engine import MissingReferenceError, Reference
from tests.reference.replay import agree
from workflows.local.step_functions.jsonata.expressions import Expressions
from workflows.local.step_functions.jsonata.json_values import (
    ExpressionError,
    UndefinedError,
    UnsupportedResultError,
    prepare,
)

MOMENT = datetime(2026, 1, 5, tzinfo=UTC)
WORLDS = {
    "library": Expressions(lambda: MOMENT, compile_after=None),
    "compiled": Expressions(lambda: MOMENT, compile_after=0),
}
CASES = 1500  # each asked of the library, the compiled form and the reference

# What a variable of a machine may hold: nothing, null, empty, one, several, and objects within.
NAMES = st.sampled_from(["a", "b", "c"])
ATOMS = (
    st.none() | st.booleans() | st.sampled_from([0, 1, 2, -3, 60, 0.5, 1.25, 1e20, "", "a", "b", "7", "é"])
)
DATA = st.recursive(
    ATOMS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=8,
)
SHAPES = [
    "(<E> <O> <E>)",
    "(<E> ? <E> : <E>)",
    "(<E> ? <E>)",
    "[<E>, <E>]",
    "{'a': <E>, 'b': <E>}",
    "{$string(<E>): <E>}",
    "($y := <E>; [$y, $y.<N>])",
    "($y := <E>; $exists($y.<N>) ? $y.<N> : <E>)",
    "$merge([{'a': <E>}, {'b': <E>}])",
    "$max([0, $count(<E>)])",
    "(<E> in ['a', 'b'])",
    "<D>.<N>",
    "<D>.<N>.<N>",
    "<D>[<N> = 'a']",
    "<D>[$not($ in ['a', 'b'])]",
    "<D>[<I>].<N>",
    "<D>.<N>[$ = 1].<N>",
    "<D>.<N>[<P>].('it is ' & $)",
    "$count(<D>[<P>])",
    "$exists(<D>.<N>)",
    "$type(<D>.<N>)",
    "$lookup(<D>, 'a')",
    "$string(<E>)",
    "$join($append([''], $map(<D>, function($v) { $string($v) })), ', ')",
    "$map(<D>, function($v, $i) { [$i, $v] })",
    "$filter(<D>, function($v) { $v = 1 })",
    "$append(<E>, <E>)",
    "$reduce(<D>, function($l, $r) { $append($l, $r) }, [])",
    "$keys(<D>)",
    "$each({'a': <E>}, function($v, $k) { $k & $v })",
    "$sift({'a': <E>, 'b': 1}, function($v) { $v != null })",
    "$not(<E>)",
    "$substring($string(<E>), 0, 3)",
    "$contains($string(<E>), /a/)",
    "$distinct(<D>)",
    "$hash($string(<E>), 'MD5')",
    "<V>",
    "<V>",
]
PARTS = {
    "O": ["+", "-", "*", "/", "=", "!=", "<", "<=", ">", ">=", "&", "and", "or", "in"],
    "N": ["a", "b", "c"],
    "I": ["0", "-1", "1"],
    "P": ["true", "$ = 1", "a = 1", "$exists(a)", "$not($exists(b))", "0"],
    "D": ["$x", "$x.a", "$z", "$x.a.b", "$none"],
    "V": ["$x", "$x.a", "$z", "$none", "1", "0", "'a'", "''", "true", "null", "[]", "{}", "$x.a[0]"],
}


@st.composite
def expressions(draw: st.DrawFn) -> str:
    """Fills in a shape from its left; what is deep gets no parts."""
    text, room = "<E>", 6
    while (place := re.search("<(.)>", text)) is not None:
        kind = place[1]
        if kind == "E" and room > 0:
            room -= 1
            part = draw(st.sampled_from(SHAPES))
        else:
            part = draw(st.sampled_from(PARTS["V" if kind == "E" else kind]))
        text = text[: place.start()] + part + text[place.end() :]
    return text


@pytest.fixture(scope="module")
def reference() -> Iterator[Reference]:
    try:
        found = Reference()
    except MissingReferenceError as missing:
        pytest.skip(str(missing))
    with found:
        yield found


def answer(world: Expressions, text: str, variables: dict[str, Any]) -> dict[str, Any]:
    known = {name: prepare(value) for name, value in variables.items()}
    try:
        return {"value": world.evaluate(world.compile(text), known)}
    except UndefinedError:
        return {"undefined": True}
    except UnsupportedResultError:
        return {"function": True}
    except ExpressionError as error:
        return {"error": str(error)}


@pytest.mark.beyond_the_reference  # it is asked here
@settings(max_examples=CASES, deadline=None, suppress_health_check=list(HealthCheck))
@given(text=expressions(), x=DATA, z=DATA)
def test_all_three_answer_alike(reference: Reference, text: str, x: Any, z: Any) -> None:
    variables = {"x": x, "z": z}
    theirs = reference.ask({"text": text, "bindings": variables})
    for way, world in WORLDS.items():
        ours = answer(world, text, variables)
        assert agree(ours, theirs), f"{way}: {text}\n  ours: {ours}\n  reference: {theirs}"
