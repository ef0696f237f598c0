"""Every attempt is in the table, agrees with the ledger, and is measured; neither can cost a run its life."""

import json

import pytest

from tests.machine.pipelines import Run, pipeline, watch
from workflows.ledger.attempts import NAMESPACE, read
from workflows.ledger.receipt import as_json
from workflows.local.sagemaker.work_model import Failure, WorkModel
from workflows.local.service_errors import ServiceError
from workflows.policy.prices import load_prices

TRAIN = {"name": "train"}
LOST = {"interrupt": "50%"}
WORK = {"seconds": 1200, "steps": 100, "save_every": 60}
LEARNS = WorkModel(**WORK, metrics={"accuracy": lambda given: float(given["rate"])})
THROTTLED = ServiceError("ThrottlingException", "Rate exceeded")
UNREACHABLE = ServiceError("SdkClientException", "no answer")
NOT_ALLOWED = ServiceError("AccessDeniedException", "User: x is not authorized to perform: dynamodb:PutItem")


def sweep(trials, **more):
    grid = {"rate": list(range(trials))}
    return {"name": "tune", "kind": "sweep", "grid": grid, "best": {"metric": "accuracy"}, **more}


def table(run):
    return list(read(lambda **request: run.world.table.call("Query", request), "relay-ledger", "demo"))


def totals(run):
    return as_json(run.view, load_prices(), {})["totals"]


# --------------------------------------------------------------------------------------------- the table
def test_every_attempt_of_a_stormy_run_is_in_the_table_as_in_the_ledger():
    # given a drought, an interruption and a fallback, and a processing job before them
    found = pipeline({"name": "prepare", "kind": "process"}, TRAIN, spot={"retry_budget": 3})
    # when
    run = Run(found, scenario={"spot": {"train": [LOST, "none", LOST]}}, watch=watch())
    # then
    entries = [entry for stage in run.view.stages.values() for entry in stage.entries()]
    rows = sorted(table(run), key=lambda row: row.created)
    assert [row.outcome for row in rows] == [
        "completed",
        "interrupted",
        "no capacity",
        "interrupted",
        "completed",
    ]
    for row, entry in zip(rows, entries, strict=True):
        known = {name: value for name, value in vars(row).items() if name in entry}
        shown = {**known, **{name: f"{known[name]:%Y-%m-%dT%H:%M:%SZ}" for name in ("created", "ended")}}
        assert shown == {name: entry[name] for name in shown}
        assert (row.run, row.run_key) == ("run", "20260105T000000-run")
    assert [row.attempt_id.partition("/")[2] for row in rows][1:] == [f"train/0-{n}" for n in (1, 2, 3, 4)]


def test_the_table_agrees_with_the_receipt_to_the_cent_and_second():
    run = Run(pipeline(TRAIN), scenario={"spot": {"train": [LOST, "none", LOST]}}, watch=watch())

    rows, told = table(run), totals(run)

    assert round(sum(row.usd for row in rows), 6) == round(told["cost_usd"], 6)
    assert sum(row.on_demand_usd for row in rows) == pytest.approx(told["on_demand_cost_usd"], abs=5e-6)
    assert sum(row.trained_seconds for row in rows) == told["seconds_trained"]
    assert sum(row.interruptions for row in rows) == told["interruptions"]


def test_an_attempt_says_when_it_was_and_how_long_it_waited_for_instances():
    run = Run(pipeline(TRAIN), scenario={"spot": {"train": [{"interrupt": "50%", "back": "5m"}]}})

    (row,), (job,) = table(run), run.jobs
    waits = [
        change["EndTime"] - change["StartTime"]
        for change in job["SecondaryStatusTransitions"]
        if change["Status"] in {"Starting", "Interrupted"}
    ]
    assert row.created == job["CreationTime"].replace(microsecond=0)
    assert row.ended == job["TrainingEndTime"].replace(microsecond=0)
    assert row.queued_seconds == round(sum(wait.total_seconds() for wait in waits))
    assert row.queued_seconds > 300


def test_a_create_call_that_was_refused_is_in_the_table_at_the_time_of_its_refusal():
    run = Run(pipeline(TRAIN), quotas={"ml.m5.xlarge for spot training job usage": 0})

    refused = [row for row in table(run) if row.market == "spot"]

    assert len(refused) == len(run.attempts("train")) - 1
    assert all(row.created == row.ended for row in refused)
    assert len({row.created for row in refused}) == len(refused)


def test_the_trials_of_a_sweep_have_their_own_keys_in_one_execution_and_in_many():
    for trials in (2, 60):
        found = pipeline(sweep(trials, concurrency=trials))
        run = Run(found, models={"tune": LEARNS}, scenario={"spot": {"tune/1": [LOST]}}, watch=watch())

        keys = {row.attempt_id.partition("/")[2]: row.trial for row in table(run)}
        assert len(keys) == trials + 1
        assert {key: trial for key, trial in keys.items() if trial == 1} == {"tune/1/0-1": 1, "tune/1/0-2": 1}


def test_what_a_redrive_goes_on_with_is_written_once_and_under_new_keys():
    # given a stage whose script failed once, behind one that was done
    run = Run(
        pipeline({"name": "first"}, {"name": "train", "needs": ["first"]}),
        models={"train": WorkModel(**WORK, failures=(Failure(exit_code=1, text="no", after=30),))},
    )
    assert run.ended["status"] == "FAILED"
    # when
    run.redrive()
    # then
    assert run.ended["status"] == "SUCCEEDED"
    keys = [row.attempt_id.partition("/")[2] for row in table(run)]
    assert keys == ["first/0-1", "train/0-1", "train/1-2"]


