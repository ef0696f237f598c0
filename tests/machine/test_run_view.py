"""What a run's history tells of every kind of stage, and what the receipt and the narration make of it."""

import io
import json
from dataclasses import replace
from typing import Any

import pytest
from rich.console import Console

from tests.machine.aws_client import runs_of
from tests.machine.pipelines import Run, pipeline
from workflows.ledger.receipt import as_json
from workflows.ledger.receipt_text import as_text
from workflows.ledger.run_view import RunView
from workflows.ledger.stage_view import stages_in
from workflows.local.clock import EPOCH
from workflows.local.sagemaker.work_model import PLATFORM_FAULT, Failure, WorkModel
from workflows.policy.prices import load_prices
from workflows.runs.live import Narrator, status

WORK: dict[str, Any] = {"seconds": 1200, "steps": 100, "save_every": 60}
LOST: dict[str, Any] = {"interrupt": "50%"}
PRICES = load_prices()


def sweep(rates, **more):
    return {
        "name": "tune",
        "kind": "sweep",
        "grid": {"rate": rates},
        "best": {"metric": "accuracy"},
        "concurrency": 3,
        **more,
    }


def learns(*failures):
    """Accuracy follows from the rate; the first trial's jobs fail as told."""
    usual = WorkModel(**WORK, metrics={"accuracy": lambda h: 0.5 + float(h["rate"]) / 1000})
    return {"tune": usual, "tune/0": replace(usual, failures=failures)}


def everything(**more):
    return pipeline(
        {"name": "prepare", "kind": "process", "outputs": ["data"]},
        sweep([1, 2, 3], inputs={"data": "{{ prepare.outputs.data }}"}),
        {"name": "good", "kind": "gate", "when": "{{ tune.metrics.accuracy }} >= 0.5"},
        {"name": "final", "needs": ["good"]},
        {"name": "publish", "kind": "register", "model": "{{ final.outputs.model }}"},
        **more,
    )


def text_of(view, width=80):
    out = io.StringIO()
    Console(file=out, width=width).print(as_text(view, PRICES, {}))
    return out.getvalue()


def narrated(run):
    """The lines that somebody who looks after every event would see."""
    view = RunView("run", "demo", stages_in(run.definition))
    narrator, lines = Narrator(view), []
    for event in run.world.history(run.arn):
        view.update([event])
        lines += [line.plain for line, _ in narrator.news()]
    return [" ".join(line.split()) for line in lines]


# ---------------------------------------------------------------------------------------- kinds of stages
def test_every_kind_of_stage_is_found_in_the_machine_and_told_with_its_result():
    run = Run(everything(), models=learns())
    stages = run.view.stages

    assert {name: stage.kind for name, stage in stages.items()} == {
        "prepare": "process",
        "tune": "sweep",
        "good": "gate",
        "final": "train",
        "publish": "register",
    }
    assert {stage.status for stage in stages.values()} == {"done"}
    assert stages["good"].verdict == "0.503 >= 0.5: go on"
    assert stages["publish"].package.endswith(":model-package/demo/1")
    assert stages["tune"].best == 2
    assert stages["tune"].metric == "accuracy"


def test_the_attempts_of_trials_that_run_side_by_side_are_told_apart_while_they_run():
    scenario = {"spot": {"tune/0": [LOST], "tune/1": [LOST]}}
    run = Run(pipeline(sweep([1, 2, 3])), models=learns(), scenario=scenario)
    events = run.world.history(run.arn)
    view = RunView("run", "demo", stages_in(run.definition))

    seen = []
    for event in events:
        view.update([event])
        running = {n: trial.job for n, trial in view.stages["tune"].trials.items() if trial.job}
        if running not in seen:
            seen.append(running)

    assert max(len(running) for running in seen) == 3
    assert {trial.status for trial in view.stages["tune"].trials.values()} == {"done"}
    assert [len(trial.attempts) for trial in view.stages["tune"].trials.values()] == [2, 2, 1]
    for number, trial in view.stages["tune"].trials.items():
        jobs = {entry.job for entry in trial.attempts}
        assert jobs >= {running[number] for running in seen if number in running}
        assert trial.parameters == {"rate": str(number + 1)}
        assert trial.place.endswith(f"/tune/{number}")


def test_a_trial_that_may_fail_says_so_and_a_sweep_that_failed_says_which_trial_did():
    user_error = Failure(exit_code=1, text="ValueError: rate", after=30)
    tolerant = Run(pipeline(sweep([1, 2], tolerated_failures=1)), models=learns(user_error))
    strict = Run(pipeline(sweep([1, 2])), models=learns(user_error))

    tune = tolerant.view.stages["tune"]
    assert {trial.status for trial in tune.trials.values()} == {"failed", "done"}
    failed = next(trial for trial in tune.trials.values() if trial.status == "failed")
    assert "ValueError: rate" in failed.why
    assert tune.status == "done"
    tune = strict.view.stages["tune"]
    assert tune.status == "failed"
    assert sorted(trial.status for trial in tune.trials.values()) == ["failed", "stopped"]


