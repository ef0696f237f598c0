"""The bench of a plan runs both ways and counts what it ran; how fast that is, is no matter of a test."""

import pytest

from scripts.benches import plan


def test_the_bench_of_a_plan_says_what_it_ran_in_each_scenario(monkeypatch: pytest.MonkeyPatch) -> None:
    # given one round of two runs
    for name, value in (("RUNS", 2), ("ROUNDS", 1), ("OF_THE_LIBRARY", 1)):
        monkeypatch.setattr(plan, name, value)
    # when the bench runs
    figures = plan.run()
    # then a short patience makes attempts of interruptions, the usual one leaves most of them to SageMaker,
    # and all where the waits are short
    short, usual, mended = (
        figures[name]["mean_of_a_run"]
        for name in ("interruptions_become_attempts", "interruptions_are_mended", "waits_are_short")
    )
    for each in figures.values():
        assert each["runs_per_second"] > 0
        assert each["mean_of_a_run"]["hours"] > 48
        assert each["mean_of_a_run"]["interruptions"] > each["mean_of_a_run"]["attempts"] - 1
        assert each["mean_of_a_run"]["watches"] > each["mean_of_a_run"]["interruptions"]
    assert short["attempts"] > 5
    assert short["transitions"] > 5 * (short["attempts"] - 1)
    assert mended["attempts"] == 1 < usual["attempts"] < short["attempts"]
    assert mended["interruptions"] > 10
