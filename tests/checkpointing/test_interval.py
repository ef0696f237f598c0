"""When the next save is due."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workflows.checkpointing import CheckpointError
from workflows.checkpointing.interval import HOUR, Interval, Prior
from workflows.checkpointing.settings import from_environment


def test_young_instances_save_more_often_than_old_ones() -> None:
    interval = Interval(0, 10_000, stall=0.5)

    early, late = interval.seconds(600), interval.seconds(20 * HOUR)

    assert early < late
    assert early == pytest.approx(math.sqrt(2 * 0.5 * HOUR / 1.1), rel=0.1)


def test_interruptions_seen_make_saves_more_frequent() -> None:
    unlucky = Interval(0, 10_000, stall=0.5, seen=5, exposure=1.0)
    lucky = Interval(0, 10_000, stall=0.5, seen=0, exposure=5.0)

    assert unlucky.seconds(HOUR) < Interval(0, 10_000, stall=0.5).seconds(HOUR)
    assert lucky.seconds(HOUR) > Interval(0, 10_000, stall=0.5).seconds(HOUR)


@given(
    stall=st.floats(0, 100),
    latency=st.floats(0, 5000),
    age=st.floats(0, 1e6),
    shortest=st.floats(0, 500),
    more=st.floats(0, 5000),
)
def test_the_interval_stays_between_its_bounds(
    stall: float, latency: float, age: float, shortest: float, more: float
) -> None:
    longest = shortest + more
    seconds = Interval(shortest, longest, stall=stall, latency=latency).seconds(age)

    assert max(latency, shortest) <= seconds <= max(latency, shortest, longest)


def test_the_first_save_comes_after_the_shortest_interval() -> None:
    assert Interval(60, 1800).seconds(0) == 60


@pytest.mark.parametrize(
    ("text", "age", "per_hour"),
    [
        ("7200", 5 * HOUR, 0.5),
        ("[[0, 2], [1, 0.5]]", 0, 2),
        ("[[0, 2], [1, 0.5]]", HOUR, 0.5),
        ('{"hazard": [[0, 3]], "weight": 9}', HOUR, 3),
    ],
)
def test_the_orchestrator_can_hand_over_a_prior(text: str, age: float, per_hour: float) -> None:
    assert Prior.parse(text).at(age) * HOUR == pytest.approx(per_hour)


@pytest.mark.parametrize("text", ["often", "[]", "[[1, 2]]", "[[0, -1]]", "0", '{"weight": 1}'])
def test_a_prior_that_makes_no_sense_is_refused_with_what_is_allowed(text: str) -> None:
    with pytest.raises(CheckpointError, match="interruptions per hour"):
        from_environment({"RELAY_INTERRUPTION_PRIOR": text})


def test_the_expected_number_of_interruptions_adds_up_over_the_ages() -> None:
    prior = Prior()

    assert prior.expected(0) == 0
    assert prior.expected(HOUR) == pytest.approx(0.5 * 1.1 + 0.5 * 0.7)


def test_settings_come_from_the_environment_and_arguments_go_first() -> None:
    environment = {
        "SAGEMAKER_BASE_DIR": "/x",
        "RELAY_CHECKPOINT_KEEP": "5",
        "RELAY_CHECKPOINT_SHORTEST": "2.5",
    }

    found = from_environment(environment, shortest=1)

    assert str(found.folder) == "/x/checkpoints"
    assert (found.keep, found.shortest, found.longest) == (5, 1, 1800)


@pytest.mark.parametrize(
    "environment",
    [
        {"RELAY_CHECKPOINT_SHORTEST": "1m"},
        {"RELAY_CHECKPOINT_KEEP": "0"},
        {"RELAY_CHECKPOINT_SHORTEST": "9", "RELAY_CHECKPOINT_LONGEST": "8"},
    ],
)
def test_a_wrong_setting_is_refused(environment: dict[str, str]) -> None:
    with pytest.raises(CheckpointError):
        from_environment(environment)
