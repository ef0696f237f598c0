"""What a run cost follows from its ledger, to the cent and the second."""

import io
from datetime import UTC, datetime

import pytest
from rich.console import Console

from workflows.ledger.receipt import as_json
from workflows.ledger.receipt_text import as_text
from workflows.ledger.run_view import RunView
from workflows.ledger.stage_view import entries_in, stages_in
from workflows.policy.prices import PriceBook

PRICES = PriceBook(date="2026-01-01", region="us-east-1", spot_share=0.25, on_demand={"ml.m5.xlarge": 3.6})
ENTRY = {
    "stage": "train",
    "attempt": 1,
    "job": "job-1",
    "market": "spot",
    "instance_type": "ml.m5.xlarge",
    "instance_count": 1,
    "outcome": "interrupted",
    "decision": "spot",
    "why": "interruption 1 of 3",
    "message": "",
    "trained_seconds": 1000,
    "billed_seconds": 1000,
    "interruptions": 1,
    "resumed_step": 0,
    "reached_step": 50,
    "saved_step": 40,
    "wait_seconds": 10,
}
LAST = {
    **ENTRY,
    "attempt": 2,
    "outcome": "completed",
    "decision": "done",
    "trained_seconds": 600,
    "billed_seconds": 600,
    "interruptions": 0,
    "resumed_step": 40,
    "reached_step": 100,
    "saved_step": 100,
}


def view_of(*entries):
    view = RunView("run", "demo", {"train": "train"}, status="SUCCEEDED")
    view.stages["train"].attempts = entries_in(entries)
    view.stages["train"].status = "done"
    return view


def document(*entries):
    return as_json(view_of(*entries), PRICES, {"train": "abc"})


def test_a_line_that_stands_for_several_attempts_counts_as_many_and_says_no_more_than_it_knows():
    together = {**LAST, "attempts": 2, "trained_seconds": 1600, "billed_seconds": 1600, "usd": 0.4}
    told, unpriced = document(together), document({k: v for k, v in together.items() if k != "usd"})

    assert told["totals"]["attempts"] == told["stages"][0]["attempts"][0]["stands_for"] == 2
    assert (told["totals"]["cost_usd"], told["totals"]["seconds_billed"]) == (0.4, 1600)
    # which of its seconds were work done twice, and at which price, nobody can tell
    assert told["totals"]["on_demand_cost_usd"] is told["totals"]["saved_percent"] is None
    assert unpriced["totals"]["cost_usd"] is None


def test_the_seconds_of_a_row_are_those_of_its_instances_as_in_the_sum():
    out = io.StringIO()
    Console(file=out, width=100).print(as_text(view_of({**LAST, "instance_count": 2}), PRICES, {}))

    assert "1,200 s  $0.3" in out.getvalue()
    assert "1 attempt, 1,200 s billed" in out.getvalue()


def test_the_receipt_adds_up():
    totals = document(ENTRY, LAST)["totals"]

    # 1600 s of a spot instance at a quarter of $0.001 a second; undisturbed: 40/50 of 1000 s and 600 s.
    assert totals["seconds_billed"] == 1600
    assert totals["cost_usd"] == pytest.approx(0.4)
    assert totals["on_demand_cost_usd"] == pytest.approx(1.4)
    assert totals["saved_percent"] == pytest.approx(71.4)
    assert totals["steps_redone"] == 10
    assert totals["attempts"] == 2


def test_billable_seconds_that_hold_the_discount_are_not_discounted_twice():
    discounted = {**LAST, "billed_seconds": 150}

    assert document(discounted)["totals"]["cost_usd"] == pytest.approx(0.15)


def test_absent_billable_seconds_are_estimated_from_the_trained_ones():
    assert document({**LAST, "billed_seconds": None})["totals"]["cost_usd"] == pytest.approx(0.15)


def test_every_instance_is_paid():
    assert document({**LAST, "instance_count": 4})["totals"]["cost_usd"] == pytest.approx(0.6)


def test_an_unknown_price_makes_the_sum_unknown_not_zero():
    totals = document({**LAST, "instance_type": "ml.x9.huge"})["totals"]

    assert totals["cost_usd"] is None
    assert totals["saved_percent"] is None


def test_an_attempt_that_never_ran_costs_nothing():
    never = {
        **ENTRY,
        "outcome": "no capacity",
        "trained_seconds": 0,
        "billed_seconds": 0,
        "reached_step": 0,
        "saved_step": 0,
    }

    assert document(never, LAST)["totals"]["cost_usd"] == pytest.approx(0.15)


