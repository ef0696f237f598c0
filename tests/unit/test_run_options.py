"""What is said on the command line becomes the run's input, and its mistakes are lines that help."""

import json

import pytest

from workflows.specification.pipeline import Pipeline
from workflows.specification.run_input import RunInputError, check_input
from workflows.specification.run_options import RunOptions, run_name, scalar

PIPELINE = Pipeline.model_validate(
    {
        "name": "demo",
        "stages": [
            {"name": "prepare", "kind": "process", "script": "prepare.py", "arguments": {"size": 8}},
            {"name": "train", "script": "train.py", "hyperparameters": {"rate": 0.1, "layers": 2}},
            {"name": "good", "kind": "gate", "when": "{{ train.metrics.accuracy }} > 0.9"},
        ],
    }
)


def lines(run_input):
    with pytest.raises(RunInputError) as caught:
        check_input(PIPELINE, run_input)
    return str(caught.value).splitlines()


def test_nothing_said_is_the_empty_input():
    assert RunOptions().run_input() == {}


def test_options_go_before_the_input_and_leave_the_rest_of_it(tmp_path):
    file = tmp_path / "input.json"
    file.write_text(
        json.dumps({"deadline": "1h", "reuse": True, "parameters": {"train": {"rate": 1, "layers": 3}}})
    )

    found = RunOptions(
        str(file), deadline="2h", budget_usd=5, only=("train",), reuse=False, set=("train.rate=0.5",), key="k"
    ).run_input()

    assert found == {
        "deadline": "2h",
        "budget_usd": 5,
        "only": ["train"],
        "reuse": False,
        "key": "k",
        "parameters": {"train": {"rate": 0.5, "layers": 3}},
    }
    check_input(PIPELINE, found)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("3", 3),
        ("0.5", 0.5),
        ("true", True),
        *((text, text) for text in ("adam", "", "1e-3", "null", "2026-01-01", "[1, 2]", "{", ".inf", "a=b")),
    ],
)
def test_a_value_is_a_number_or_a_truth_as_in_yaml_or_the_text_itself(text, value):
    assert scalar(text) == value
    assert type(scalar(text)) is type(value)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (RunOptions("missing.json"), "--input: missing.json: cannot be read: No such file"),
        (RunOptions('{"deadline": '), "--input: not JSON"),
        (RunOptions(set=("train=3",)), "--set: found train=3; expected STAGE.NAME=VALUE"),
        (RunOptions(set=("train.rate",)), "--set: found train.rate; expected STAGE.NAME=VALUE"),
    ],
)
def test_what_cannot_be_read_is_said(options, words):
    with pytest.raises(RunInputError, match=words):
        options.run_input()


@pytest.mark.parametrize(
    "given", ["[1]", '{"parameters": 3}', '{"parameters": {"train": "x"}}', '{"parameters": {"train": null}}']
)
def test_an_input_of_the_wrong_shape_is_left_to_the_schema(given):
    (line,) = lines(RunOptions(given, set=("train.rate=3",)).run_input())

    assert "expected object" in line


@pytest.mark.parametrize(
    ("run_input", "expected"),
    [
        (
            {"from": "trian"},
            "run input.from: unknown stage `trian`; allowed: prepare, train, good; did you mean `train`?",
        ),
        (
            {"only": ["god"]},
            "run input.only[0]: unknown stage `god`; allowed: prepare, train, good; did you mean `good`?",
        ),
        (
            {"parameters": {"train": {"rat": 1}}},
            "run input.parameters.train: unknown field `rat`; allowed: rate, layers; did you mean `rate`?",
        ),
        ({"parameters": {"good": {}}}, "run input.parameters: unknown field `good`; allowed: prepare, train"),
        ({"budget_usd": 0}, "run input.budget_usd: found 0, expected at least 0.01"),
        ({"reuse": "yes"}, "run input.reuse: found yes, expected boolean"),
        ({"from": "train", "only": ["train"]}, "run input: `from` and `only` exclude each other"),
        (
            {"spot": {"train": {"patience": "soon"}}},
            "run input.spot.train.patience: found soon, expected a duration such as 90s, 45m, 2h or 1h30m",
        ),
    ],
)
def test_a_mistake_in_the_input_is_one_line_with_the_nearest_name(run_input, expected):
    assert lines(run_input) == [expected]


def test_every_mistake_has_its_line():
    assert len(lines({"deadlin": "1h", "budgt": 3, "reuse": 1})) == 3


def test_a_key_names_the_run_and_one_that_is_too_long_for_it_says_how_long_it_may_be():
    assert run_name("demo", "nightly-7") == "demo-nightly-7"
    with pytest.raises(RunInputError, match="found 64 characters; with this pipeline at most 39"):
        run_name("p" * 40, "k" * 64)
