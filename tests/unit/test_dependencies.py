"""Who may import whom: `scripts/imports.py` has the table, these tests hold the code to it."""

import sys

import pytest

from scripts.imports import (
    LEVELS,
    NOWHERE,
    ROOT,
    against_the_order,
    circles,
    folder_of,
    graph,
    imports,
    modules,
)

STANDARD = set(sys.stdlib_module_names)
PURE = {
    *("workflows.specification." + name for name in ("settings", "durations", "deadlines", "conditions")),
    *("workflows.specification." + name for name in ("stages", "pipeline")),
}
MODULES = modules()
CORE = sorted(name for name in MODULES if name in PURE or folder_of(name) == "workflows.policy")
CHECKPOINTING = sorted(name for name in MODULES if folder_of(name) == "workflows.checkpointing")


def test_every_folder_has_a_level_and_the_walk_finds_the_modules():
    named = {folder for level in LEVELS for folder in level} | NOWHERE | {"workflows"}

    assert {folder_of(name) for name in MODULES} <= named
    assert len(MODULES) > 250


def test_no_import_goes_against_the_order():
    assert against_the_order(graph()) == []


def test_no_modules_import_each_other_in_a_circle():
    assert circles(graph()) == []


def test_an_arrow_against_the_order_and_a_circle_would_be_found():
    arrows = {
        "workflows.policy.rules": {"workflows.runs.live"},
        "workflows.runs.live": {"workflows.runs.rehearsal"},
        "workflows.runs.rehearsal": {"workflows.runs.live"},
        "workflows.state_machine.stage": {"workflows.local.clock"},
        "workflows.local.clock": set(),
    }

    assert against_the_order(arrows) == [
        "workflows.policy.rules imports workflows.runs.live",
        "workflows.state_machine.stage imports workflows.local.clock",
    ]
    assert circles(arrows) == [["workflows.runs.live", "workflows.runs.rehearsal"]]


def test_the_house_has_at_most_twelve_rooms():
    shown = [
        path for path in (ROOT / "workflows").iterdir() if path.name not in {"__init__.py", "__pycache__"}
    ]
    documents = [path for path in shown if path.suffix == ".md"]

    assert len(shown) - len(documents) <= 12


@pytest.mark.parametrize("name", CHECKPOINTING)
def test_checkpointing_imports_nothing_of_ours_and_only_the_standard_library_at_import(name):
    path = MODULES[name]
    outside = {each.split(".")[0] for each in imports(path, top_level_only=True)} - STANDARD - {"workflows"}
    frameworks = {"huggingface.py": {"transformers"}, "lightning.py": {"lightning"}}
    assert outside <= frameworks.get(path.name, set())


@pytest.mark.parametrize("name", CORE)
def test_the_core_imports_only_pydantic_and_the_standard_library(name):
    outside = {each for each in imports(MODULES[name]) if not each.startswith("workflows.")}

    assert {each.split(".")[0] for each in outside} <= STANDARD | {"pydantic", "pydantic_core"}


def test_only_the_language_module_imports_the_stepfunctions_sdk():
    users = [n for n, path in MODULES.items() if any(i.startswith("stepfunctions") for i in imports(path))]

    assert users == ["workflows.state_machine.language"]


@pytest.mark.parametrize("folder", ["workflows.state_machine", "workflows.local", "workflows.planning"])
def test_compiler_worlds_and_planner_import_neither_the_sagemaker_sdk_nor_the_cdk(folder):
    names = [name for name in MODULES if folder_of(name) == folder]
    bad = [n for n in names for i in imports(MODULES[n]) if i.split(".")[0] in {"sagemaker", "aws_cdk"}]

    assert names
    assert not bad


@pytest.mark.parametrize("part", ["step_functions", "sagemaker", "front_door"])
def test_the_services_of_the_local_world_do_not_know_each_other_nor_the_worlds_they_are_in(part):
    others = {"step_functions", "sagemaker", "front_door", "server", "virtual"} - {part}
    known = {
        other
        for name, its in graph().items()
        if name.startswith(f"workflows.local.{part}")
        for other in its
        if other.startswith("workflows.local.")
    }

    assert known
    assert not {other.split(".")[2] for other in known} & others