def test_an_attempt_whose_seconds_nobody_knows_began_where_it_says():
    # a local world was killed while the job ran: how long it had its instances is not known, nor charged
    killed = {**ENTRY, "outcome": "platform fault", "trained_seconds": 0, "billed_seconds": 0}
    first = document(killed, LAST)["stages"][0]["attempts"][0]

    assert (first["resumed_step"], first["reached_step"], first["steps_redone"]) == (0, 50, 10)
    assert first["cost_usd"] == 0


def test_what_reached_s3_late_is_known_from_the_next_attempt():
    never = {**ENTRY, "attempt": 2, "outcome": "no capacity", "trained_seconds": 0, "billed_seconds": 0}
    never |= {"resumed_step": 40, "reached_step": 40}
    last = {**LAST, "attempt": 3, "resumed_step": 45}

    attempts = document(ENTRY, never, last)["stages"][0]["attempts"]

    assert [(a["resumed_step"], a["reached_step"]) for a in attempts] == [(0, 50), (45, 45), (45, 100)]
    assert [a["steps_redone"] for a in attempts] == [5, 0, 0]


def test_a_checkpoint_that_was_cut_is_lost_once_and_not_by_those_that_never_ran():
    never = {**ENTRY, "attempt": 2, "outcome": "no capacity", "trained_seconds": 0, "billed_seconds": 0}
    never |= {"resumed_step": 40, "reached_step": 40}
    last = {**LAST, "attempt": 4, "resumed_step": 30}

    attempts = document(ENTRY, never, {**never, "attempt": 3}, last)["stages"][0]["attempts"]

    assert [(a["resumed_step"], a["reached_step"]) for a in attempts] == [
        (0, 50),
        (30, 30),
        (30, 30),
        (30, 100),
    ]
    assert [a["steps_redone"] for a in attempts] == [20, 0, 0, 0]


def test_the_text_names_the_attempts_their_ends_and_the_reasons():
    failed = {
        **LAST,
        "outcome": "user error",
        "decision": "fail",
        "why": "the script failed",
        "message": "ValueError: x",
    }
    out = io.StringIO()
    Console(file=out, width=100).print(as_text(view_of(ENTRY, failed), PRICES, {}))

    for words in (
        "interrupted",
        "0 → 50 (10 to redo)",
        "interruption 1 of 3",
        "it said: ValueError: x",
        "2026-01-01",
    ):
        assert words in out.getvalue()


def event(kind, key=None, **details):
    moment = datetime(2026, 1, 1, tzinfo=UTC)
    return {"type": kind, "timestamp": moment, **({key: details} if key else {})}


def test_a_view_follows_the_history_and_knows_what_runs_now():
    view = RunView("run", "demo", {"train": "train"})
    parameters = '{"TrainingJobName": "job-1", "Tags": [{"Key": "relay:stage", "Value": "train"}]}'
    view.update(
        [
            event("TaskStateEntered", "stateEnteredEventDetails", name="train: on spot"),
            event(
                "TaskScheduled",
                "taskScheduledEventDetails",
                resource="createTrainingJob.sync",
                parameters=parameters,
            ),
        ]
    )
    assert (view.stages["train"].status, view.stages["train"].job) == ("running", "job-1")

    view.update([event("ExecutionFailed", "executionFailedEventDetails", error="E", cause="why")])
    assert (view.status, view.error, view.cause) == ("FAILED", "E", "why")
    assert view.stages["train"].status == "failed"


def test_the_stages_of_a_machine_are_read_from_its_text():
    task = {"Type": "Task", "Resource": "arn:aws:states:::sagemaker:createTrainingJob.sync"}
    branch = {"States": {"b: on demand": {**task, "Resource": "x:sagemaker:createProcessingJob.sync"}}}
    definition = {"States": {"a: on spot": task, "side by side": {"Branches": [branch]}}}

    assert stages_in(definition) == {"a": "train", "b": "process"}


def test_a_job_that_was_stopped_with_the_run_stands_among_the_attempts_in_its_order():
    first = {**ENTRY, "job": "demo--train-abc-0-1"}
    last = {**LAST, "job": "demo--train-abc-1-2", "resumed_step": 70}
    view = view_of(first, last)
    figures = {key: ENTRY[key] for key in ("market", "instance_type", "instance_count", "interruptions")}

    view.add_stopped(
        "demo--train-abc-0-2", "train", {**figures, "trained_seconds": 300, "billed_seconds": 300}
    )

    document = as_json(view, PRICES, {})
    attempts = document["stages"][0]["attempts"]
    assert [a["outcome"] for a in attempts] == ["interrupted", "stopped with the run", "completed"]
    assert (attempts[1]["resumed_step"], attempts[1]["reached_step"]) == (40, 70)
    assert document["totals"]["seconds_billed"] == 1900