def test_nothing_is_written_of_what_did_not_run():
    # given a run, and one that takes its results
    run = Run(pipeline(TRAIN, {"name": "other", "needs": ["train"]}))
    first = {row.attempt_id: row for row in table(run)}
    measured = len(run.world.metrics.data)
    # when
    again = run.again({"reuse": True})
    skipped = run.again({"only": ["other"]}, name="only")
    # then
    assert [stage.status for stage in again.view.stages.values()] == ["reused", "reused"]
    rows = {row.attempt_id: row for row in table(run)}
    assert {row.run for row in rows.values()} == {"run", "only"}
    assert [row.stage for key, row in rows.items() if key not in first] == ["other"]
    assert skipped.ended["status"] == "SUCCEEDED"
    assert len(run.world.metrics.data) == measured * 3 // 2


def test_a_text_in_the_place_of_a_step_costs_neither_the_run_nor_its_item():
    def report(world):
        def spoil(event):
            world.objects.put(
                "bucket", progress, b'{"step": "many", "saved_step": 0, "interruptions": 0, "total": {}}'
            )

        progress = "demo/runs/20260105T000000-run/train/checkpoints/progress.json"
        world.sagemaker.subscribers.append(spoil)

    run = Run(pipeline(TRAIN), scenario={"spot": {"train": ["none"]}}, watch=watch(), before=report)

    assert run.ended["status"] == "SUCCEEDED"
    assert [row.outcome for row in table(run)][-1] == "completed"


# ------------------------------------------------------------------------------- what it may not cost
@pytest.mark.parametrize("refusal", [THROTTLED, UNREACHABLE, NOT_ALLOWED], ids=lambda e: e.code)
def test_a_table_and_metrics_that_refuse_everything_cost_a_run_nothing_but_moments(refusal):
    def refuse(world):
        world.table.refusal = world.metrics.refusal = refusal

    scenario = {"spot": {"train": [LOST]}}
    usual = Run(pipeline(TRAIN), scenario=scenario, watch=watch())
    run = Run(pipeline(TRAIN), scenario=scenario, watch=watch(), before=refuse)

    assert run.attempts("train") == usual.attempts("train")
    assert run.ended["status"] == "SUCCEEDED"
    assert run.world.table.calls == 2 * 2  # twice for each attempt, no more
    assert table_is_empty(run)


def table_is_empty(run):
    return not run.world.table.items and not run.world.metrics.data


def test_a_table_that_is_not_there_costs_a_run_nothing():
    run = Run(pipeline(TRAIN), table="another")

    assert run.ended["status"] == "SUCCEEDED"
    assert not run.world.table.items
    assert run.world.metrics.sums()["CostUSD"] > 0


def test_metrics_that_fail_leave_the_table_whole():
    def refuse(world):
        world.metrics.refusal = THROTTLED

    run = Run(pipeline(TRAIN), before=refuse)

    assert run.ended["status"] == "SUCCEEDED"
    assert len(table(run)) == 1


# --------------------------------------------------------------------------------------------- the metrics
def test_the_metrics_of_a_run_are_the_figures_of_its_receipt():
    run = Run(
        pipeline(TRAIN, spot={"retry_budget": 2}),
        scenario={"spot": {"train": [LOST, "none", "none"]}},
        watch=watch(),
    )

    sums, told, rows = run.world.metrics.sums(), totals(run), table(run)

    assert sums["Interruptions"] == told["interruptions"] == 1
    assert sums["CostUSD"] == pytest.approx(told["cost_usd"])
    saved = told["on_demand_cost_usd"] - told["cost_usd"]
    assert sums["SavedUSD"] == pytest.approx(saved, abs=5e-6)
    assert sums["WaitSeconds"] == sum(row.queued_seconds for row in rows)
    assert sums["OnDemandAttempts"] == sum(row.market == "on-demand" for row in rows) == 1
    assert (sums["NoProgress"], sums.get("DeadlinePressed", 0)) == (0, 0)
    assert {namespace for namespace, _ in run.world.metrics.data} == {NAMESPACE}
    dimensions = [{"Name": "Pipeline", "Value": "demo"}]
    assert all(datum["Dimensions"] == dimensions for _, datum in run.world.metrics.data)


def test_attempts_that_move_the_checkpoint_nowhere_are_measured():
    run = Run(pipeline(TRAIN), scenario={"spot": {"train": [{"interrupt": "2%"}, LOST]}}, watch=watch())

    assert run.world.metrics.sums()["NoProgress"] == 1


def test_a_decision_for_the_deadline_is_measured_once_also_before_the_first_attempt():
    tight = pipeline({**TRAIN, "expected": "20m", "changeover": "5m"}, deadline="45m")
    run = Run(tight, scenario={"spot": {"train": ["none"] * 3}}, watch=watch())
    held = Run(pipeline({**TRAIN, "expected": "20m", "changeover": "5m"}, deadline="32m"))

    for each in (run, held):
        assert [market for market, *_ in each.attempts("train")][-1] == "on-demand"
        assert each.world.metrics.sums()["DeadlinePressed"] == 1
    assert [market for market, *_ in held.attempts("train")] == ["on-demand"]


def test_what_is_done_on_demand_by_choice_is_no_fallback():
    run = Run(pipeline({**TRAIN, "on_demand": {"enabled": True}, "spot": {"enabled": False}}))

    assert "OnDemandAttempts" not in run.world.metrics.sums()


def test_an_item_is_small_whatever_the_job_said():
    loud = WorkModel(**WORK, failures=(Failure(exit_code=1, text="x" * 5000, after=30),))
    run = Run(pipeline(TRAIN), models={"train": loud})

    (item,) = run.world.table.items.values()
    assert len(json.dumps(item)) < 3000
