"""A sweep: every trial has the full treatment of a stage, and the best one goes on."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.machine.pipelines import Run, pipeline, watch
from workflows.local.sagemaker.work_model import Failure, WorkModel
from workflows.policy.prices import load_prices

LARGE: dict[str, Any] = {
    "retry_budget": 200
}  # three trials with it could have more events than one history takes
USUAL: dict[str, Any] = {"seconds": 1200, "steps": 100, "save_every": 60}
BUG = Failure(exit_code=1, text="ValueError: no")


def sweep(**fields):
    usual = {"name": "tune", "kind": "sweep", "grid": {"lr": [0.1, 0.2, 0.3]}, "best": {"metric": "acc"}}
    return {**usual, **fields}


def work(*failures, **metrics):
    """Trials that report `acc` as their rate; the first job of the n-th one fails as the n-th says."""
    reported = metrics or {"acc": lambda parameters: float(parameters["lr"])}
    usual = WorkModel(**USUAL, metrics=reported)
    told = {f"tune/{n}": replace(usual, failures=(failure,)) for n, failure in enumerate(failures)}
    return {"tune": usual, **told}


def assert_adds_up(run):
    """What the sweep's ledger says was used and paid is what the jobs say."""
    lines, jobs = run.results["tune"]["ledger"], run.jobs
    assert sum(line["attempts"] for line in lines) == len(jobs)
    seconds = sum(line["billed_seconds"] * line["instance_count"] for line in lines)
    assert seconds == pytest.approx(sum(billed(job) for job in jobs))
    assert sum(line["usd"] for line in lines) == pytest.approx(sum(map(cost, jobs)), abs=1e-6 * len(jobs))


def billed(job):
    seconds = job.get("BillableTimeInSeconds", job.get("TrainingTimeInSeconds", 0))
    return seconds * job["ResourceConfig"]["InstanceCount"]


def cost(job):
    market = "spot" if job["EnableManagedSpotTraining"] else "on-demand"
    return load_prices().cost(job["ResourceConfig"]["InstanceType"], 1, market, billed(job))


def test_each_trial_runs_with_its_own_parameters_and_checkpoints_and_the_best_one_wins():
    run = Run(pipeline(sweep(hyperparameters={"epochs": 3})), models=work())

    by_rate = {job["HyperParameters"]["lr"]: job for job in run.jobs}
    assert [by_rate[lr]["HyperParameters"] for lr in ("0.1", "0.2", "0.3")] == [
        {"epochs": "3", "lr": lr} for lr in ("0.1", "0.2", "0.3")
    ]
    assert len({job["CheckpointConfig"]["S3Uri"] for job in run.jobs}) == 3
    assert len({job["TrainingJobName"] for job in run.jobs}) == 3
    result = run.results["tune"]
    assert result["best"]["parameters"] == {"lr": "0.3"}
    assert result["metrics"] == {"acc": 0.3}
    assert result["outputs"]["model"] == by_rate["0.3"]["ModelArtifacts"]["S3ModelArtifacts"]
    assert [trial["value"] for trial in result["trials"]] == [0.1, 0.2, 0.3]
    assert len(result["ledger"]) == 3


def test_the_smallest_can_be_the_best_and_the_first_of_equals_is():
    smallest = Run(pipeline(sweep(best={"metric": "acc", "goal": "minimize"})), models=work())
    equal = Run(pipeline(sweep()), models=work(acc=0.5))

    assert smallest.results["tune"]["best"]["trial"] == 0
    assert equal.results["tune"]["best"]["trial"] == 0


def test_trials_wait_for_a_place():
    run = Run(pipeline(sweep(concurrency=1)), models=work())

    starts = [job["CreationTime"] for job in run.jobs]
    ends = [job["TrainingEndTime"] for job in run.jobs]
    assert len(starts) == 3
    assert all(start >= end for start, end in zip(starts[1:], ends[:-1], strict=True))


