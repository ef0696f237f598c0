"""The figures of the worst case, measured on the histories of compiled machines in virtual time."""

import json
from dataclasses import replace

import pytest

from tests.machine.pipelines import Run, definition, pipeline, watch
from workflows.local.sagemaker.work_model import PLATFORM_FAULT, Failure, WorkModel
from workflows.local.service_errors import ServiceError
from workflows.runs.rehearsal import compile_file
from workflows.specification.mistakes import SpecificationError
from workflows.specification.stages import MOST_TRIALS
from workflows.state_machine import worst_case
from workflows.state_machine.check import MOST_EVENTS, MOST_VALUE, problems_of

TRAIN = {"name": "train"}
WORK = {"seconds": 1200, "steps": 100, "save_every": 60}
LONGEST = "a-stage-with-a-name-of-forty-characters1"
RETRIES_RESERVED, EVENTS_OF_A_RETRY = 3, 3  # scheduled, started, failed


def sweep(trials, **more):
    grid = {"rate": list(range(trials))}
    return {"name": "tune", "kind": "sweep", "grid": grid, "best": {"metric": "accuracy"}, **more}


def events(found, **world):
    run = Run(found, **world)
    assert run.view.status == "SUCCEEDED", run.view.cause
    return len(run.world.history(run.arn))


def largest(run):
    """The bytes of the largest value that each variable had."""
    sizes = {}
    for event in run.world.history(run.arn):
        for name, text in event.get("stateExitedEventDetails", {}).get("assignedVariables", {}).items():
            sizes[name] = max(sizes.get(name, 0), len(text.encode()))
    return sizes


# ------------------------------------------------------------------------------------------------ events
def test_a_run_of_one_undisturbed_stage_has_as_many_events_as_reckoned():
    assert events(pipeline(TRAIN)) == worst_case.OF_THE_RUN + worst_case.OF_A_STAGE


@pytest.mark.parametrize("end", [{"interrupt": "2%"}, "none"])
def test_each_lost_attempt_adds_the_same_events_and_leaves_room_for_retried_calls(end):
    found = pipeline(TRAIN, spot={"retry_budget": 9, "no_progress_limit": 9})
    none, *lost = [events(found, scenario={"spot": {"train": [end] * count}}) for count in range(4)]

    each = lost[0] - none
    assert [count - none for count in lost] == [each, 2 * each, 3 * each]
    assert each + RETRIES_RESERVED * EVENTS_OF_A_RETRY <= worst_case.LOST_ATTEMPT <= 2 * each


def test_an_attempt_that_waits_for_quota_adds_no_more_than_reckoned():
    run = Run(pipeline(TRAIN), quotas={"ml.m5.xlarge for spot training job usage": 0})
    refused = len(run.attempts("train")) - 1
    waited = len(run.world.history(run.arn)) - worst_case.OF_THE_RUN - worst_case.OF_A_STAGE

    assert waited / refused <= worst_case.WAITING_ATTEMPT <= 1.2 * waited / refused


def test_a_ledger_that_refuses_everything_adds_no_more_than_is_reckoned_for_retried_calls():
    def refuse(world):
        world.table.refusal = world.metrics.refusal = ServiceError("ThrottlingException", "Rate exceeded")

    found = pipeline(TRAIN, spot={"retry_budget": 9, "no_progress_limit": 9})
    none, *lost = [
        events(found, scenario={"spot": {"train": ["none"] * count}}, before=refuse) for count in (0, 1, 2)
    ]
    run = Run(pipeline(TRAIN), quotas={"ml.m5.xlarge for spot training job usage": 0}, before=refuse)
    refused = len(run.attempts("train")) - 1

    assert lost[0] - none == lost[1] - lost[0] <= worst_case.LOST_ATTEMPT
    waited = len(run.world.history(run.arn)) - none
    assert waited / refused <= worst_case.WAITING_ATTEMPT


