"""The trials of a large sweep, which are executions of their own, in the view of a run: live and later."""

from collections import Counter
from dataclasses import replace
from random import Random

import pytest

from tests.machine.aws_client import runs_of
from tests.machine.pipelines import Run, pipeline, watch
from workflows.ledger.receipt import as_json
from workflows.local.sagemaker.work_model import Failure, WorkModel
from workflows.policy.outcomes import Outcome
from workflows.policy.prices import load_prices
from workflows.runs.following import MOST_READ, Following
from workflows.runs.live import Narrator

USUAL = WorkModel(
    seconds=1200, steps=100, save_every=60, metrics={"accuracy": lambda h: float(h["rate"]) / 99}
)
BUG = Failure(exit_code=1, text="ValueError: no", after=30)
LOST = {"interrupt": "50%"}
LAST = 5_000  # virtual seconds after which the sweeps here have ended


TUNE = {"name": "tune", "kind": "sweep", "best": {"metric": "accuracy"}, "concurrency": 20}


def sweep(trials=42, **more):
    return pipeline({**TUNE, "grid": {"rate": list(range(trials))}, **more})


def started(found, *, failing=(), lost=()):
    """A run that has just begun, and what follows it."""
    models = {"tune": USUAL, **{f"tune/{n}": replace(USUAL, failures=(BUG,)) for n in failing}}
    scenario = {"spot": {f"tune/{n}": [LOST] for n in lost}}
    run = Run.begun(found, models=models, scenario=scenario, watch=watch())
    return run, Following(runs_of(run.world), run.arn)


def looks(run, following, *, every=100.0, until=LAST):
    """Looks now and then until the run has ended and all of it is known."""
    while not following.settled and run.world.clock.seconds() < until:
        run.world.clock.run(run.world.clock.seconds() + every)
        following.look()
        yield following.view.stages["tune"]


def job_count(tune):
    return Counter(entry.job for entry in tune.entries())


def test_trials_are_told_while_they_run_by_few_calls():
    # given a sweep of 42 trials, 20 at once, three of which lose their capacity
    run, following = started(sweep(), lost=(0, 1, 30))
    calls = following.runs.states.calls
    calls.clear()
    # when it is looked at
    seen = []
    most: Counter[str] = Counter()
    for tune in looks(run, following):
        seen.append((Counter(trial.status for trial in tune.trials.values()), tune.count))
        if tune.status == "running":
            most |= calls
        calls.clear()
    # then trials that run are known, with their parameters, jobs, losses
    assert max(statuses["running"] for statuses, _ in seen) == 20
    assert {count for _, count in seen} == {42}
    assert any(0 < statuses["done"] < 42 for statuses, _ in seen)
    # and a look took few calls
    assert most["GetExecutionHistory"] <= MOST_READ + 1
    assert most.total() <= MOST_READ + 2
    # and in the end all is known, each attempt by its own line
    tune = following.view.stages["tune"]
    assert (tune.status, tune.best) == ("done", 41)
    assert [len(tune.trials[number].attempts) for number in (0, 1, 2, 30)] == [2, 2, 1, 2]
    assert tune.entries()
    assert all(entry.attempts == 1 for entry in tune.entries())


def test_sweeps_side_by_side_are_read_in_turn():
    stages = [{**TUNE, "name": name, "grid": {"rate": list(range(42))}} for name in ("tune", "other")]
    run, following = started(pipeline(*stages))

    for _ in looks(run, following, every=10, until=100):
        pass

    known = [len(stage.trials) for stage in following.view.stages.values()]
    assert known == [20, 20]


def test_what_has_ended_is_not_read_again():
    run, following = started(sweep())
    list(looks(run, following))
    calls = following.runs.states.calls
    calls.clear()

    following.look()

    assert following.settled
    assert calls == {"GetExecutionHistory": 1}


def test_a_view_of_the_whole_is_the_same_whenever_one_looks():
    run, following = started(sweep(tolerated_failures=1), failing=(3,), lost=(0, 1))
    list(looks(run, following))
    late = Following(runs_of(run.world), run.arn)

    late.look()

    assert late.settled
    assert late.view.stages == following.view.stages
    assert late.view.stages["tune"].trials[3].status == "failed"


