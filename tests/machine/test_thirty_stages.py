"""A pipeline as large as they come: it fits, and it is done whatever capacity does."""

import json

from tests.machine.pipelines import Run, definition, pipeline, watch
from workflows.local.sagemaker.work_model import WorkModel
from workflows.specification.aws_limits import MOST_DEFINITION
from workflows.state_machine.check import problems_of

SWEEP = {
    "kind": "sweep",
    "grid": {"rate": [0.1, 0.2], "width": [1, 2]},
    "concurrency": 2,
    "best": {"metric": "score"},
}


def thirty_stages():
    """Four chains side by side, two sweeps, a gate, and a chain that ends in the registry."""

    def chain(name, length, first):
        names = [f"{name}-{place}" for place in range(1, length + 1)]
        before = [first, *names[:-1]]
        return [{"name": each, "needs": [needed]} for each, needed in zip(names, before, strict=True)]

    return pipeline(
        {"name": "fetch", "kind": "process", "outputs": ["raw"]},
        {
            "name": "clean",
            "kind": "process",
            "inputs": {"raw": "{{ fetch.outputs.raw }}"},
            "outputs": ["data"],
        },
        *(stage for name in "abcd" for stage in chain(name, 4, "clean")),
        {"name": "tune-left", "needs": ["a-4", "b-4"], **SWEEP},
        {"name": "tune-right", "needs": ["c-4", "d-4"], **SWEEP},
        {"name": "report", "kind": "process", "needs": ["tune-left", "tune-right"]},
        {
            "name": "good-enough",
            "kind": "gate",
            "needs": ["report"],
            "when": "{{ tune-left.metrics.score }} + {{ tune-right.metrics.score }} >= 0.4",
        },
        *chain("refine", 7, "good-enough"),
        {"name": "register", "kind": "register", "model": "{{ refine-7.outputs.model }}"},
    )


def test_thirty_stages_with_sweeps_fit_into_one_machine():
    found = thirty_stages()
    assert len(found.stages) == 30
    assert len(json.dumps(definition(found))) < MOST_DEFINITION
    assert problems_of(found, definition(found)) == []


def test_thirty_stages_end_though_nearly_every_one_is_interrupted():
    # given an interruption for each stage and each trial, then none until the watch acts
    found = thirty_stages()
    on_spot = [stage.name for stage in found.stages if stage.kind in {"train", "sweep"}]
    scores = WorkModel(
        seconds=1200, steps=100, save_every=60, metrics={"score": lambda given: float(given["rate"])}
    )
    # when
    run = Run(
        found,
        scenario={"spot": {name: [{"interrupt": "50%"}] for name in on_spot}},
        models={"tune-left": scores, "tune-right": scores},
        watch=watch(),
    )
    # then
    ended = run.world.describe(run.arn)
    assert ended["status"] == "SUCCEEDED", ended.get("cause")
    stages = json.loads(ended["output"])["stages"]
    assert len(stages) == 30
    assert on_spot
    for name in on_spot:
        outcomes = [attempt["outcome"] for attempt in stages[name]["ledger"]]
        trials = 4 if name.startswith("tune") else 1
        assert outcomes == ["interrupted", "completed"] * trials
    assert [stages[name]["best"]["trial"] for name in ("tune-left", "tune-right")] == [2, 2]
    assert stages["good-enough"]["passed"] is True
    assert stages["register"]["outputs"]["package"].endswith("/1")
