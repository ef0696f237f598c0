"""What a kind of stage must bring, asked of every kind that there is."""

from __future__ import annotations

import re
from typing import Any

import pytest

from scripts.imports import ROOT, modules
from tests.machine.pipelines import SITE, materials
from workflows.jobs.kinds import JOBS, job_of
from workflows.ledger.stage_view import stages_in
from workflows.specification.pipeline import KINDS, Pipeline
from workflows.specification.stages import BaseStage, JobStage
from workflows.state_machine.graph import compile_pipeline
from workflows.state_machine.kinds import STATES

TRAIN = {"name": "a", "script": "train.py"}
LEAST: dict[str, dict[str, Any]] = {
    "train": {"script": "train.py"},
    "process": {"script": "prepare.py"},
    "sweep": {"script": "train.py", "grid": {"rate": [1, 2]}, "best": {"metric": "loss"}},
    "gate": {"when": "{{ a.metrics.loss }} < 1"},
    "register": {"model": "{{ a.outputs.model }}"},
}
"""The fewest fields with which a stage of each kind is complete."""


def pipeline_with(kind: str) -> Pipeline:
    stage = {"name": "it", "kind": kind, "needs": ["a"], **LEAST[kind]}
    return Pipeline.model_validate({"name": "kinds", "stages": [TRAIN, stage]})


def test_every_kind_is_in_every_table():
    job_kinds = {kind for kind, model in KINDS.items() if issubclass(model, JobStage)}

    assert set(KINDS) == set(STATES) == set(LEAST)
    assert set(JOBS) == job_kinds


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_a_stage_of_each_kind_compiles_into_states_of_its_own_by_which_a_run_tells_its_kind(kind):
    pipeline = pipeline_with(kind)

    machine = compile_pipeline(pipeline, SITE, materials(pipeline))

    own = [name for name in machine["States"] if name.startswith("it: ")]
    assert own
    assert stages_in(machine)["it"] == kind


@pytest.mark.parametrize("kind", sorted(JOBS))
def test_the_jobs_of_each_kind_are_requested_looked_at_and_leave_something(kind):
    pipeline = pipeline_with(kind)
    stage = pipeline.jobs[-1]
    job = job_of(stage)

    requests = dict(job.requests(pipeline, SITE, materials(pipeline)["it"], slack="0"))

    assert next(iter(requests)) == stage.first_market
    assert ("spot" in requests) <= job.type.spot
    assert {"status", "reason", "trained_seconds", "billed_seconds", "created", "ended"} <= set(job.end())
    assert set(job.outputs(SITE)) == set(stage.output_names)


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_the_readme_names_each_kind(kind):
    assert re.search(rf"\b{kind}\b", (ROOT / "README.md").read_text())


def test_kinds_are_told_apart_by_tables_and_methods_and_seldom_by_their_class():
    models: set[type[BaseStage]] = {*KINDS.values(), BaseStage, JobStage}
    names = "|".join(model.__name__ for model in models)
    asked = re.compile(rf"isinstance\([^)]*\b({names})\b")
    found = [
        f"{name}: {line.strip()}"
        for name, path in modules().items()
        for line in path.read_text().splitlines()
        if asked.search(line)
    ]

    assert len(found) <= 10, "\n".join(found)
