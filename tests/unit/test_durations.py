from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workflows.specification.durations import format_duration, parse_duration


@given(st.integers(1, 10**11))
def test_a_duration_survives_being_written_and_read(milliseconds):
    duration = timedelta(milliseconds=milliseconds)

    assert parse_duration(format_duration(duration)) == duration


@pytest.mark.parametrize("text", ["", "45", "1 h", "2 hours", "-1s", "h", "1h-", "1e3s", None, 45, 4.5, []])
def test_anything_else_is_refused(text):
    with pytest.raises(ValueError, match="a duration such as"):
        parse_duration(text)


def test_parts_add_up():
    assert parse_duration("1h30m") == timedelta(minutes=90)
    assert parse_duration("250ms") == timedelta(milliseconds=250)
