"""What a run may say: checked in the machine's first state as everywhere else, and followed."""

import json

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.machine.pipelines import Run, pipeline
from tests.requests import evaluate
from workflows.specification.run_input import input_schema, mistakes
from workflows.state_machine.input_check import problems_jsonata

TRAIN = {
    "name": "train",
    "expected": "20m",
    "changeover": "2m",
    "hyperparameters": {"lr": 0.1, "name": "adam"},
}
PREPARE = {"name": "prepare", "kind": "process", "outputs": ["data"], "arguments": {"rows": 10}}
LOST = {"interrupt": "40%"}
GRAPH = pipeline(PREPARE, {**TRAIN, "inputs": {"data": "{{ prepare.outputs.data }}"}})

# Values that are nearly right, so that both checkers have something to say.
scalar = (
    st.none() | st.booleans() | st.integers(-2, 60) | st.sampled_from([0.5, 1.5, "x", "36h", "5m", "a b"])
)
rung = st.dictionaries(st.sampled_from(["type", "count", "x"]), scalar | st.just("ml.m5.xlarge"), max_size=3)
spot = st.dictionaries(
    st.sampled_from(["retry_budget", "patience", "no_progress_limit", "ladder", "x"]),
    scalar | st.lists(rung, max_size=2),
    max_size=3,
)
stages = st.sampled_from(["train", "prepare", "nobody"])
inputs = st.dictionaries(
    st.sampled_from(
        ["deadline", "budget_usd", "parameters", "spot", "on_demand", "from", "only", "reuse", "key", "other"]
    ),
    scalar
    | stages
    | st.lists(stages, max_size=3)
    | st.dictionaries(stages, st.dictionaries(st.sampled_from(["lr", "name", "rows", "y"]), scalar))
    | st.dictionaries(stages, spot, max_size=2),
    max_size=3,
)


@settings(max_examples=400, deadline=None)
@given(inputs | scalar | st.lists(scalar, max_size=2))
def test_the_machine_refuses_what_the_json_schema_refuses_in_the_words_of_the_command(value):
    # given
    schema = input_schema(GRAPH)
    # when the machine, the command and the JSON schema are asked
    said = evaluate(problems_jsonata(schema, "$schema", "$value"), schema=schema, value=value)
    # then all of them agree
    assert said == "; ".join(mistakes(schema, value))
    assert (said == "") is jsonschema.Draft202012Validator(schema).is_valid(value)


@pytest.mark.parametrize(
    ("run_input", "cause"),
    [
        ({"dealine": "3h"}, "run input: unknown field `dealine`; allowed: deadline, "),
        ({"deadline": "soon"}, "run input.deadline: found soon, expected a deadline such as 36h"),
        (
            {"spot": {"train": {"retry_budget": -1}}},
            "run input.spot.train.retry_budget: found -1, expected at least 0 and at most 200",
        ),
        ({"parameters": {"train": {"rate": 1}}}, "unknown field `rate`; allowed: lr, name"),
        ({"from": "train", "only": ["train"]}, "run input: `from` and `only` exclude each other"),
        ({"spot": {"train": {"patience": "1m"}}}, "a patience of less than 5m would stop jobs"),
        (
            {"spot": {"train": {"ladder": [{"type": "ml.p5.48xlarge"}]}}},
            "run input.spot.train.ladder[0].type: unknown instance type `ml.p5.48xlarge`; allowed: ml.m5",
        ),
        (
            {"spot": {"train": {"ladder": [{"count": 2}]}}},
            "run input.spot.train.ladder[0]: the field `type` is missing",
        ),
        ("text", "run input: found text, expected object"),
    ],
)
def test_a_wrong_input_is_refused_before_anything_runs(run_input, cause):
    run = Run(GRAPH, run_input=run_input)

    assert (run.ended["status"], run.ended["error"]) == ("FAILED", "Relay.CannotStart")
    assert cause in run.ended["cause"]
    assert run.states == ["as written", "start", "can it start", "refused"]


def test_an_empty_input_runs_the_pipeline_as_it_is_written():
    assert Run(GRAPH).ended["status"] == "SUCCEEDED"


def test_hyperparameters_of_a_run_go_over_those_of_the_pipeline():
    run = Run(GRAPH, run_input={"parameters": {"train": {"lr": 0.5}, "prepare": {"rows": 99}}})

    [job] = run.jobs
    assert job["HyperParameters"] == {"lr": "0.5", "name": "adam"}
    [first] = [e for e in run.world.history(run.arn) if "taskScheduledEventDetails" in e][:1]
    request = json.loads(first["taskScheduledEventDetails"]["parameters"])
    assert request["AppSpecification"]["ContainerArguments"] == ["train.py", "--rows", "99"]


def test_budgets_and_ladders_of_a_run_go_over_those_of_the_pipeline():
    ladder = [{"type": "ml.m5.xlarge", "count": 2}]
    run_input = {
        "spot": {"train": {"retry_budget": 1, "patience": "20m", "ladder": ladder}},
        "on_demand": {"train": {"ladder": [{"type": "ml.m5.xlarge", "count": 3}]}},
    }

    run = Run(pipeline(TRAIN), run_input=run_input, scenario={"spot": {"train": [LOST]}})

    assert run.attempts("train") == [
        ("spot", "interrupted", "on-demand"),
        ("on-demand", "completed", "done"),
    ]
    first, second = run.jobs
    assert first["ResourceConfig"]["InstanceCount"] == 2
    assert first["StoppingCondition"]["MaxWaitTimeInSeconds"] == 3600 + 1200
    assert first["Environment"]["RELAY_PATIENCE"] == "1200"
    assert second["ResourceConfig"]["InstanceCount"] == 3


def test_a_retry_budget_of_nothing_goes_on_demand_at_once():
    run = Run(pipeline(TRAIN), run_input={"spot": {"train": {"retry_budget": 0}}})

    assert run.attempts("train") == [("on-demand", "completed", "done")]
    assert [job["EnableManagedSpotTraining"] for job in run.jobs] == [False]


def test_a_run_without_disturbance_takes_six_transitions_a_stage_whatever_it_is_asked():
    run = Run(pipeline(TRAIN), run_input={"deadline": "9h", "budget_usd": 100, "parameters": {"train": {}}})

    assert run.states == [
        "as written",
        "start",
        "can it start",
        "train: on spot",
        "train: is it whole",
        "train: done",
        "train: write down",
        "train: measure",
        "train: what next",
        "run: done",
    ]
