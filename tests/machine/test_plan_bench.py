"""The bench of a plan runs both ways and counts what it ran; how fast that is, is no matter of a test."""

import pytest

from scripts.benches import plan


def test_the_bench_of_a_plan_says_what_it_ran(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plan, "RUNS", 2)
    monkeypatch.setattr(plan, "OF_THE_LIBRARY", 1)

    figures = plan.run()

    assert figures["runs_per_second"] > 0
    mean = figures["mean_of_a_run"]
    assert mean["hours"] > 48
    assert mean["interruptions"] >= mean["attempts"] - 1 > 5
    assert mean["transitions"] > 5 * (mean["attempts"] - 1)
