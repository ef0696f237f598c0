"""With a deadline the clock decides: on-demand before it is too late, and not earlier."""

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.machine.pipelines import Run, pipeline, watch
from workflows.local.sagemaker.work_model import WorkModel
from workflows.policy import decisions

MINUTE = 60
TRAIN = {"name": "train", "expected": "20m", "changeover": "5m"}  # 1200 s of work in the usual model
DROUGHT = {"spot": {"train": ["none"] * 20}}


def seconds(run):
    """When the run ended, since its start."""
    return (run.ended["stopDate"] - run.ended["startDate"]).total_seconds()


def test_a_deadline_that_even_on_demand_cannot_meet_is_said_at_the_start():
    run = Run(pipeline(TRAIN), run_input={"deadline": "24m"})

    assert run.ended["error"] == "Relay.CannotStart"
    assert run.ended["cause"] == (
        "the deadline cannot be met, not even on on-demand: 25 minutes are needed, and there are 24"
    )
    assert run.jobs == []


def test_without_time_to_wait_for_spot_a_stage_starts_on_demand():
    run = Run(pipeline(TRAIN, deadline="30m"))

    assert run.attempts("train") == [("on-demand", "completed", "done")]
    assert seconds(run) < 30 * MINUTE


def test_a_stage_that_waits_for_capacity_goes_on_demand_while_there_is_time():
    run = Run(pipeline(TRAIN, deadline="1h", spot={"patience": "3h"}), scenario=DROUGHT, watch=watch())

    assert run.attempts("train") == [
        ("spot", "no capacity", "on-demand"),
        ("on-demand", "completed", "done"),
    ]
    [waited, _] = run.view.stages["train"].attempts
    assert "the deadline leaves no time to wait longer" in waited.message
    assert "the deadline: no time is left" in waited.why
    # The safety net: 60 min - (20 min of work + 2 changeovers of 5 min) of waiting, and no more.
    assert run.job(waited.job)["Environment"]["RELAY_SLACK"] == str(30 * MINUTE)
    assert 50 * MINUTE <= seconds(run) < 60 * MINUTE


def test_without_a_deadline_the_patience_alone_counts():
    run = Run(pipeline(TRAIN, spot={"patience": "3h", "retry_budget": 1}), scenario=DROUGHT, watch=watch())

    [waited, _] = run.view.stages["train"].attempts
    assert run.job(waited.job)["Environment"]["RELAY_SLACK"] == "none"
    assert "with a patience of 10800 s" in waited.message


def test_what_comes_after_a_stage_needs_its_own_time():
    late = {**TRAIN, "name": "later", "needs": ["train"]}
    run = Run(pipeline(TRAIN, late, deadline="2h", spot={"patience": "3h"}), scenario=DROUGHT, watch=watch())

    [waited, _] = run.view.stages["train"].attempts
    assert run.job(waited.job)["Environment"]["RELAY_SLACK"] == str((120 - 25 - 30) * MINUTE)
    assert seconds(run) < 120 * MINUTE


def test_stages_side_by_side_need_the_time_of_the_longest():
    long, short = {**TRAIN, "name": "long", "expected": "50m"}, {**TRAIN, "name": "short"}
    last = {**TRAIN, "name": "last", "needs": ["long", "short"]}

    run = Run(pipeline(long, short, last), run_input={"deadline": "79m"})

    assert "80 minutes are needed" in run.ended["cause"]


def test_stages_that_are_not_asked_for_need_no_time():
    later = {**TRAIN, "name": "later", "expected": "50m", "needs": ["train"]}

    run = Run(pipeline(TRAIN, later), run_input={"deadline": "30m", "only": ["train"]})

    assert run.ended["status"] == "SUCCEEDED"


def test_the_work_that_is_done_counts_not_the_expectation_alone():
    # given a script that reports its speed, twice as slow as expected
    slow = {"train": WorkModel(seconds=40 * MINUTE, steps=100, save_every=60)}
    scenario = {"spot": {"train": [{"interrupt": "50%"}]}}

    run = Run(pipeline(TRAIN, deadline="3h"), scenario=scenario, models=slow, watch=watch())

    # then the second job knows of the 20 minutes that are left, not of the 10 that the expectation would say
    first, second = run.jobs[:2]
    assert int(first["Environment"]["RELAY_SLACK"]) == (180 - 20 - 10) * MINUTE
    passed = (second["CreationTime"] - first["CreationTime"]).total_seconds()
    assert int(second["Environment"]["RELAY_SLACK"]) == pytest.approx(
        (180 - 20 - 10) * MINUTE - passed, abs=60
    )


