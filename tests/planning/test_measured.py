"""What past runs teach a plan."""

from datetime import UTC, datetime, timedelta

import pytest

from tests.machine.pipelines import pipeline
from workflows.ledger.attempts import Attempt
from workflows.planning.assumptions import Said, assume
from workflows.planning.measured import measured

START = datetime(2026, 11, 25, tzinfo=UTC)


def attempt(number, kind, seconds, steps, outcome="completed", stage="train"):
    return Attempt(
        attempt_id=f"20261125T000000-run/{stage}/0-{number}",
        run="run",
        stage=stage,
        job=f"job-{number}",
        market="spot",
        instance_type=kind,
        instance_count=1,
        outcome=outcome,
        decision="done",
        why="",
        created=START + timedelta(hours=number),
        ended=START + timedelta(hours=number, seconds=seconds),
        queued_seconds=0.0,
        trained_seconds=seconds,
        interruptions=0,
        resumed_step=steps[0],
        reached_step=steps[1],
        saved_step=steps[1],
    )


def test_how_long_a_stage_takes_follows_from_its_steps_and_their_speed():
    known = [
        attempt(1, "ml.a", 100, (0, 100), "interrupted"),
        attempt(2, "ml.a", 100, (100, 200), "interrupted"),
        attempt(3, "ml.b", 100, (200, 400)),
    ]

    found = measured(known)["train"]

    assert found.seconds == pytest.approx(400)
    assert found.speeds == {"ml.a": 1, "ml.b": 2}
    assert found.attempts == 3


def test_the_newest_run_says_how_many_steps_there_are():
    known = [
        attempt(1, "ml.a", 100, (0, 100)),
        attempt(5, "ml.a", 300, (0, 300)),
        attempt(3, "ml.a", 50, (0, 50)),
    ]

    assert measured(known)["train"].seconds == pytest.approx(300)


def test_nothing_is_made_of_stages_that_never_completed_or_report_nothing():
    lost = attempt(1, "ml.a", 100, (0, 100), "interrupted", "lost")
    silent = attempt(2, "ml.a", 100, (0, 0), stage="silent")

    assert measured([lost, silent]) == {}


def test_a_plan_takes_what_was_measured_before_what_was_expected():
    found = pipeline({"name": "train", "expected": "30m"}, {"name": "other"})
    past = measured(
        [attempt(1, "ml.m5.xlarge", 3600, (0, 100)), attempt(2, "ml.m5.xlarge", 60, (0, 10), stage="other")]
    )

    work = assume(found, Said(measured=past))

    assert work.models["train"].seconds == pytest.approx(3600, rel=0.02)
    assert [each.source for each in work.told if each.what == "work"] == ["measured in 1 attempts"] * 2
    # What is said on the command line is known best.
    said = assume(found, Said(measured=past, expected={"train": 60}))
    assert said.models["train"].seconds == pytest.approx(60, rel=0.05)
