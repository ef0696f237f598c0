"""Whole machines in the reference: what `start` accepts and refuses, and how deep their expressions count."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from tests.machine.pipelines import Run, definition, pipeline
from tests.machine.test_thirty_stages import thirty_stages
from tests.reference.engine import MissingReferenceError, Reference, installed
from tests.reference.recorder import Recorder
from tests.reference.replay import Verdict, replay
from tests.requests import CONTEXT
from workflows.local.sagemaker.work_model import WorkModel
from workflows.local.step_functions.jsonata import expressions as interpreter
from workflows.runs.depth import depth_of_start
from workflows.specification.loading import load
from workflows.specification.pipeline import Pipeline
from workflows.specification.run_input import input_schema, mistakes

EXAMPLES = sorted((Path(__file__).parents[2] / "workflows/examples").glob("*/pipeline.yaml"))
DEEPEST = 60  # of the 100 that Step Functions allows: room for what AWS may count otherwise


def chain(stages: int) -> Pipeline:
    names = [f"s{number}" for number in range(stages)]
    needs = [[], *([name] for name in names)]
    return pipeline(*({"name": n, "needs": before} for n, before in zip(names, needs, strict=False)))


def beside(stages: int) -> Pipeline:
    return pipeline(*({"name": f"s{number}"} for number in range(stages)))


def long_in_everything() -> Pipeline:
    """As many of each thing as a stage may have: the members of a literal count together."""
    many = {f"name-{number}": number for number in range(100)}
    types = [f"ml.{kind}.{size}" for kind in ("g4dn", "g5") for size in ("xlarge", "2xlarge", "4xlarge")]
    train = {
        "name": "train",
        "hyperparameters": many,
        "retry_on_exit_codes": list(range(1, 101)),
        "metrics": {f"m{number}": f"m{number}=([0-9]+)" for number in range(30)},
        "environment": {f"NAME_{number}": "{% not an expression" for number in range(40)},
        "tags": {f"tag-{number}": "value" for number in range(40)},
    }
    outputs = [f"out-{number}" for number in range(10)]
    arguments = {f"name-{number}": number for number in range(49)}  # SageMaker takes 100 words
    prepare = {"name": "prepare", "kind": "process", "arguments": arguments, "outputs": outputs}
    inputs = {f"in-{number}": f"{{{{ prepare.outputs.out-{number} }}}}" for number in range(10)}
    grid = {"rate": [0.1, 0.2]} | {name: [value] for name, value in list(many.items())[:99]}
    tune = {"name": "tune", "kind": "sweep", "grid": grid, "best": {"metric": "m1"}}
    when = " and ".join(f"{{{{ train.metrics.m{number} }}}} >= 0" for number in range(8))
    properties = {f"property-{number}": "value" for number in range(40)}
    return pipeline(
        prepare,
        {**train, "inputs": inputs},
        {**tune, "needs": ["train"]},
        {"name": "good", "kind": "gate", "when": when, "needs": ["tune"]},
        {"name": "register", "kind": "register", "model": "{{ train.outputs.model }}", "needs": ["good"],
         "properties": properties},
        spot={"ladder": types},
        on_demand={"ladder": types},
    )  # fmt: skip


PIPELINES = {
    "long": long_in_everything(),
    **{path.parent.name: load(path) for path in EXAMPLES},
    "chain of 34": chain(34),
    "34 side by side": beside(34),
    "thirty": thirty_stages(),
}


@pytest.fixture(scope="module", autouse=True)
def reference() -> Iterator[Reference]:
    try:
        installed()
    except MissingReferenceError as missing:
        pytest.skip(str(missing))
    with Reference() as found:
        yield found


@cache
def states_of(name: str) -> dict[str, Any]:
    states: dict[str, Any] = definition(PIPELINES[name])["States"]
    return states


def started(reference: Reference, name: str, run_input: Any) -> dict[str, Any]:
    states = states_of(name)
    text = states["start"]["Assign"]["run"].removeprefix("{%").removesuffix("%}").strip()
    written = states["as written"]["Assign"]["written"]
    bindings = {"written": written, "states": {"context": CONTEXT, "input": run_input}}
    return reference.ask({"text": text, "bindings": bindings})


@pytest.mark.parametrize("name", PIPELINES)
def test_start_accepts_what_the_pipeline_allows(reference: Reference, name: str) -> None:
    found = PIPELINES[name]
    stage = found.stages[0].name
    for run_input in ({}, {"reuse": True, "key": "a-1"}, {"only": [stage]}, {"from": stage}):
        answer = started(reference, name, run_input)
        assert "problems" not in answer["value"], answer
        assert list(answer["value"]["stages"]) == [each.name for each in found.stages]
        assert answer["depth"] <= DEEPEST


@pytest.mark.parametrize("name", PIPELINES)
@pytest.mark.parametrize(
    "run_input",
    [
        {"dealine": "3h"},
        {"deadline": "soon", "reuse": 1},
        {"budget_usd": 0},
        {"only": []},
        {"only": ["nobody", "nobody"]},
        {"from": "nobody", "only": ["nobody"]},
        {"spot": {"nobody": {}}, "key": "-"},
        [],
        None,
        "text",
    ],
    ids=str,
)
def test_start_refuses_the_others_in_the_words_of_the_command(
    reference: Reference, name: str, run_input: Any
) -> None:
    found = PIPELINES[name]
    answer = started(reference, name, run_input)
    assert answer["value"] == {"problems": "; ".join(mistakes(input_schema(found), run_input))}
    assert answer["depth"] <= DEEPEST


@pytest.mark.parametrize(
    "number", [1e15, 1.2345678901234568e20, 1e20, 1e21, 0.1, 1e-7, 123456.789, 2**53, 1.5e300, -1e20]
)
def test_numbers_are_written_as_the_reference_writes_them(reference: Reference, number: float) -> None:
    text = "$string($n)"
    ours = interpreter.Expressions(lambda: datetime(2026, 1, 1, tzinfo=UTC))

    answer = reference.ask({"text": text, "bindings": {"n": number}})

    assert ours.evaluate(ours.compile(text), {"n": number}) == answer["value"]


@pytest.mark.parametrize("name", PIPELINES)
def test_relay_check_counts_the_depth_of_start_as_the_reference_does(reference: Reference, name: str) -> None:
    found = definition(PIPELINES[name])

    assert depth_of_start(found) == started(reference, name, {})["depth"]


def replayed(folder: Path, run: Any) -> Verdict:
    """The reference's verdict of what is evaluated meanwhile."""
    before = interpreter.observer()
    recorder = Recorder(folder / "own.jsonl")
    recorder.start()
    try:
        run()
    finally:
        recorder.stop()
        interpreter.observe(before)
    return replay(folder)