def test_a_back_off_never_passes_the_safety_net():
    backoff = {"first": "3h", "max": "3h", "jitter": "none"}
    found = pipeline(TRAIN, deadline="90m", spot={"backoff": backoff, "patience": "5m"})

    run = Run(found, scenario=DROUGHT, watch=watch())

    assert run.ended["status"] == "SUCCEEDED"
    assert seconds(run) < 90 * MINUTE


def test_a_stage_without_an_expectation_cannot_have_a_deadline():
    stage = {key: value for key, value in TRAIN.items() if key != "expected"}

    run = Run(pipeline(stage), run_input={"deadline": "9h"})

    assert run.ended["cause"].endswith("how long it is `expected` to take; missing: train")


capacity = st.sampled_from(
    ["available", "none", {"interrupt": "30%"}, {"interrupt": "70%", "back": "60s"}, {"interrupt": "90%"}]
)


NEEDED = (
    40  # minutes, by on-demand alone: 20 and 10 of work, and a changeover of 5 for each of the two stages
)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(capacity, max_size=8),
    st.integers(NEEDED, 215),
    st.sampled_from(["5m", "20m", "2h"]),
    st.booleans(),
)
@example(entries=["none"] * 8, minutes=NEEDED, patience="2h", success=False)
def test_no_run_is_late_that_on_demand_alone_would_have_finished_in_time(entries, minutes, patience, success):
    run = of_two_stages(entries, minutes, patience, success)

    assert run.ended["status"] == "SUCCEEDED", run.ended
    assert seconds(run) <= minutes * MINUTE


@settings(max_examples=10, deadline=None)
@given(
    st.lists(capacity, max_size=8),
    st.integers(1, NEEDED - 1),
    st.sampled_from(["5m", "20m", "2h"]),
    st.booleans(),
)
@example(entries=[], minutes=NEEDED - 1, patience="5m", success=False)
def test_no_run_begins_that_on_demand_alone_would_finish_too_late(entries, minutes, patience, success):
    run = of_two_stages(entries, minutes, patience, success)

    assert run.ended["error"] == "Relay.CannotStart"
    assert run.jobs == []


def of_two_stages(entries, minutes, patience, success):
    """A run with a deadline in so many minutes, whatever capacity there is."""
    later = {**TRAIN, "name": "later", "needs": ["train"], "expected": "10m"}
    found = pipeline(TRAIN, later, deadline=f"{minutes}m", spot={"patience": patience, "retry_budget": 9})
    models = {"later": WorkModel(seconds=600, steps=100, save_every=60)}
    scenario = {"spot": {"train": entries, "later": entries}}
    return Run(found, scenario=scenario, models=models, watch=watch(), stopped_is_success=success)


@pytest.mark.parametrize("concurrency", [1, 2, 4])
def test_trials_that_wait_for_a_place_need_their_own_time(concurrency):
    sweep = {
        **TRAIN,
        "name": "tune",
        "kind": "sweep",
        "grid": {"lr": [1, 2, 3, 4]},
        "best": {"metric": "acc"},
        "concurrency": concurrency,
    }
    hours = {1: 2.5, 2: 1.5, 4: 1}[concurrency]
    models = {"tune": WorkModel(seconds=1200, steps=100, save_every=60, metrics={"acc": 1})}
    found = pipeline(sweep, deadline=f"{hours * 60:g}m", spot={"patience": "3h"})

    run = Run(found, scenario={"spot": {"tune": ["none"] * 9}}, models=models, watch=watch())

    assert run.ended["status"] == "SUCCEEDED"
    assert seconds(run) <= hours * 3600


# ------------------------------------------------------------------------------- the rule as a table of data
LONGER = ((0, 2), (600, 5))  # with ten minutes of work left or more, five changeovers


def test_another_table_of_reserves_is_another_rule_in_the_machine(monkeypatch):
    monkeypatch.setattr(decisions, "RESERVE", LONGER)
    run = Run(pipeline(TRAIN, deadline="1h", spot={"patience": "3h"}), scenario=DROUGHT, watch=watch())

    [waited, _] = run.view.stages["train"].attempts
    assert run.job(waited.job)["Environment"]["RELAY_SLACK"] == str((60 - 20 - 5 * 5) * MINUTE)
