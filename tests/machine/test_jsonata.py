"""JSONata as Step Functions speaks it, where the library alone would not."""

from __future__ import annotations

import copy
import json
import threading
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workflows.local.step_functions.jsonata.expressions import Expressions
from workflows.local.step_functions.jsonata.json_values import (
    ExpressionError,
    UndefinedError,
    UnsupportedResultError,
    prepare,
)

MOMENT = datetime(2026, 1, 5, 12, 30, 15, 250_000, tzinfo=UTC)


@pytest.fixture(scope="module", params=[None, 0], ids=["the library", "compiled"], autouse=True)
def way(request: pytest.FixtureRequest) -> Any:
    """Everything here holds for both ways of evaluation."""
    WAY["compile_after"] = request.param


WAY: dict[str, Any] = {}


def world(seed: int = 0) -> Expressions:
    return Expressions(lambda: MOMENT, seed, **WAY)


def evaluate(text: str, value: Any = None, expressions: Expressions | None = None) -> Any:
    expressions = expressions or world()
    return expressions.evaluate(expressions.compile(text), {"x": prepare(value)})


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53) + 1, 2**53 - 1)
    | st.floats(allow_nan=False, allow_infinity=False).filter(lambda number: number % 1 != 0)
    | st.text(st.characters(codec="utf-8"), max_size=5),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text("ab$", max_size=3), inner, max_size=4)
    ),
    max_leaves=12,
)


@given(JSON)
def test_every_json_value_passes_through_a_variable_unchanged(value: Any) -> None:
    assert evaluate("$x", value) == value
    assert type(evaluate("$x", value)) is type(value)
    assert json.loads(json.dumps(evaluate("{'v': $x}", value)))["v"] == value


@given(JSON)
def test_parse_and_string_are_each_others_opposite(value: Any) -> None:
    assert evaluate("$parse($x)", json.dumps(value)) == value


@pytest.mark.parametrize(
    ("text", "value", "expected"),
    [
        ("$x", None, None),
        ("$exists($x)", None, True),
        ("$type($x)", None, "null"),
        ("$map($x, function($v){$v})", [1, None, 2], [1, None, 2]),
        ("$filter($x, function($v){$v = null})", [1, None], None),
        ("$count($x)", [1, None, 2], 3),
        ("$x[v = null].n", [{"v": None, "n": 1}, {"v": 2, "n": 2}], 1),
        ("{'a': null, 'b': $x.absent}", {}, {"a": None}),
        ("$merge([$x, {'b': null}])", {"a": None}, {"a": None, "b": None}),
        ("$string($x)", {"a": [None, 1.5]}, '{"a":[null,1.5]}'),
        ("$lookup($x, 'a')", {"a": None}, None),
    ],
)
def test_null_is_a_value_and_not_undefined(text: str, value: Any, expected: Any) -> None:
    assert evaluate(text, value) == expected


@pytest.mark.parametrize("text", ["$x.absent", "$absent", "$x[9]", "$filter([1], function(){false})"])
def test_what_returns_nothing_is_undefined(text: str) -> None:
    with pytest.raises(UndefinedError):
        evaluate(text, {"a": 1})


@pytest.mark.parametrize(
    ("text", "expected"),
    [("4 / 2", "2"), ("1.0", "1"), ("$x", "3"), ("$x + 0.5", "3.5"), ("1 / 4", "0.25")],
)
def test_numbers_are_written_as_javascript_writes_them(text: str, expected: str) -> None:
    assert json.dumps(evaluate(text, 3.0)) == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("$error('my words')", "D3137: my words"),
        ("'a' + 1", "T2001: The left side of the + operator must evaluate to a number"),
        ("$nothing(1)", "T1006: Attempted to invoke a non-function"),
        ("$eval('1 + 1')", "T1006: Attempted to invoke a non-function"),
        ("1 / 0", "D1001: Number out of range: Infinity"),
        ("$number('x')", "D3030: Unable to cast value to a number: 'x'"),
        (
            "$range('0', 1, 1)",
            'T0410: Argument 1 of function "range" does not match function signature',
        ),
        ("$parse('{')", "$parse: the argument is not valid JSON: "),
        ("$parse('NaN')", "$parse: the argument is not valid JSON: NaN is not JSON"),
        ("$hash('a', 'CRC')", "$hash: CRC is not one of MD5, SHA-1, SHA-256, SHA-384, SHA-512"),
        ("($f := function($n){$f($n + 1)}; $f(1))", "Expression evaluation timeout"),
        ("+".join(["1"] * 101), "Stack overflow error: "),
    ],
)
def test_what_throws_says_what_jsonata_says(text: str, message: str) -> None:
    with pytest.raises(ExpressionError) as error:
        evaluate(text)
    assert str(error.value).startswith(message)


def test_one_hundred_levels_are_allowed() -> None:
    assert evaluate("+".join(["1"] * 100)) == 100


@pytest.mark.parametrize("text", ["function($v){$v}", "$sum", "[$sum]", "/a/"])
def test_functions_are_no_results(text: str) -> None:
    with pytest.raises(UnsupportedResultError):
        evaluate(text)


@pytest.mark.parametrize("text", ["1 +", "{'a':}", "$x[1,2)", '"open', "", "$match('a', /abc"])
def test_what_does_not_parse_is_told_at_once(text: str) -> None:
    with pytest.raises(ExpressionError):
        world().compile(text)


