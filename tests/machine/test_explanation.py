"""`relay explain`, the receipt, the ledger and the table agree, whatever happened in the run."""

import io
import re
from typing import Any

import pytest
from rich.console import Console

from tests.machine.pipelines import Run, pipeline, watch
from workflows.errors import RelayError
from workflows.ledger.attempts import read
from workflows.ledger.explanation import as_document, as_text
from workflows.ledger.receipt import as_json
from workflows.ledger.receipt_page import as_html
from workflows.ledger.receipt_text import money
from workflows.ledger.remembered import view_of
from workflows.ledger.statistics import statistics
from workflows.local.sagemaker.work_model import Failure, WorkModel
from workflows.policy.prices import load_prices

PRICES = load_prices()
LOST: dict[str, Any] = {"interrupt": "50%"}
WORK: dict[str, Any] = {"seconds": 1200, "steps": 100, "save_every": 60}
LEARNS = WorkModel(**WORK, metrics={"accuracy": lambda given: float(given["rate"])})
BROKEN = WorkModel(**WORK, failures=(Failure(exit_code=1, text="ValueError: no such column", after=30),))
SWEEP = {
    "name": "tune",
    "kind": "sweep",
    "grid": {"rate": [1, 2, 3]},
    "best": {"metric": "accuracy"},
}


def stormy():
    return Run(pipeline({"name": "train"}), scenario={"spot": {"train": [LOST, "none", LOST]}}, watch=watch())


def with_a_sweep():
    scenario = {"spot": {"tune/0": [LOST], "tune/2": [LOST, LOST]}}
    return Run(pipeline(SWEEP, {"name": "last"}), models={"tune": LEARNS}, scenario=scenario)


def that_failed():
    return Run(pipeline({"name": "first"}, {"name": "last", "needs": ["first"]}), models={"last": BROKEN})


def with_reuse():
    """Its first stage is an earlier run's; the last loses its two instances once."""
    last = {"name": "last", "needs": ["first"], "instances": 2}
    first = Run(
        pipeline({"name": "first"}, last),
        run_input={"only": ["first"]},
        scenario={"spot": {"last": ["none", LOST]}},
        watch=watch(),
    )
    return first.again({"reuse": True})


def rows_of(run):
    rows = read(lambda **request: run.world.table.call("Query", request), "relay-ledger", "demo")
    return [row for row in rows if row.run == run.arn.rpartition(":")[2]]


def lines(document):
    """Every attempt with its money and time, trials included, in whatever order."""
    stages = document["stages"]
    parts = [*stages, *(trial for stage in stages for trial in stage.get("trials", []))]
    return sorted((a["job"], a["cost_usd"], a["seconds_billed"]) for p in parts for a in p["attempts"])


@pytest.mark.parametrize("make", [stormy, with_a_sweep, with_reuse, that_failed])
def test_explain_and_the_receipt_agree_with_the_ledger_and_the_table_to_the_cent_and_second(make):
    # given
    run = make()
    entries = [entry for stage in run.view.stages.values() for entry in stage.entries()]
    # when
    explained = as_document(run.view, PRICES, "history")
    receipt, rows = as_json(run.view, PRICES, {}), rows_of(run)
    # then
    assert explained["totals"] == receipt["totals"]
    assert lines(explained) == lines(receipt)
    by_hand = sorted((e.job, e.usd, e.billed_seconds) for e in entries)
    assert lines(explained) == by_hand == sorted((r.job, r.usd, r.billed_seconds) for r in rows)
    assert explained["totals"]["cost_usd"] == pytest.approx(sum(row.usd for row in rows), abs=1e-9)
    assert explained["totals"]["seconds_trained"] == sum(
        row.trained_seconds * row.instance_count for row in rows
    )


@pytest.mark.parametrize("make", [stormy, with_a_sweep, with_reuse, that_failed])
def test_what_the_table_remembers_when_the_history_has_gone_explains_the_same(make):
    run = make()

    remembered = view_of("run", "demo", rows_of(run))

    told, known = as_document(remembered, PRICES, "table"), as_document(run.view, PRICES, "history")
    assert told["totals"] == pytest.approx(known["totals"])
    jobs = {a["job"]: a for part in known["stages"] for a in part["attempts"]}
    for part in told["stages"]:
        for attempt in part["attempts"]:
            same = jobs.pop(attempt["job"])
            for name in ("outcome", "decision", "reason", "message", "created", "ended", "cost_usd"):
                assert attempt[name] == same[name], name
    assert not jobs
    states = {part["name"]: part["status"] for part in known["stages"]}
    assert {part["name"]: part["status"] for part in told["stages"]} == {
        name: states[name] for name in (part["name"] for part in told["stages"])
    }