def test_a_lost_processing_job_adds_no_more_than_a_lost_training_job():
    found = pipeline({"name": "prepare", "kind": "process"})
    once = {"prepare": WorkModel(**WORK, failures=(PLATFORM_FAULT,))}

    assert events(found, models=once) - events(found) <= worst_case.LOST_ATTEMPT
    assert events(found) <= worst_case.OF_THE_RUN + worst_case.OF_A_STAGE


def test_each_trial_of_a_sweep_adds_as_many_events_as_reckoned():
    models = {"tune": WorkModel(**WORK, metrics={"accuracy": 0.9})}
    counts = [events(pipeline(sweep(trials)), models=models) for trials in (1, 2, 3)]

    a_trial = worst_case.OF_A_TRIAL + worst_case.OF_A_STAGE
    first = worst_case.OF_THE_RUN + worst_case.OF_A_SWEEP + a_trial
    assert counts == [first, first + a_trial, first + 2 * a_trial]


def test_what_stands_side_by_side_and_what_runs_no_job_adds_no_more_than_reckoned():
    found = pipeline(
        TRAIN,
        {"name": "other"},
        {"name": "good", "kind": "gate", "when": "{{ train.metrics.accuracy }} > 0"},
        {"name": "publish", "kind": "register", "model": "{{ train.outputs.model }}"},
    )
    models = {"train": WorkModel(**WORK, metrics={"accuracy": 0.9})}
    undisturbed = sum(
        worst_case.OF_A_STAGE if stage.kind == "train" else worst_case.events(stage) for stage in found.stages
    )

    assert events(found, models=models) <= worst_case.events_around(found) + undisturbed


# ------------------------------------------------------------------------------------------------- bytes
def test_the_lines_of_a_ledger_are_no_longer_than_reckoned():
    found = pipeline(
        {"name": LONGEST}, spot={"retry_budget": 9, "no_progress_limit": 9, "ladder": ["ml.p4d.24xlarge"]}
    )
    run = Run(found, scenario={"spot": {LONGEST: ["none", {"interrupt": "50%"}]}}, watch=watch())

    lines = [len(json.dumps(entry)) for entry in run.view.stages[LONGEST].attempts]
    assert max(lines) <= worst_case.ENTRY <= 1.3 * max(lines)


def test_what_a_stage_leaves_is_no_larger_than_reckoned():
    metrics = {f"a-metric-{number}": 0.123456789 for number in range(5)}
    found = pipeline({"name": LONGEST})
    run = Run(found, models={LONGEST: WorkModel(**WORK, metrics=metrics)})

    reckoned = worst_case.RESULT + worst_case.ENTRY
    assert largest(run)["done"] <= reckoned <= 1.7 * largest(run)["done"]


def test_a_sweep_at_the_end_of_its_budgets_keeps_within_the_reckoned_bytes():
    found = pipeline(sweep(6, concurrency=1), spot={"retry_budget": 3, "no_progress_limit": 9})
    models = {"tune": WorkModel(**WORK, metrics={"accuracy": 0.9})}
    run = Run(found, models=models, scenario={"spot": {"tune": ["none"] * 60}}, watch=watch())

    assert len(run.view.stages["tune"].entries()) == 6 * 4
    sizes = largest(run)
    reckoned = worst_case.result_bytes(found.stages[0])
    assert max(sizes["done"], sizes["trials_1"]) <= reckoned <= 2 * sizes["trials_1"]