def test_now_and_millis_are_the_clocks_whatever_was_compiled_last() -> None:
    # given two worlds whose clocks differ
    ours, other = world(), Expressions(lambda: datetime(1999, 1, 1, tzinfo=UTC))
    expression = ours.compile("[$now(), $millis(), $now('[Y0001]'), $toMillis($now())]")
    other.compile("$now()")
    # then
    millis = int(MOMENT.timestamp() * 1000)
    assert ours.evaluate(expression, {}) == ["2026-01-05T12:30:15.250Z", millis, "2026", millis]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("$partition([1..5], 2)", [[1, 2], [3, 4], [5]]),
        ("$partition([1..4], 2.9)", [[1, 2], [3, 4]]),
        ("$range(0, 10, 5)", [0, 5, 10]),
        ("$range(-1.7, 2, 1)", [-1, 0, 1, 2]),
        ("$range(3, 1, -1)", [3, 2, 1]),
        ("$range(7, 7, 1)", 7),
        ("$hash('a', 'MD5')", "0cc175b9c0f1b6a831c399e269772661"),
        ("$hash('a', 'SHA-1')", "86f7e437faa5a7fce15d1ddcb9eaeaea377667b8"),
        ("$map(['1', '[2]'], $parse)", [1, [2]]),
        ("$random(7) = $random(7)", True),
        ("$sort([[1, 'a'], [2, 'b'], [1, 'c']], function($l, $r){$l[0] < $r[0]}).$[1]", ["b", "a", "c"]),
        ("$sort([3, 1, 2])", [1, 2, 3]),
        ("$length($uuid())", 36),
    ],
)
def test_step_functions_own_functions(text: str, expected: Any) -> None:
    assert evaluate(text) == expected


@pytest.mark.parametrize("text", ["$partition([], 2)", "$partition([1], 0)", "$range(1, 5, -1)"])
def test_some_arguments_of_theirs_give_nothing(text: str) -> None:
    with pytest.raises(UndefinedError):
        evaluate(text)


def test_randomness_follows_the_worlds_seed() -> None:
    text = "[$uuid(), $random(), $shuffle([1..20])]"
    assert evaluate(text, None, world(1)) == evaluate(text, None, world(1))
    assert evaluate(text, None, world(1)) != evaluate(text, None, world(2))


@pytest.mark.parametrize(
    "text",
    [
        "$x ~> |items|{'n': 9, 'z': 1}, ['a']|",
        "$sort($x.numbers)",
        "$sort($x.items, function($l, $r){$l.n > $r.n})",
        "$append($x.numbers, 4)",
        "$append($x.numbers, $x.numbers)",
        "$reverse($x.numbers)",
        "$shuffle($x.numbers)",
        "$distinct($x.numbers)",
        "$zip($x.numbers, $x.items)",
        "$merge($x.items)",
        "$spread($x)",
        "$each($x, function($v, $k){$k})",
        "$sift($x, function($v){$exists($v)})",
        "$reduce($x.numbers, $append)",
        "$partition($x.numbers, 2)",
        "$x.items^(>n)",
        "$x.items{a: $sum(n)}",
        "$x.items#$i.(n + $i)",
        "$x.items@$i.($i.n)",
        "$x.**",
        "$x.*",
        "$x.items.%.numbers",
        "[$x.items, $x.numbers]",
        "($y := $x; $y.items[0] ~> |$|{'n': 100}|)",
    ],
)
def test_no_expression_changes_what_it_reads(text: str) -> None:
    # given
    value = {"numbers": [3, 1, 2, 1], "items": [{"n": 2, "a": "p"}, {"n": 1, "a": "q", "b": None}]}
    prepared, before = prepare(value), copy.deepcopy(value)
    expressions = world()
    expression = expressions.compile(text)
    # when it runs twice
    first = [expressions.evaluate(expression, {"x": prepared}) for _ in range(2)]
    # then its input is what it was, and so is its result
    assert value == before
    assert prepared == prepare(before)
    if "$shuffle" not in text:
        assert first[0] == first[1]


@pytest.mark.parametrize(
    ("text", "messages"),
    [
        ("phone", ["Reference to 'phone' at the top level is not supported."]),
        ("{'a': q}", ["Reference to 'q' at the top level is not supported."]),
        ("$map($x, function($v){ b })", ["Reference to 'b' at the top level is not supported."]),
        ("$$", ["Reference to '$$' is not supported."]),
        ("$states.input.items[value > 3]", []),
        ("$x^(a)", []),
        ("$x.{'k': c}", []),
        ("$x ~> |a|{'b': c}|", []),
        ("'phone'", []),
    ],
)
def test_names_without_a_context_are_found_before_anything_runs(text: str, messages: list[str]) -> None:
    assert world().compile(text).unsupported() == messages


def test_an_expression_is_compiled_once() -> None:
    expressions = world()
    assert expressions.compile("1 + 1") is expressions.compile("1 + 1")


def test_a_first_expression_that_is_wrong_leaves_the_next_ones_unharmed() -> None:
    # given a thread that has parsed nothing yet, since each has a parser of its own
    found: list[Any] = []

    def run() -> None:
        ours = world()
        for text in ("1 +", "1 + 1", "("):
            try:
                found.append(ours.evaluate(ours.compile(text), {}))
            except ExpressionError:
                found.append("refused")

    # when
    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    # then
    assert found == ["refused", 2, "refused"]