@pytest.mark.parametrize("make", [stormy, with_a_sweep, with_reuse, that_failed])
def test_the_statistics_and_the_page_tell_the_money_of_the_receipt(make):
    # given
    run = make()
    told = as_json(run.view, PRICES, {})["totals"]
    # when
    found = statistics(rows_of(run), PRICES)
    page = as_html(run.view, PRICES, {})
    # then
    assert found.attempts == told["attempts"]
    assert found.usd == pytest.approx(told["cost_usd"], abs=1e-6)
    assert found.on_demand_usd == pytest.approx(told["on_demand_cost_usd"], abs=1e-6)
    for sum_of_it in (told["cost_usd"], told["on_demand_cost_usd"]):
        assert f"<b>{money(sum_of_it)}</b>" in page
    billed = [seconds.replace(",", "") for seconds in re.findall(r'data-label="billed">([0-9,]+) s<', page)]
    assert sum(map(int, billed)) == told["seconds_billed"] > 0


def test_the_run_with_reuse_has_what_is_to_agree():
    run = with_reuse()

    assert [stage.status for stage in run.view.stages.values()] == ["reused", "done"]
    assert [row.outcome for row in rows_of(run)] == ["no capacity", "interrupted", "completed"]


def test_a_stage_that_was_reused_costs_nothing_and_says_whose_it_is():
    again = stormy().again({"reuse": True})
    view, out = again.view, io.StringIO()

    explained, receipt = as_document(view, PRICES, "history"), as_json(view, PRICES, {})
    Console(file=out, width=200).print(as_text(view, PRICES))

    assert explained["totals"] == receipt["totals"]
    assert (explained["totals"]["attempts"], explained["totals"]["cost_usd"]) == (0, 0)
    assert "train  reused: the job demo--train-" in out.getvalue()
    assert "of the run" in out.getvalue()


def test_the_text_says_of_each_attempt_why_it_ended_what_came_next_and_what_it_cost():
    out = io.StringIO()

    Console(file=out, width=200).print(as_text(stormy().view, PRICES))

    text = out.getvalue()
    for words in (
        "attempt 1 on spot, ml.m5.xlarge, 2026-01-05 ",
        "ended    interrupted, steps 0 to",
        "it said  no capacity for",
        "next     go on, on spot: interruption 1 of",
        "cost     $",
        "on demand, what was kept of it: $",
        "Together  4 attempts",
    ):
        assert words in text, words


def test_in_a_narrow_terminal_what_wraps_stays_in_its_column():
    out = io.StringIO()

    Console(file=out, width=60).print(as_text(that_failed().view, PRICES))

    facts = ("ended    ", "it said  ", "next     ", "cost     ")
    told = [line[4:] for line in out.getvalue().splitlines() if line.startswith("    ")]
    assert len(told) > 8  # something was wrapped
    assert all(line.startswith((*facts, " " * len(facts[0]))) for line in told)


def test_how_the_run_ended_is_told_without_the_words_of_the_service():
    out = io.StringIO()

    Console(file=out, width=1000).print(as_text(that_failed().view, PRICES))

    last = out.getvalue().splitlines()[-1]
    assert last.startswith("The run ended FAILED: last: user error: the script failed")
    assert "ValueError: no such column" in last


def test_a_trial_is_told_with_its_parameters_and_a_stage_without_attempts_without_money():
    out = io.StringIO()
    console = Console(file=out, width=200)

    console.print(as_text(with_a_sweep().view, PRICES, "tune"))
    console.print(as_text(stormy().again({"reuse": True}).view, PRICES, "train"))

    assert "tune #1  done  rate=2" in out.getvalue()
    assert "No attempt, no cost." in out.getvalue()


def test_one_stage_or_trial_is_told_alone_and_an_unknown_one_with_what_there_is():
    view = with_a_sweep().view

    alone = as_document(view, PRICES, "history", "tune")

    assert [part["name"] for part in alone["stages"]] == ["tune", "tune #0", "tune #1", "tune #2"]
    with pytest.raises(RelayError, match="unknown stage `tuen`; allowed: tune, last; did you mean `tune`"):
        as_document(view, PRICES, "history", "tuen")


def test_what_a_failed_script_said_is_told_with_the_decision():
    told = as_document(that_failed().view, PRICES, "history", "last")

    (attempt,) = told["stages"][0]["attempts"]
    assert "ValueError: no such column" in attempt["message"]
    assert (attempt["outcome"], attempt["decision"]) == ("user error", "fail")