def test_an_interrupted_trial_resumes_and_the_others_do_not_notice():
    run = Run(pipeline(sweep()), models=work(), scenario={"spot": {"tune": [{"interrupt": "40%"}]}})

    lost = [entry for entry in run.results["tune"]["ledger"] if entry["outcome"] == "interrupted"]
    assert len(lost) >= 1
    assert all(entry["saved_step"] == 40 for entry in lost)
    assert len(run.results["tune"]["trials"]) == 3


def test_a_trial_that_fails_fails_the_sweep_and_a_redrive_goes_on_with_it():
    run = Run(pipeline(sweep(concurrency=1)), models=work(BUG))

    assert run.ended["status"] == "FAILED"
    assert "ValueError: no" in run.ended["cause"]
    assert len(run.jobs) == 1
    run.redrive()
    assert run.ended["status"] == "SUCCEEDED"
    assert len(run.results["tune"]["ledger"]) == 4


def test_tolerated_failures_leave_the_others_to_win():
    run = Run(pipeline(sweep(tolerated_failures=1, concurrency=1)), models=work(BUG))

    result = run.results["tune"]
    assert "ValueError: no" in result["trials"][0]["failed"]
    assert result["best"]["trial"] == 2


def test_more_failures_than_tolerated_fail_and_a_redrive_does_not_repeat_what_succeeded():
    run = Run(pipeline(sweep(tolerated_failures=1, concurrency=1)), models=work(BUG, BUG))

    assert "tune: 2 of 3 trials failed, 1 may: " in run.ended["cause"]
    run.redrive()
    result = run.results["tune"]
    assert [trial.get("reused") is not None for trial in result["trials"]] == [False, False, True]
    assert len(run.jobs) == 5
    # what was paid before the redrive stands in the ledger, too
    assert sorted(entry["job"] for entry in result["ledger"]) == sorted(
        job["TrainingJobName"] for job in run.jobs
    )


def test_trials_without_the_metric_cannot_win():
    run = Run(pipeline(sweep()), models=work(loss=1.0))

    assert "tune: no trial reported a number named acc" in run.ended["cause"]


@pytest.mark.parametrize("count", [41, 60])
def test_a_large_sweep_has_executions_of_its_own_for_its_trials(count):
    grid = {"lr": [index / 100 for index in range(count)]}
    run = Run(pipeline(sweep(grid=grid, concurrency=20)), models=work())

    assert run.results["tune"]["best"]["trial"] == count - 1
    assert len(run.results["tune"]["trials"]) == count
    assert run.states == [
        "as written",
        "start",
        "can it start",
        "tune: is it asked for",
        "tune: try all",
        "tune: did enough succeed",
        "tune: best trial",
        "run: done",
    ]


def test_a_large_sweep_tolerates_failures_too():
    grid = {"lr": [index / 100 for index in range(45)]}
    run = Run(pipeline(sweep(grid=grid, concurrency=5, tolerated_failures=2)), models=work(BUG))

    assert [trial["trial"] for trial in run.results["tune"]["trials"] if "failed" in trial] == [0]


def test_a_large_sweep_that_is_redriven_starts_jobs_of_new_names_for_what_failed():
    grid = {"lr": [index / 100 for index in range(42)]}
    run = Run(pipeline(sweep(grid=grid, concurrency=20, tolerated_failures=1)), models=work(BUG, BUG))

    assert run.ended["status"] == "FAILED"
    run.redrive()
    trials = run.results["tune"]["trials"]
    assert [trial["trial"] for trial in trials if "reused" not in trial] == [0, 1]
    assert not [trial for trial in trials if "failed" in trial]


def test_stages_after_a_sweep_read_the_model_of_the_best_trial():
    after = {"name": "after", "inputs": {"model": "{{ tune.outputs.model }}"}}
    run = Run(pipeline(sweep(), after), models=work())

    [channel] = [c for c in run.jobs[-1]["InputDataConfig"] if c["ChannelName"] == "model"]
    assert channel["DataSource"]["S3DataSource"]["S3Uri"] == run.results["tune"]["outputs"]["model"]


