"""A deadline means the same in Python and in the machine."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.requests import evaluate
from workflows.specification import deadlines
from workflows.specification.pipeline import Pipeline
from workflows.state_machine.start import DURATION_SECONDS, deadline_function

START = datetime(2026, 3, 28, 23, 0, tzinfo=UTC)  # an hour before the clocks of Europe go forward


def pipeline(deadline=None):
    stage = {"name": "train", "script": "train.py", "expected": "1h"}
    return Pipeline.model_validate({"name": "demo", "deadline": deadline, "stages": [stage]})


def in_the_machine(text, start, zoned=None):
    millis = round(start.timestamp() * 1000)
    function = deadline_function(pipeline(zoned))
    return evaluate(
        f"($seconds := {DURATION_SECONDS}; $due := {function}; $due($text))",
        start=millis,
        text=text,
        written={"zone": [list(each) for each in deadlines.offsets(zoned)] if zoned else []},
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("36h", "2026-03-30T11:00:00+00:00"),
        ("1h30m", "2026-03-29T00:30:00+00:00"),
        ("07:30+01:00", "2026-03-29T06:30:00+00:00"),
        ("07:30Z", "2026-03-29T07:30:00+00:00"),
        ("23:30-01:00", "2026-03-29T00:30:00+00:00"),
        ("2026-12-01T06:00Z", "2026-12-01T06:00:00+00:00"),
        ("2026-12-01T06:00:30+05:30", "2026-12-01T00:30:30+00:00"),
        ("07:30 Europe/Berlin", "2026-03-29T05:30:00+00:00"),  # summer time by then
        ("00:30 Europe/Berlin", "2026-03-28T23:30:00+00:00"),  # it is 00:00 there: today's has not passed
        ("07:30 Asia/Tokyo", "2026-03-29T22:30:00+00:00"),  # it is 08:00 there: tomorrow's
    ],
)
def test_a_deadline_is_a_moment(text, expected):
    moment = deadlines.due(text, START)

    assert moment == datetime.fromisoformat(expected)
    assert in_the_machine(text, START, text if " " in text else None) == round(moment.timestamp() * 1000)


@settings(max_examples=150, deadline=None)
@given(
    st.datetimes(datetime(2026, 1, 1), datetime(2040, 1, 1)),
    st.times(),
    st.sampled_from(["Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "UTC", "Asia/Kolkata"]),
)
def test_a_time_of_day_in_a_zone_is_the_same_in_python_and_in_the_machine(start, clock, zone):
    start = start.replace(tzinfo=UTC, microsecond=0)
    text = f"{clock:%H:%M} {zone}"
    moment = deadlines.due(text, start)
    found = in_the_machine(text, start, text)

    # An hour that a zone skips or has twice is read in one way or the other.
    assert abs(found - moment.timestamp() * 1000) <= timedelta(hours=1) / timedelta(milliseconds=1)
    assert start.timestamp() * 1000 < found <= (start + timedelta(hours=26)).timestamp() * 1000
    offset = {each.astimezone(moment.tzinfo).utcoffset() for each in _around(moment)}
    if len(offset) == 1:  # no change of the clocks near
        assert found == round(moment.timestamp() * 1000)


def _around(moment):
    return [moment + timedelta(hours=hours) for hours in range(-27, 28, 3)]


@pytest.mark.parametrize(
    "text", ["", "tomorrow", "25:00Z", "07:30", "07:30 Atlantis/Here", "2026-12-01", "36"]
)
def test_what_is_no_deadline_is_refused_with_examples(text):
    with pytest.raises(ValueError, match=r"a deadline such as|a time zone such as"):
        deadlines.due(text, START)