RUN = {
    "digits": PIPELINES["digits"],
    "graph": PIPELINES["graph"],
    "chain of 12": chain(12),
    "12 side by side": beside(12),
    "long": PIPELINES["long"],
}


@pytest.mark.parametrize("name", RUN)
def test_no_expression_of_a_run_is_deep(tmp_path: Path, name: str) -> None:
    # given an interruption for each stage that may be interrupted
    found = RUN[name]
    lost = {each.name: [{"interrupt": "50%"}] for each in found.stages if each.kind == "train"}
    scores = dict.fromkeys(
        ("accuracy", "score", "loss", "acc", *(f"m{number}" for number in range(30))), 0.99
    )
    models = {
        each.name: WorkModel(seconds=60, steps=100, save_every=5, metrics=scores) for each in found.stages
    }
    # when it runs
    ended = []
    verdict = replayed(
        tmp_path, lambda: ended.append(Run(found, scenario={"spot": lost}, models=models).ended)
    )
    # then the reference agrees, and counts little
    assert [each["status"] for each in ended] == ["SUCCEEDED"], ended
    assert verdict.evaluations > 20
    assert verdict.differences == []
    assert verdict.deepest <= DEEPEST, verdict.deepest_text


@pytest.mark.parametrize(
    "when",
    [
        " and ".join(f"{{{{ a.metrics.m{number} }}}} > 0" for number in range(18)),
        "{{ a.metrics.m1 }} > " + " - ".join(["1"] * 24),
        "not " * 24 + "{{ a.metrics.m1 }} > 0",
    ],
    ids=["eighteen metrics", "a long sum", "nested"],
)
def test_the_largest_conditions_of_a_gate_are_not_deep(reference: Reference, when: str) -> None:
    gate = {"name": "it", "kind": "gate", "when": when, "needs": ["a"]}
    (text,) = definition(pipeline({"name": "a"}, gate))["States"]["it: is it met"]["Assign"].values()
    metrics = {f"m{number}": 1 for number in range(20)}
    bindings = {"run": {"stages": {"it": {"do": "run"}}}, "done": {"a": {"metrics": metrics}}}

    answer = reference.ask({"text": text.removeprefix("{%").removesuffix("%}").strip(), "bindings": bindings})

    assert answer["value"]["it"]["passed"] is True
    assert answer["depth"] <= DEEPEST


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ("$x.a + 1", "$x.a + 2"),
        ("$count($x.b)", "$count($x.c)"),
        ("$x.b[$ > 1]", "$x.b[$ >= 1]"),
        ("$string($x.a) & 's'", "$string($x.a)"),
        ("$merge([$x, {'c': 1}])", "$merge([{'c': 1}])"),
    ],
)
def test_an_answer_that_is_wrong_is_found_and_shown(tmp_path: Path, right: str, wrong: str) -> None:
    # given the evaluation of one expression
    ours = interpreter.Expressions(lambda: datetime(2026, 1, 1, tzinfo=UTC), compile_after=None)
    variables = {"x": {"a": 1, "b": [1, 2, 3]}}
    replayed(tmp_path, lambda: ours.evaluate(ours.compile(right), variables))
    # when another expression's text is recorded with its answer
    file = tmp_path / "own.jsonl"
    line = json.loads(file.read_text())
    file.write_text(json.dumps({**line, "text": wrong}) + "\n")
    # then the verdict shows expression, bindings and both answers
    [shown] = replay(tmp_path).differences
    for part in (wrong, '"b": [1, 2, 3]', "ours: ", "reference: "):
        assert part in shown
