"""No attempt is started that can take the run past its spending limit."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.machine.pipelines import Run, pipeline
from workflows.ledger.receipt import as_json
from workflows.policy.prices import load_prices

TRAIN: dict[str, Any] = {"name": "train"}  # on ml.m5.xlarge, for at most an hour
HOUR = load_prices().hourly("ml.m5.xlarge", "on-demand")
MORE = "and another attempt could cost"


def test_an_attempt_that_could_cost_more_than_the_limit_is_not_started():
    run = Run(pipeline(TRAIN, budget_usd=HOUR * 0.99))

    assert run.ended["status"] == "FAILED"
    assert MORE in run.ended["cause"]
    assert run.jobs == []


def test_what_was_spent_counts_against_the_next_attempt():
    # given a limit that the first attempt's 8 minutes on spot leave a little too small for a second
    spent = HOUR * 8 / 60 * load_prices().spot_share
    scenario = {"spot": {"train": [{"interrupt": "40%"}]}}

    enough = Run(pipeline(TRAIN, budget_usd=HOUR + spent + 0.001), scenario=scenario)
    short = Run(pipeline(TRAIN, budget_usd=HOUR + spent - 0.001), scenario=scenario)

    assert enough.attempts("train")[-1] == ("spot", "completed", "done")
    assert short.attempts("train") == [("spot", "interrupted", "spot")]
    assert MORE in short.ended["cause"]


def test_the_runs_input_sets_the_limit():
    assert MORE in Run(pipeline(TRAIN), run_input={"budget_usd": 0.05}).ended["cause"]


def test_every_instance_counts():
    run = Run(pipeline({**TRAIN, "instances": 4}, budget_usd=HOUR * 3.9))

    assert MORE in run.ended["cause"]


def test_a_limit_without_a_price_is_refused_at_the_start():
    ladder = {"ladder": ["ml.m5.xlarge", "ml.trn2.48xlarge"]}
    assert load_prices().hourly("ml.trn2.48xlarge", "on-demand") is None

    run = Run(pipeline(TRAIN, spot=ladder), run_input={"budget_usd": 100})

    assert run.ended["error"] == "Relay.CannotStart"
    assert "the price book has none for those of: train" in run.ended["cause"]


def test_branches_share_what_is_left_and_the_stage_after_them_has_what_they_left():
    names = ["a", "b", "last"]
    stages = [{"name": "a"}, {"name": "b"}, {"name": "last", "needs": ["a", "b"]}]

    enough = Run(pipeline(*stages, budget_usd=2 * HOUR))
    short = Run(pipeline(*stages, budget_usd=1.9 * HOUR))

    assert [enough.results[name]["ledger"][0]["outcome"] for name in names] == ["completed"] * 3
    assert MORE in short.ended["cause"]


def test_trials_share_what_is_left():
    sweep = {"name": "tune", "kind": "sweep", "grid": {"lr": [1, 2]}, "best": {"metric": "acc"}}

    run = Run(pipeline(sweep, budget_usd=1.9 * HOUR))

    assert MORE in run.ended["cause"]


def test_the_ledger_prices_an_attempt_as_the_price_book_does():
    scenario = {"spot": {"train": [{"interrupt": "40%"}, "none"]}}
    run = Run(pipeline(TRAIN, spot={"retry_budget": 2}), scenario=scenario)

    told = run.view.stages["train"].attempts
    assert len(told) == 3
    for entry in told:
        place = entry.instance_type, entry.instance_count, entry.market
        assert entry.usd == pytest.approx(load_prices().cost(*place, entry.billed_seconds), abs=1e-6)


capacity = st.sampled_from(["available", "none", {"interrupt": "30%"}, {"interrupt": "70%", "back": "60s"}])


@settings(max_examples=40, deadline=None)
@given(st.lists(capacity, max_size=5), st.lists(capacity, max_size=5), st.integers(5, 100))
def test_no_run_costs_more_than_its_limit(one, two, cents):
    stages = [{"name": "a"}, {"name": "b"}, {"name": "last", "needs": ["a", "b"]}]

    run = Run(pipeline(*stages, budget_usd=cents / 100), scenario={"spot": {"a": one, "b": two, "last": one}})

    spent = 0.0
    for job in run.jobs:
        seconds = job.get("BillableTimeInSeconds", 0)
        share = load_prices().spot_share if job["EnableManagedSpotTraining"] else 1
        spent += HOUR * seconds / 3600 * share
    assert spent <= cents / 100
    told = sum(
        entry.usd for stage in run.view.stages.values() for entry in stage.attempts if entry.usd is not None
    )
    assert told <= spent + 1e-5


def test_entries_of_types_without_a_price_have_no_dollars():
    run = Run(pipeline(TRAIN, spot={"ladder": ["ml.trn2.48xlarge"]}))

    [entry] = run.view.stages["train"].attempts
    assert entry.usd is None
    assert as_json(run.view, load_prices(), {})["totals"]["cost_usd"] is None
