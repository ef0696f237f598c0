"""The condition of a gate: what is allowed, and that Python and the machine agree."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.requests import evaluate
from workflows.specification.conditions import parse

A, B = ("a", "acc"), ("b-c", "val:loss")
number = st.integers(-5, 5).map(str) | st.sampled_from(["0.5", "1e-3", "-2.5"])
metric = st.sampled_from(["{{ a.metrics.acc }}", "{{b-c.metrics.val:loss}}"])
amount = st.recursive(
    number | metric,
    lambda inner: st.tuples(inner, st.sampled_from("+-*"), inner).map(lambda t: f"({' '.join(t)})"),
    max_leaves=4,
)
comparison = st.tuples(amount, st.sampled_from([">=", "<=", ">", "<", "==", "!="]), amount).map(" ".join)
conditions = st.recursive(
    comparison,
    lambda inner: (
        st.tuples(inner, st.sampled_from(["and", "or"]), inner).map(lambda t: f"({' '.join(t)})")
        | inner.map(lambda text: f"not ({text})")
    ),
    max_leaves=4,
).filter(lambda text: "{{" in text)


@settings(max_examples=300, deadline=None)
@given(conditions, st.integers(-3, 3), st.floats(-2, 2).map(lambda value: round(value, 3)))
def test_a_condition_is_the_same_in_python_and_in_the_machine(text, one, other):
    condition = parse(text)
    names = {A: "$one", B: "$other"}

    rendered = condition.jsonata(lambda stage, name: names[stage, name])

    assert evaluate(rendered, one=one, other=other) is condition.holds({A: one, B: other})


@pytest.mark.parametrize(
    "text",
    [
        "1 > 0",
        "{{ a.metrics.acc }}",
        "{{ a.metrics.acc }} >",
        "{{ a.metrics.acc }} > 'x'",
        "{{ a.metrics.acc }} > metric0",
        "{{ a.metrics.acc }} > __import__('os').getpid()",
        "{{ a.metrics.acc }} if 1 else 2",
        "{{ a.metrics.acc }} > [1][0]",
        "{{ a.outputs.model }} > 1",
        "({{ a.metrics.acc }} > 1) + 1 > 2",
        "{{ a.metrics.acc }} ** 99 > 1",
        "not " * 200 + "{{ a.metrics.acc }} > 1",
        "",
    ],
)
def test_what_is_no_comparison_of_metrics_is_refused(text):
    with pytest.raises(ValueError, match=r"a comparison of metrics|at most"):
        parse(text)


def test_a_condition_that_step_functions_would_find_too_deep_is_refused():
    deep = "{{ a.metrics.acc }} >= " + " + ".join(["1"] * 40)

    with pytest.raises(ValueError, match="at most 25 operations inside each other"):
        parse(deep)
