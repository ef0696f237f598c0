"""Capacity: scripted, random, from a trace, and the files that describe it."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import simpy
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.machine.sagemaker_worlds import World
from workflows.local.capacity import (
    CAPACITY_ERROR,
    Demand,
    Pools,
    Timeline,
    from_scenario,
    random_timeline,
    trace_timeline,
)
from workflows.local.sagemaker.work_model import WorkModel
from workflows.local.scenario import (
    Random,
    ScenarioError,
    Trace,
    parse_scenario,
    read_scenario,
    seconds,
)

SPOT = Demand("pretrain", "spot", "ml.g5.2xlarge", 1)
ON_DEMAND = Demand("pretrain", "on-demand", "ml.g5.2xlarge", 1)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            {"spto": {}},
            "scenario: spto: found 'spto'; allowed: spot, on_demand, random, trace, last_upload, restored; "
            "did you mean 'spot'?",
        ),
        (
            {"spot": {"a": [{"interupt": "40%"}]}},
            "scenario: spot.a.0.interupt: found 'interupt'; allowed: interrupt, back, wait, "
            "notice, error, capacity; did you mean 'interrupt'?",
        ),
        (
            {"spot": {"a": [{"interrupt": "soon"}]}},
            "scenario: spot.a.0.interrupt: found 'soon'; allowed: a share of the stage's work "
            'such as "40%", or a time such as "30s"',
        ),
        (
            {"spot": {"a": ["nnone"]}},
            "scenario: spot.a.0: found 'nnone'; allowed: available, none, or a mapping like "
            "{interrupt: 40%}; did you mean none?",
        ),
        ({"random": {"up": "2h"}}, "scenario: random.down: is missing"),
        ({"spot": {"pretrian": []}}, "spot: found stage 'pretrian'; allowed: c, pretrain, tune; did"),
        ({"spot": {"tuen/0": []}}, "scenario: spot: found stage 'tuen'; allowed: c, pretrain, tune; did"),
        ({"spot": {"tune/a": []}}, "found trial 'tune/a'; allowed: the number of a trial, as in tune/0"),
        ({"spot": {"tune/4": []}}, "found trial 'tune/4'; allowed: tune/0 to tune/3"),
        ({"on_demand": {"c/0": []}}, "on_demand: found trial 'c/0'; allowed: no trial: it is no sweep"),
        ({"random": {"up": "1h", "down": "1h"}, "trace": {"file": "x"}}, "allowed: one of spot"),
    ],
)
def test_a_mistake_in_a_scenario_is_one_clear_line(content: Any, message: str) -> None:
    with pytest.raises(ScenarioError) as error:
        parse_scenario(content, stages={"pretrain": 0, "c": 0, "tune": 4})
    assert message in str(error.value)


def test_a_scenario_file_is_read_with_its_name_in_the_errors(tmp_path: Path) -> None:
    path = tmp_path / "scenario.yaml"
    path.write_text("spot:\n  pretrain: [{interrupt: 40%}, {interrupt: 90s, back: 1m}, none]\n")
    entries = read_scenario(path).spot["pretrain"]
    assert [entry.interrupt for entry in entries] == [(("fraction", 0.4),), (("seconds", 90),), ()]
    assert entries[2].capacity == "none"
    path.write_text("spot: [")
    with pytest.raises(ScenarioError, match=r"scenario.yaml: not YAML"):
        read_scenario(path)


def test_durations_are_read_as_people_write_them() -> None:
    assert [seconds(text) for text in ("30s", "45m", "2h", "1d", "1h30m", 90)] == [
        *(30, 2700, 7200, 86400, 5400, 90),
    ]


def test_each_attempt_takes_the_next_entry_and_what_comes_after_is_available() -> None:
    env = simpy.Environment()
    capacity = from_scenario(parse_scenario({"spot": {"pretrain": ["none", {"error": "CapacityError"}]}}))
    first, second, third = (capacity.supply(env, SPOT).granted() for _ in range(3))
    assert not first.triggered
    assert second.value == CAPACITY_ERROR
    assert third.value is None
    assert capacity.supply(env, ON_DEMAND).granted().triggered


def test_each_trial_of_a_sweep_goes_through_its_stages_list_or_its_own_alone() -> None:
    # given a list for all trials, and one for the trial 3
    env = simpy.Environment()
    lists = {"tune": ["none"], "tune/3": [{"error": "CapacityError"}, "none"]}
    capacity = from_scenario(parse_scenario({"spot": lists}, stages=["tune"]))

    def granted(trial: str) -> tuple[bool, Any]:
        event = capacity.supply(env, replace(SPOT, stage="tune", trial=trial)).granted()
        return event.triggered, event.triggered and event.value

    # when jobs of the trials come mixed
    seen = [(trial, granted(trial)) for trial in ("0", "3", "1", "0", "3", "1", "3")]
    # then
    never, at_once, refused = (False, False), (True, None), (True, CAPACITY_ERROR)
    assert [each for trial, each in seen if trial == "0"] == [never, at_once]
    assert [each for trial, each in seen if trial == "1"] == [never, at_once]
    assert [each for trial, each in seen if trial == "3"] == [refused, never, at_once]


def test_on_demand_can_be_out_of_capacity_too() -> None:
    scenario = {"on_demand": {"pretrain": [{"error": "CapacityError"}]}}
    world = World(scenario=scenario)
    world.create(spot=False)
    assert world.run()["FailureReason"] == CAPACITY_ERROR


@given(seed=st.integers(0, 1000), times=st.lists(st.floats(0, 1e6), min_size=1, max_size=20))
def test_a_random_history_is_the_same_in_whatever_order_it_is_asked(seed: int, times: list[float]) -> None:
    means = Random(up=7200, down=1200)
    one, other = random_timeline(means, seed), random_timeline(means, seed)
    answers = [(one.next(True, now), one.next(False, now)) for now in times]
    again = [(other.next(True, now), other.next(False, now)) for now in reversed(times)]
    assert answers == again[::-1]
    for now, (up, down) in zip(times, answers, strict=True):
        assert up is not None
        assert down is not None
        assert min(up, down) == now
        assert max(up, down) > now


def test_random_capacity_is_there_for_its_share_of_time() -> None:
    timeline = random_timeline(Random(up=7200, down=1200), 1)
    there = sum(timeline.next(True, now) == now for now in range(0, 10**7, 500))
    assert 0.8 < there / (10**7 / 500) < 0.92


def test_a_trace_gives_and_takes_at_its_ticks_and_starts_again(tmp_path: Path) -> None:
    path = tmp_path / "zone.json"
    path.write_text(json.dumps({"metadata": {"gap_seconds": 100}, "data": [1, 1, 0, 2]}))
    timeline = trace_timeline(Trace(file="zone.json"), folder=tmp_path)
    assert timeline.next(False, 0) == 200
    assert timeline.next(True, 250) == 300
    assert timeline.next(False, 300) == 600
    two = trace_timeline(Trace(file="zone.json"), count=2, folder=tmp_path)
    assert two.next(True, 0) == 300
    assert two.next(False, 310) == 400
    later = trace_timeline(Trace(file="zone.json", start=150), folder=tmp_path)
    assert later.next(False, 0) == 50


def test_a_trace_without_any_capacity_never_grants(tmp_path: Path) -> None:
    path = tmp_path / "zone.json"
    path.write_text(json.dumps({"metadata": {"gap_seconds": 100}, "data": [0, 0]}))
    assert trace_timeline(Trace(file="zone.json"), folder=tmp_path).next(True, 0) is None


def test_a_job_lives_on_a_timeline() -> None:
    # given capacity from 0 to 500 s and from 800 s on
    capacity = Pools(lambda _: Timeline(True, iter([500.0, 800.0])))
    world = World(WorkModel(seconds=1000, steps=100, save_every=100, download=10), capacity=capacity)
    world.create()
    job = world.run()
    assert world.transitions()[:5] == [
        ("Starting", 0, 60),
        ("Downloading", 60, 70),
        ("Training", 70, 500),
        ("Interrupted", 500, 500),
        ("Starting", 500, 860),
    ]
    assert job["BillableTimeInSeconds"] == (500 - 60) + (10 + 600)


@settings(deadline=None, max_examples=150)
@given(data=st.data())
def test_whatever_happens_every_job_ends_and_its_record_is_consistent(data: st.DataObject) -> None:
    changes = sorted(data.draw(st.lists(st.floats(0.1, 5000), max_size=12, unique=True)))
    capacity = Pools(lambda _: Timeline(data.draw(st.booleans()), iter(changes), notice=notice))
    notice = data.draw(st.sampled_from([0.0, 30.0, 120.0]))
    max_runtime = data.draw(st.integers(1, 3000))
    model = WorkModel(
        seconds=data.draw(st.floats(1, 2000)),
        steps=50,
        save_every=data.draw(st.floats(1, 500)),
        stall=data.draw(st.sampled_from([0.0, 1.5])),
        restore=data.draw(st.sampled_from([0.0, 7.0])),
        download=data.draw(st.sampled_from([0.0, 11.0])),
        upload=data.draw(st.sampled_from([0.0, 13.0])),
        on_sigterm=data.draw(st.sampled_from(["save", "exit", "ignore"])),
    )
    world = World(model, capacity=capacity)
    max_wait = max_runtime + data.draw(st.integers(0, 3000))
    world.create(
        StoppingCondition={
            "MaxRuntimeInSeconds": max_runtime,
            "MaxWaitTimeInSeconds": max_wait,
        }
    )
    stop = data.draw(st.none() | st.floats(0, 6000))
    if stop is not None and stop > 0:
        world.clock.run(stop)
        if world.describe()["TrainingJobStatus"] == "InProgress":
            world.sagemaker.handle("StopTrainingJob", {"TrainingJobName": "job-1"})
    job = world.run()
    assert job["TrainingJobStatus"] in ("Completed", "Stopped")
    assert world.clock.seconds() <= max(max_wait, stop or 0) + 120 + 120 + 13 + 1e-6
    transitions = world.transitions()
    for (_, _, end), (_, start, _) in pairwise(transitions):
        assert end == start
    assert job["SecondaryStatus"] == transitions[-1][0]
    assert job.get("BillableTimeInSeconds", 0) <= world.clock.seconds() + 1
    if job["TrainingJobStatus"] == "Completed":
        assert world.progress("complete.json")["step"] == 50
    if "Stopping" in [status for status, _, _ in transitions]:
        assert job["TrainingJobStatus"] == "Stopped"