def test_a_redriven_sweep_keeps_what_its_trials_cost_before():
    user_error = Failure(exit_code=1, text="ValueError: rate", after=30)
    run = Run(pipeline(sweep([1, 2])), models=learns(user_error))
    before = run.view.stages["tune"].entries()

    run.redrive()

    tune = run.view.stages["tune"]
    assert run.view.status == "SUCCEEDED"
    assert {entry.job for entry in before} < {entry.job for entry in tune.entries()}
    assert {trial.status for trial in tune.trials.values()} == {"done"}


def test_trials_that_are_executions_of_their_own_are_known_from_the_sweeps_result():
    run = Run(
        pipeline(sweep(list(range(1, 42)), concurrency=40)),
        models=learns(),
        scenario={"spot": {"tune/0": [LOST]}},
    )
    tune = run.view.stages["tune"]

    assert (tune.status, tune.best, len(tune.trials)) == ("done", 40, 41)
    assert [trial.tries for _, trial in sorted(tune.trials.items())] == [2] + [1] * 40
    assert len(tune.trials[0].attempts) == 1  # which stands for both


# -------------------------------------------------------------------------------- refused, skipped, reused
def test_a_run_that_was_refused_at_its_start_says_so():
    run = Run(pipeline({"name": "train"}), run_input={"only": ["trian"]})

    assert run.view.refused
    assert "trian" in run.view.cause
    assert run.view.stages["train"].status == "waiting"


def test_a_gate_that_says_stop_and_what_it_skips_are_told():
    found = pipeline(
        {"name": "train"},
        {"name": "good", "kind": "gate", "when": "{{ train.metrics.accuracy }} >= 0.9"},
        {"name": "final", "needs": ["good"]},
    )
    run = Run(found, models={"train": WorkModel(**WORK, metrics={"accuracy": 0.8})})

    assert run.view.stages["good"].verdict == "0.8 >= 0.9: stop"
    assert run.view.stages["final"].status == "skipped"
    assert "final  skipped: a gate before it said stop" in text_of(run.view)
    assert "good 0.8 >= 0.9: stop" in narrated(run)


def test_a_gate_that_fails_is_the_stage_that_failed():
    found = pipeline(
        {"name": "train"},
        {"name": "good", "kind": "gate", "when": "{{ train.metrics.accuracy }} >= 0.9", "otherwise": "fail"},
    )
    run = Run(found, models={"train": WorkModel(**WORK, metrics={"accuracy": 0.8})})

    assert run.view.status == "FAILED"
    assert run.view.stages["good"].status == "failed"
    assert run.view.stages["good"].verdict == "0.8 >= 0.9: stop"


def test_a_stage_whose_sibling_failed_was_stopped_and_did_not_fail():
    found = pipeline({"name": "one"}, {"name": "two"})
    run = Run(found, models={"one": WorkModel(**WORK, failures=(Failure(exit_code=1, after=30),))})

    assert (run.view.stages["one"].status, run.view.stages["two"].status) == ("failed", "stopped")


def test_a_reused_stage_names_the_job_that_did_it_and_costs_nothing():
    run = Run(pipeline({"name": "train"}))
    first = run.view.stages["train"].attempts[0].job

    run.arn = run.world.run(run.definition, {"reuse": True}, name="again")

    view = run.view
    train = view.stages["train"]
    assert (train.status, train.reused, train.attempts) == ("reused", first, [])
    assert as_json(view, PRICES, {})["totals"]["cost_usd"] == 0
    assert first in " ".join(text_of(view).split())


def test_a_decision_before_the_first_attempt_is_told_once():
    found = pipeline({"name": "train", "expected": "20m"}, spot={"retry_budget": 3})
    run = Run(found, run_input={"spot": {"train": {"retry_budget": 0}}})

    assert [entry.market for entry in run.view.stages["train"].attempts] == ["on-demand"]
    (note,) = run.view.stages["train"].notes
    assert (note.after, note.why) == (0, "a retry budget of 0: on-demand")
    assert "before 1: a retry budget of 0: on-demand" in text_of(run.view)


