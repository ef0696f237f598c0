"""Whatever the pipeline, whatever goes wrong: the machine ends, keeps its budgets, its ledger adds up."""

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.machine.pipelines import Run, pipeline
from workflows.local.sagemaker.work_model import PLATFORM_FAULT, Failure, WorkModel
from workflows.policy.decisions import FAULT_BUDGET, UNKNOWN_BUDGET

capacity = st.sampled_from(
    [
        "available",
        "none",
        {"interrupt": "30%"},
        {"interrupt": "70%", "back": "60s"},
        {"error": "CapacityError"},
    ]
)
failures = st.sampled_from(
    [
        None,
        PLATFORM_FAULT,
        Failure(exit_code=1, text="ValueError", after=60),
        Failure(exit_code=0, after=400),
        Failure(fault="a text that nobody has seen", after=30),
        Failure(stuck=True),
    ]
)


@st.composite
def situations(draw):
    """A pipeline of one to three stages, what capacity does, and how its jobs fail."""
    names = ["one", "two", "three"][: draw(st.integers(1, 3))]
    stages, scenario, models = [], {}, {}
    for index, name in enumerate(names):
        stages.append(
            {
                "name": name,
                "needs": draw(st.lists(st.sampled_from(names[:index]), unique=True)) if index else [],
                "spot": {
                    "retry_budget": draw(st.integers(1, 4)),
                    "no_progress_limit": draw(st.integers(1, 3)),
                    "ladder": draw(st.sampled_from([["ml.m5.large"], ["ml.m5.large", "ml.m5.xlarge"]])),
                },
                "on_demand": {"enabled": draw(st.booleans())},
                "limit": draw(st.sampled_from(["10m", "1h"])),
            }
        )
        scenario[name] = draw(st.lists(capacity, max_size=6))
        models[name] = WorkModel(
            seconds=1200, steps=100, save_every=60, failures=tuple(draw(st.lists(failures, max_size=6)))
        )
    return pipeline(*stages), {"spot": scenario}, models


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(situations(), st.booleans())
def test_any_run_ends_within_its_budgets_and_its_ledger_adds_up(situation, stopped_is_success):
    found, scenario, models = situation
    run = Run(found, scenario=scenario, models=models, stopped_is_success=stopped_is_success)
    view = run.view

    assert view.status in {"SUCCEEDED", "FAILED"}
    told = []
    for stage in found.stages:
        attempts = view.stages[stage.name].attempts
        told += [attempt.job for attempt in attempts]
        on_spot = [a for a in attempts if a.market == "spot"]
        outcomes = [a.outcome for a in attempts]

        # Interruptions that cost budget: the one that uses it up is the last on spot.
        spent = [max(a.interruptions, a.outcome in {"interrupted", "no capacity"}) for a in on_spot]
        assert sum(spent[:-1]) < stage.spot.retry_budget or not on_spot
        assert outcomes.count("unknown") <= UNKNOWN_BUDGET + 1
        assert outcomes.count("user error") <= 1
        in_a_row = 0
        for attempt in attempts:
            moved = attempt.saved_step > attempt.resumed_step
            in_a_row = (0 if moved else in_a_row) + (attempt.outcome == "platform fault")
            assert in_a_row <= FAULT_BUDGET + 1
        if "user error" in outcomes:
            assert outcomes[-1] == "user error"  # nothing runs after it, on-demand least of all
        if not stage.on_demand.enabled:
            assert len(on_spot) == len(attempts)
        if view.stages[stage.name].status == "done":
            assert outcomes[-1] == "completed"
            assert attempts[-1].reached_step == 100
        numbers = [a.attempt for a in attempts]
        assert numbers == list(range(1, len(numbers) + 1))

    jobs = jobs_of(run)
    assert len(told) == len(set(told))
    stopped_with_a_sibling = set(jobs) - set(told)
    assert not stopped_with_a_sibling or view.status == "FAILED"
    for stage in view.stages.values():
        for attempt in stage.attempts:
            job = jobs[attempt.job]
            assert attempt.trained_seconds == job.get("TrainingTimeInSeconds", 0)
            assert attempt.instance_type == job["ResourceConfig"]["InstanceType"]
            assert (attempt.market == "spot") == job["EnableManagedSpotTraining"]


def jobs_of(run):
    """Job name -> its description, of everything that SageMaker has."""
    listed = run.world.sagemaker.handle("ListTrainingJobs", {"MaxResults": 100})["TrainingJobSummaries"]
    names = [summary["TrainingJobName"] for summary in listed]
    return {
        name: run.world.sagemaker.handle("DescribeTrainingJob", {"TrainingJobName": name}) for name in names
    }