def test_a_stopped_run_tells_of_its_trials_and_counts_each_job_once():
    # given a run that is stopped while its first trials run, one of them for the second time
    run, following = started(sweep(), lost=(0,))
    list(looks(run, following, until=1000))
    run.world.step_functions.handle("StopExecution", {"executionArn": run.arn})
    # when
    list(looks(run, following, every=1))
    run.world.clock.run(run.world.clock.seconds() + 200)  # the jobs save
    following.runs.add_stopped_jobs(following.view)
    # then
    tune = following.view.stages["tune"]
    assert following.settled
    assert {trial.status for trial in tune.trials.values()} == {"stopped"}
    assert set(job_count(tune).values()) == {1}
    assert set(job_count(tune)) == {job["TrainingJobName"] for job in run.jobs}
    assert [entry.outcome for entry in tune.trials[1].attempts] == [Outcome.STOPPED_WITH_RUN]


def test_a_sweep_that_failed_says_which_trial_did_and_why():
    run, following = started(sweep(), failing=(7,))
    list(looks(run, following))

    tune = following.view.stages["tune"]
    assert (following.view.status, tune.status, tune.trials[7].status) == ("FAILED", "failed", "failed")
    assert "ValueError: no" in tune.trials[7].why
    assert {trial.status for number, trial in tune.trials.items() if number != 7} == {"stopped"}


@pytest.mark.parametrize("tolerated", [0, 1])
def test_a_redriven_sweep_tells_of_what_its_trials_cost_before(tolerated):
    # given a sweep that fails, because more trials fail than may
    run, following = started(sweep(tolerated_failures=tolerated), failing=(2, 7))
    list(looks(run, following))
    assert following.view.status == "FAILED"
    # when
    run.redrive()
    following.look()
    late = Following(runs_of(run.world), run.arn)
    late.look()
    # then
    for view in (following.view, late.view):
        assert view.status == "SUCCEEDED"
        tune = view.stages["tune"]
        assert set(job_count(tune).values()) == {1}
        assert set(job_count(tune)) == {job["TrainingJobName"] for job in run.jobs}
        assert [entry.outcome for entry in tune.trials[7].attempts][-1] == "completed"
        assert {trial.status for trial in tune.trials.values()} <= {"done", "reused"}
        assert view.untold(job["TrainingJobName"] for job in run.jobs) == []


def test_a_view_without_the_histories_of_trials_counts_the_same_money_and_no_job_twice():
    run, following = started(sweep(tolerated_failures=1), failing=(3,), lost=(0, 1))
    list(looks(run, following))

    bare = run.view

    assert bare.untold(job["TrainingJobName"] for job in run.jobs) == []
    told, sums = (as_json(view, load_prices(), {})["totals"] for view in (following.view, bare))
    assert len(run.jobs) == told["attempts"] == sums["attempts"] == 44
    for name in ("seconds_trained", "seconds_billed", "interruptions"):
        assert told[name] == sums[name]
    assert told["cost_usd"] == pytest.approx(sums["cost_usd"], abs=1e-9)


def test_a_busy_api_only_makes_the_view_late():
    # given an API that refuses every other call, by chance
    run, following = started(sweep(tolerated_failures=1), failing=(3,), lost=(0, 1))
    chance = Random(0)
    following.runs.states.busy = lambda number: chance.random() < 0.5
    # when
    list(looks(run, following, every=20, until=2 * LAST))
    # then
    late = Following(runs_of(run.world), run.arn)
    late.look()
    assert following.view.stages["tune"].status == "done"
    assert following.settled
    assert late.view.stages == following.view.stages


def test_of_a_large_sweep_losses_and_ends_are_told_and_no_starts():
    run, following = started(sweep(), lost=(0, 1, 30))
    narrator, lines = Narrator(following.view), []
    for _ in looks(run, following):
        lines += list(narrator.news())
    texts = [" ".join(line.plain.split()) for line, _ in lines]

    assert sum("completed" in text for text in texts) == 42
    assert sum("interrupted at step" in text for text in texts) == 3
    assert "tune the best trial is 41: accuracy 0.414141, rate=41" in texts
    assert len(texts) == 46
    assert {job for _, job in lines} == {None}  # whose last words would be printed