def test_what_is_spent_and_the_time_to_the_deadline_stand_under_the_table():
    found = pipeline({"name": "train", "expected": "20m"})
    run = Run(found, run_input={"deadline": "36h", "budget_usd": 5})

    out = io.StringIO()
    Console(file=out, width=80).print(status(run.view, {}, 3.0, EPOCH))

    assert "3 s, $0.0268 of $5.00 spent, 36 h 0 min to the deadline, run run" in out.getvalue()
    assert "It ended 35 h" in text_of(run.view)
    assert "of a limit of $5.00" in text_of(run.view)


# ------------------------------------------------------------------------------------------------- money
@pytest.mark.parametrize("count", [1, 3])
def test_the_machines_dollars_are_those_of_the_price_book(count):
    found = pipeline(
        {"name": "prepare", "kind": "process"},
        sweep([1, 2], instances=count),
        {"name": "train", "spot": {"ladder": ["ml.m5.xlarge", {"type": "ml.m5.2xlarge", "count": 2}]}},
        spot={"retry_budget": 2},
    )
    faults = WorkModel(**WORK, failures=(PLATFORM_FAULT,))
    run = Run(found, models={**learns(), "train": faults}, scenario={"spot": {"train": [LOST, "none"]}})
    view = run.view

    reckoned = as_json(view, PRICES, {})["totals"]["cost_usd"]
    entries = [entry for stage in view.stages.values() for entry in stage.entries()]
    for stage in view.stages.values():
        for activity in (stage, *stage.trials.values()):
            activity.attempts = [replace(entry, usd=None) for entry in activity.attempts]
    by_the_book = as_json(view, PRICES, {})["totals"]["cost_usd"]

    assert entries
    assert all(entry.usd is not None for entry in entries)
    assert reckoned == pytest.approx(by_the_book, abs=1e-6 * len(entries))
    assert reckoned > 0


# -------------------------------------------------------------------------------------------------- text
def test_a_large_sweep_shows_its_best_trials_and_those_that_failed():
    found = pipeline(sweep(list(range(1, 16)), tolerated_failures=2, concurrency=15))
    failures = (Failure(exit_code=1, text="ValueError: rate", after=30),)
    text = text_of(Run(found, models=learns(*failures)).view)

    rows = [line.split()[0] for line in text.splitlines() if "rate=" in line]
    assert rows == ["14", "13", "12", "11", "10", "0"]
    assert "and 9 trials more" in text


def test_a_receipt_fits_eighty_columns_and_loses_no_word():
    longest = "a-stage-with-a-name-of-forty-characters1"
    found = pipeline(
        {"name": longest, "instances": 16, "spot": {"ladder": ["ml.m5.24xlarge"]}},
        sweep([1, 2], hyperparameters={"a-parameter-with-a-long-name": "and a long text for its value"}),
    )
    models = {**learns(), longest: WorkModel(seconds=3000, steps=1_000_000, save_every=70, on_sigterm="exit")}
    text = text_of(Run(found, models=models, scenario={"spot": {longest: [LOST, LOST]}}).view)

    assert max(map(len, text.splitlines())) <= 80
    assert "…" not in text
    for words in (longest, "16 x", "ml.m5.24xlarge", "to redo)", "interrupted"):
        assert words in " ".join(text.split())


def test_the_document_is_json_and_holds_what_the_text_says():
    document = json.loads(json.dumps(as_json(Run(everything(), models=learns()).view, PRICES, {})))

    stages = {stage["name"]: stage for stage in document["stages"]}
    assert stages["good"]["verdict"] == "0.503 >= 0.5: go on"
    assert stages["publish"]["package"].endswith("/demo/1")
    assert stages["tune"]["best_trial"] == 2
    assert [trial["value"] for trial in stages["tune"]["trials"]] == [0.501, 0.502, 0.503]
    assert document["totals"]["attempts"] == 5


def test_the_narration_tells_trials_apart_and_names_the_best():
    lines = narrated(Run(everything(), models=learns(), scenario={"spot": {"tune/0": [LOST]}}))

    assert "tune #1 attempt 1 on spot: completed at step 100" in lines
    assert "tune the best trial is 2: accuracy 0.503, rate=3" in lines
    assert lines.index("good 0.503 >= 0.5: go on") > lines.index(
        "tune #2 attempt 1 on spot: completed at step 100"
    )


@pytest.mark.parametrize("settings", [{}, {"checkpoint": {"s3_uri": "s3://bucket/shared/here/"}}])
def test_the_folder_of_the_checkpoints_is_that_of_the_job_wherever_the_pipeline_puts_it(settings):
    run = Run(pipeline({"name": "train", **settings}))

    folder = run.view.stages["train"].checkpoints
    said = runs_of(run.world).progress(folder)

    assert folder == run.jobs[0]["CheckpointConfig"]["S3Uri"]
    assert said is not None
    assert (said.step, said.total) == (100, 100)