def test_the_trials_of_a_large_sweep_hand_over_no_more_than_reckoned_however_they_end():
    learns = WorkModel(
        **WORK, metrics={f"a-metric-{number}": 0.123456789 for number in range(5)} | {"accuracy": 0.98}
    )
    told = Failure(text="x" * 2000, after=30)
    found = pipeline(
        {**sweep(12, concurrency=12, tolerated_failures=11), "name": LONGEST},
        spot={"retry_budget": 50, "no_progress_limit": 9, "ladder": ["ml.p4d.24xlarge"]},
    )
    models = {LONGEST: replace(learns, failures=(told,)), f"{LONGEST}/0": learns}
    lost = Run(found, models={LONGEST: learns}, scenario={"spot": {LONGEST: ["none"] * 9}}, watch=watch())
    failed = Run(found, models=models)

    reckoned = worst_case.result_bytes(found.stages[0])
    for run in (lost, failed):
        assert run.view.status == "SUCCEEDED"
        assert (
            max(largest(run)["done"], largest(run)["trials_1"]) <= reckoned <= 1.3 * largest(run)["trials_1"]
        )


# -------------------------------------------------------------------------------------------- what is refused
def test_a_usual_pipeline_is_fine():
    found = pipeline(*[{"name": f"s{n}", "needs": [f"s{n - 1}"] if n else []} for n in range(20)])

    assert problems_of(found, definition(found)) == []


def test_a_history_that_could_not_hold_the_run_is_refused_with_what_to_lower():
    stages = [{"name": f"s{n}", "spot": {"retry_budget": 200}} for n in range(4)]
    found = pipeline(*stages, {"name": "small"})

    (problem,) = [p for p in problems_of(found, definition(found)) if "events" in p]

    assert f"Step Functions takes {MOST_EVENTS:,}" in problem
    assert "lower the `retry_budget` of `s0` (200)" in problem


def test_what_cannot_fit_is_refused_when_a_file_is_compiled(tmp_path):
    (tmp_path / "train.py").write_text("")
    stages = "".join(f"  - {{name: s{n}, script: train.py, spot: {{retry_budget: 200}}}}\n" for n in range(5))
    (tmp_path / "pipeline.yaml").write_text(f"name: large\ndefaults: {{image: python}}\nstages:\n{stages}")

    with pytest.raises(SpecificationError, match=r"pipeline\.yaml: in the worst case its history has"):
        compile_file(tmp_path / "pipeline.yaml")


def test_a_history_that_a_run_can_fill_is_refused_and_one_that_it_cannot_is_not():
    """The arithmetic against a run: as many losses as the budget allows stay below what was reckoned."""
    found = pipeline(TRAIN, spot={"retry_budget": 40, "no_progress_limit": 50})
    reckoned = worst_case.events_around(found) + worst_case.events(found.stages[0])

    ended = events(found, scenario={"spot": {"train": ["none"] * 60}})

    assert ended <= reckoned


@pytest.mark.parametrize("budget", [5, 90])
def test_as_many_trials_as_a_sweep_may_have_fit_whatever_their_budgets(budget):
    found = pipeline(sweep(MOST_TRIALS, spot={"retry_budget": budget}), TRAIN)

    assert problems_of(found, definition(found)) == []


def test_trials_whose_results_do_not_fit_into_a_variable_are_refused():
    found = pipeline(sweep(200), {**sweep(110), "name": "again"})

    (problem,) = [p for p in problems_of(found, definition(found)) if "bytes" in p]

    assert f"{MOST_VALUE:,}" in problem
    assert "lower the number of trials of `tune` (200), or make two pipelines of it" in problem


def test_a_definition_that_is_too_large_is_refused_with_its_largest_stages():
    found = pipeline(
        *[{"name": f"s{n}", "environment": {"TEXT": "x" * 500_000} if n < 2 else {}} for n in range(3)]
    )

    (problem,) = [p for p in problems_of(found, definition(found)) if "state machine has" in p]

    assert "`s0` (" in problem
    assert "1,048,576" in problem


def test_a_user_error_costs_a_longer_line_but_only_one():
    found = pipeline(TRAIN)
    run = Run(found, models={"train": WorkModel(**WORK, failures=(Failure(text="x" * 2000, after=30),))})

    (entry,) = run.view.stages["train"].attempts
    assert len(json.dumps(entry)) <= worst_case.ENTRY + worst_case.unusual_bytes(found.stages)
