"""JSON as the interpreter writes and reads it: compact, in UTF-8, exact in its size, and nothing but JSON."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workflows.local.json_texts import read_json, size_of, text_of
from workflows.local.service_errors import TaskError
from workflows.local.step_functions.limits import MAX_PAYLOAD, fitting

numbers = st.integers(-(2**63), 2**63) | st.floats(1e-4, 1e15) | st.floats(-1e15, -1e-4)
values = st.recursive(
    st.none() | st.booleans() | numbers | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@given(values)
def test_a_text_is_what_python_writes_and_reads(value: Any) -> None:
    text = text_of(value)
    assert text == json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    assert read_json(text) == value
    assert size_of(text) == len(text.encode("utf-8", "surrogatepass"))


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.000045, "0.000045"),  # Python alone would write 4.5e-05; JavaScript does not
        (1e-7, "1e-7"),
        (2**70, "1180591620717411303424"),
        ("\ud800", '"\ud800"'),
        ("e\u0301 \U0001f600", '"e\u0301 \U0001f600"'),
    ],
)
def test_what_one_of_the_writers_cannot_write_is_written_by_the_other(value: Any, text: str) -> None:
    assert text_of(value) == text


@pytest.mark.parametrize("value", [datetime(2026, 1, 1, tzinfo=UTC), {1, 2}, b"bytes", object()])
def test_what_is_no_json_is_refused(value: Any) -> None:
    with pytest.raises(TypeError):
        text_of({"a": value})


@pytest.mark.parametrize("text", ["NaN", "[Infinity]", "1e999", "{", '"\x01"', "[1,]", ""])
def test_only_json_is_read(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        read_json(text)


def test_half_a_surrogate_pair_is_read_and_a_huge_integer_is_javascripts() -> None:
    assert read_json('"\\ud800"') == "\ud800"
    assert read_json("1180591620717411303424") == 2.0**70


def test_the_limit_counts_bytes_of_utf_8_to_the_last() -> None:
    full = "é" * ((MAX_PAYLOAD - 2) // 2)
    assert fitting(text_of(full), "state") == f'"{full}"'
    with pytest.raises(TaskError, match="size exceeding"):
        fitting(text_of(full + "a"), "state")
