"""An expression that is compiled to Python answers as the library does, or leaves the answer to it."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.machine import pipelines
from workflows.local.sagemaker.work_model import WorkModel
from workflows.local.step_functions import interpreter
from workflows.local.step_functions.jsonata.compiled.library_values import MAX_STEPS, UnsureError
from workflows.local.step_functions.jsonata.expressions import Expression, Expressions
from workflows.local.step_functions.jsonata.json_values import (
    ExpressionError,
    UnsupportedResultError,
    plain,
    prepare,
)
from workflows.local.step_functions.jsonata.templates import expressions_in

GOLDEN = sorted(Path(__file__).with_name("golden").glob("*.json"))
MOMENT = datetime(2026, 1, 5, 12, 30, 15, 250_000, tzinfo=UTC)
UNDEFINED, UNSUPPORTED = "undefined", "a function"


class Both(Expressions):
    """Evaluates each expression both ways; `answered` counts what the compiled form knew by itself."""

    answered = unsure = 0

    def __init__(self, now: Any, seed: int = 0, **options: Any) -> None:
        super().__init__(now, seed, **{**options, "compile_after": 0})

    def evaluate(self, expression: Expression, variables: Any, plain_already: Any = ()) -> Any:
        expression.used(0)
        if expression.fast is not None and expression.taken.isdisjoint(variables):
            self._own.mark()
            try:
                found = shown(expression.fast(variables, self._run))
            except Exception:
                type(self).unsure += 1
            else:
                type(self).answered += 1
                self._own.rewind()
                assert found == self.by_library(expression, variables), expression.text
            self._own.rewind()
        return super().evaluate(expression, variables, plain_already)

    def by_library(self, expression: Expression, variables: Any) -> str:
        return shown(self.ask_library(expression, variables))


def shown(result: Any) -> str:
    """A result as text, in which 1 is not 1.0 and the order of members counts."""
    try:
        return UNDEFINED if result is None else json.dumps(plain(result))
    except UnsupportedResultError:
        return UNSUPPORTED


@pytest.mark.parametrize("golden", GOLDEN, ids=lambda path: path.stem)
def test_every_expression_of_the_golden_machines_is_compiled(golden: Path) -> None:
    ours = Expressions(lambda: MOMENT, compile_after=0)
    left = []
    for text, place in expressions_in(json.loads(golden.read_text()), ""):
        expression = ours.compile(text)
        expression.used(0)
        left += [] if expression.fast else [place]
    assert left == []


STORMS: dict[str, Any] = {
    "capacity that comes and goes": {"random": {"up": "50m", "down": "15m"}},
    "capacity that is seldom there": {"random": {"up": "12m", "down": "40m"}},
    "an error, a loss, and nothing": {
        "spot": {
            "train": [{"error": "CapacityError"}, {"interrupt": "30%", "back": None}, {"capacity": "none"}],
            "tune": [{"capacity": "none"}, {"interrupt": "10m"}],
        }
    },
}


@pytest.mark.parametrize("storm", STORMS)
def test_what_really_occurs_is_evaluated_alike(storm: str, monkeypatch: pytest.MonkeyPatch) -> None:
    # given a pipeline of every kind of stage, its watch, and a storm
    monkeypatch.setattr(interpreter, "Expressions", Both)
    Both.answered = Both.unsure = 0
    trials = {"name": "tune", "kind": "sweep", "grid": {"rate": [0.1, 0.2]}, "best": {"metric": "accuracy"}}
    found = pipelines.pipeline(
        {"name": "prepare", "kind": "process", "outputs": ["data"], "expected": "10m"},
        {"name": "train", "needs": ["prepare"], "limit": "6h", "expected": "3h"},
        {**trials, "needs": ["train"], "expected": "20m"},
        {"name": "good", "kind": "gate", "when": "{{ tune.metrics.accuracy }} >= 0.5", "otherwise": "stop"},
        deadline="30h",
        budget_usd=500,
        spot={"retry_budget": 6},
    )
    models = {
        "train": WorkModel(seconds=3 * 3600, steps=1000, save_every=600, restore=30),
        "tune": WorkModel(seconds=1200, steps=100, save_every=60, metrics={"accuracy": 0.75}),
    }
    # when it runs, each expression both ways
    run = pipelines.Run(found, scenario=STORMS[storm], models=models, watch=pipelines.watch())
    # then they agreed, and the compiled forms knew the answers
    assert run.ended["status"] == "SUCCEEDED", run.ended
    assert Both.answered > 200
    assert Both.unsure <= Both.answered / 50


# Expressions of the grammar, over any JSON

NAMES = st.sampled_from(["a", "b", "c"])
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-3, 1000)
    | st.sampled_from([0.5, -1.25, 2.0, 1e15, "", "a", "7"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=10,
)
OPERATORS = ["+", "-", "*", "/", "%", "=", "!=", "<", "<=", ">", ">=", "&", "and", "or", "in"]
ONE = ["count", "string", "not", "exists", "sum", "min", "max", "type", "keys", "merge", "length", "number"]
ONE += [
    "floor",
    "ceil",
    "round",
    "abs",
    "distinct",
    "trim",
    "uppercase",
    "reverse",
    "spread",
    "boolean",
    "join",
]
ONE += ["sort", "parse", "hash", "average", "values", "a", "toMillis", "error", "single", "sqrt", "substring"]
TWO = ["lookup", "append", "join", "contains", "substring", "map", "filter", "each", "sift", "round", "power"]
TWO += [
    "substringBefore",
    "substringAfter",
    "split",
    "hash",
    "reduce",
    "zip",
    "partition",
    "match",
    "formatNumber",
]
LAMBDAS = [
    "function($v){ $v }",
    "function($v, $i){ $v & $i }",
    "function($v, $i, $all){ $count($all) }",
    "function($v){ $exists($v.a) }",
    "function($v){ $filter($v, function($w){ $w = $x }) }",
    "function($l, $r){ $l > $r }",
    "function(){ $x }",
    "function($v){ $v.a[0] }",
    "$string",
    "$f",
]


SHAPES = [
    "(<E> <O> <E>)",
    "(<E> ? <E> : <E>)",
    "(<E> ? <E>)",
    "[<E>, <E>]",
    "[[<E>], <E>]",
    "{'a': <E>, 'b': <E>}",
    "{<E>: <E>, 'b': 1}",
    "($y := <E>; <E>)",
    "($y := <E>; $y := $y & <E>; [$y, $x])",
    "($y := <E>; [$y.a.b, $y.a, $y.a.b])",
    "($y := <E>; $w := $y.a; $y := <E>; [$y.a, $w])",
    "($y := <E>; ($x.a ? $y.a : <E>) & $y.a)",
    "($y := <E>; $map(<E>, function($v){ $y.a & $v.a & $v.a }) & $y.a)",
    "(<E>).($x.a.b & <N> & $x.a.b)",
    "$merge([<E>, <E>])",
    "$merge([<E>, {'a': <E>}])",
    "$max([<E>, <E>])",
    "$sum([<E>, [<E>]])",
    "$min([<E>])",
    "(<E> in ['a', 'b'])",
    "($y := ['a', '7']; [<E> in $y, $y])",
    "(<E> in ['a'[<I>], 'b'])",
    "$substring(<E>, <I>, 1)",
    "($g := function($p){ <E> }; $g(<E>))",
    "($g := function($p){ $q & $p }; $q := <E>; $g(<E>))",
    "($g := function($n){ $n > 3 ? $n : $g($n + 1) }; $g(<E>))",
    "(<E>).<N>",
    "(<E>).<N>.<N>",
    "(<E>).<N>[<E>]",
    "(<E>)[<E>]",
    "(<E>)[<N> = $x]",
    "(<E>)[<I>].<N>",
    "(<E>).(<E>)",
    "(<E>).[<N>, <N>]",
    "(<E>).{'a': <N>}",
    "(<E>).*",
    "-<E>",
    "[<E>..<E>]",
    "$<F>(<E>)",
    "$<G>(<E>, <E>)",
    "$<G>(<E>, <L>)",
    "$reduce(<E>, function($l, $r){ $append($l, $r) }, <E>)",
    "$replace(<E>, <E>, <E>)",
    "$substring(<E>, <E>, <E>)",
    "<E> ~> $<F>()",
    "<E> ~> $<G>(<L>)",
    "<V>",
    "<V>",
]
"""Kinds of expressions: <E> is any expression, <V> one without a part, and the others below."""

LEAVES = ["$x", "$x.a", "$x.a.b", "$x.a.b.c", "$z", "$z.b", "$p", "$y", "1", "2", "0.5", "'a'", "'a.b'", "''"]
LEAVES += ["true", "false", "null", "[]", "{}", "$none", "/a/", "$f", "$", "a", "$x[0]", "$states.input.a"]
PARTS = {
    "O": OPERATORS,
    "N": ["a", "b", "c"],
    "F": ONE,
    "G": TWO,
    "L": LAMBDAS,
    "I": ["0", "-1", "1"],
    "V": LEAVES,
}


@st.composite
def expressions(draw: st.DrawFn) -> str:
    """Fills in a shape from its left until nothing is left to fill in; what is deep gets no parts."""
    text, room = "<E>", 8
    while (place := re.search("<(.)>", text)) is not None:
        if place[1] == "E":
            shape = draw(st.sampled_from(SHAPES)) if room > 0 else "<V>"
            room -= 1
        else:
            shape = draw(st.sampled_from(PARTS[place[1]]))
        text = text[: place.start()] + shape + text[place.end() :]
    return text


TIMES = st.sampled_from(
    [
        "2026-01-05T12:30:15Z",
        "2026-01-05T12:30:15.251+01:00",
        "2026-01-05",
        "2026-01-05T12:30:15",
        "2026",
        "2026-",
    ]
)


@given(st.floats() | st.integers() | st.integers(-(10**14), 10**15) | TIMES)
def test_numbers_and_times_are_written_and_read_as_by_the_library(value: Any) -> None:
    ours = Expressions(lambda: MOMENT, compile_after=0)
    of_times = ("$toMillis($x)", "$fromMillis($x)")
    for text in ("$string($x)", "'' & $x", "$floor($x)", "$ceil($x)", "$max([0, $x])", *of_times):
        expression = ours.compile(text)
        expression.used(0)
        assert expression.fast is not None
        try:
            found = shown(expression.fast({"x": value}, ours._run))
        except Exception:
            continue
        assert found == answer(ours, expression, {"x": value}), text


def answer(ours: Expressions, expression: Expression, variables: Any) -> str:
    try:
        return shown(ours.ask_library(expression, variables))
    except ExpressionError as error:
        return f"error: {error}"


@settings(max_examples=600, deadline=None)
@given(expressions(), VALUES, VALUES)
def test_an_answer_of_the_compiled_form_is_the_librarys(text: str, x: Any, z: Any) -> None:
    # given an expression that the library can parse
    ours = Expressions(lambda: MOMENT, compile_after=0)
    try:
        expression = ours.compile(text)
    except ExpressionError:
        return
    expression.used(0)
    if expression.fast is None:
        return
    variables = {"x": prepare(x), "z": prepare(z), "states": {"input": prepare(x)}}
    before = json.dumps([x, z])
    # when the compiled form has an answer
    try:
        found = shown(expression.fast(variables, ours._run))
    except Exception:
        return
    # then it is the library's, and nothing was changed
    assert found == answer(ours, expression, variables), text
    assert json.dumps([x, z]) == before


def test_a_long_array_that_is_read_again_is_counted_again() -> None:
    # given a path through an array, read once and twice; the library counts each item that it visits
    ours = Expressions(lambda: MOMENT, compile_after=0)
    once, twice = ours.compile("[$x.a]"), ours.compile("[$x.a, $x.a]")
    for expression in (once, twice):
        expression.used(0)
    assert once.fast is not None
    assert twice.fast is not None
    many = {"x": [{"a": 1}] * (MAX_STEPS // 2 + 1)}
    # when the items are more than half of what AWS's seconds are taken for
    assert len(once.fast(many, ours._run)) == MAX_STEPS // 2 + 1
    # then it is the library that decides about twice as many
    with pytest.raises(UnsureError):
        twice.fast(many, ours._run)