def test_a_trial_of_a_large_sweep_hands_over_one_line_for_all_its_attempts():
    spot = {"spot": {"tune/1": [{"interrupt": "40%"}, "none"]}}
    run = Run(pipeline(sweep(spot=LARGE)), models=work(), scenario=spot, watch=watch())

    one, three, _ = run.results["tune"]["ledger"]
    assert (one["attempts"], three["attempts"], three["attempt"]) == (1, 3, 3)
    assert (three["outcome"], three["resumed_step"], three["reached_step"]) == ("completed", 0, 100)
    assert three["usd"] >= one["usd"] > 0


def test_seconds_count_each_instance_where_the_attempts_of_a_trial_had_different_numbers():
    ladder = [{"type": "ml.m5.xlarge", "count": 2}, {"type": "ml.m5.2xlarge", "count": 1}]
    found = pipeline(sweep(spot={**LARGE, "ladder": ladder}))
    run = Run(found, models=work(), scenario={"spot": {"tune": [{"interrupt": "40%"}]}}, watch=watch())

    assert {job["ResourceConfig"]["InstanceCount"] for job in run.jobs} == {1, 2}
    assert_adds_up(run)


def test_what_those_after_a_large_sweep_read_of_its_best_trial_is_what_a_small_one_leaves():
    small, large = (Run(pipeline(sweep(spot=spot)), models=work()) for spot in ({}, LARGE))

    for name in ("outputs", "metrics", "best", "job", "arn", "report", "trials"):
        assert large.results["tune"][name] == small.results["tune"][name]


failures = st.sampled_from([None, BUG, Failure(exit_code=0, after=400), Failure(stuck=True)])
capacity = st.sampled_from(["available", "none", {"interrupt": "30%"}, {"interrupt": "70%", "back": "60s"}])


@settings(max_examples=30, deadline=None)
@given(st.lists(failures, max_size=5), st.lists(capacity, max_size=5), st.integers(0, 2), st.integers(1, 3))
def test_any_sweep_ends_and_its_ledger_adds_up(fail, entries, tolerated, concurrency):
    found = pipeline(sweep(tolerated_failures=tolerated, concurrency=concurrency, spot={"retry_budget": 2}))

    run = Run(found, models=work(*fail), scenario={"spot": {"tune": entries}})

    names = [job["TrainingJobName"] for job in run.jobs]
    assert len(names) == len(set(names))
    assert run.ended["status"] in {"SUCCEEDED", "FAILED"}
    if run.ended["status"] == "SUCCEEDED":
        result = run.results["tune"]
        assert sorted(entry["job"] for entry in result["ledger"]) == sorted(names)
        assert sum("failed" in trial for trial in result["trials"]) <= tolerated
        assert result["metrics"]["acc"] == max(t["value"] for t in result["trials"] if "value" in t)


@settings(max_examples=20, deadline=None)
@given(st.lists(failures, max_size=5), st.lists(capacity, max_size=5), st.integers(0, 2), st.integers(1, 3))
def test_any_large_sweep_ends_and_its_ledger_adds_up_also_when_it_is_redriven(
    fail, entries, tolerated, concurrency
):
    found = pipeline(sweep(tolerated_failures=tolerated, concurrency=concurrency, spot=LARGE))

    run = Run(found, models=work(*fail), scenario={"spot": {"tune": entries}})
    for _ in range(2):
        if run.ended["status"] == "FAILED":
            run.redrive()

    names = [job["TrainingJobName"] for job in run.jobs]
    assert len(names) == len(set(names))
    assert run.ended["status"] in {"SUCCEEDED", "FAILED"}
    if run.ended["status"] == "SUCCEEDED":
        assert_adds_up(run)
        assert sum("failed" in trial for trial in run.results["tune"]["trials"]) <= tolerated
