"""Who may import whom: the direction of the architecture, read from the imports themselves."""

import ast
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PURE = [
    "settings",
    "durations",
    "deadlines",
    "conditions",
    "stages",
    "pipeline",
    "rules",
    "outcomes",
    "decisions",
    "tally",
    "prices",
    "errors",
]
WHEN_CALLED = {"stages": {"workflows.estimators"}}  # by TrainStage.from_estimator, inside the function
STANDARD = set(sys.stdlib_module_names)


def imports(path, *, top_level_only=False):
    """The absolute names that a module imports; relative ones are made absolute."""
    tree = ast.parse(path.read_text())
    package = ".".join(path.relative_to(ROOT).parent.parts)
    nodes = tree.body if top_level_only else ast.walk(tree)
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = (
                ".".join(package.split(".")[: len(package.split(".")) - node.level + 1]) if node.level else ""
            )
            yield ".".join(filter(None, [base, node.module]))


def modules(folder):
    return sorted((ROOT / folder).rglob("*.py"))


def names(paths):
    return [str(path.relative_to(ROOT)) for path in paths]


@pytest.mark.parametrize("path", modules("workflows/checkpointing"), ids=lambda path: path.name)
def test_checkpointing_imports_nothing_of_ours_and_only_the_standard_library_at_import(path):
    assert not [n for n in imports(path) if n.startswith("workflows") and "checkpointing" not in n]
    outside = {n.split(".")[0] for n in imports(path, top_level_only=True)} - STANDARD - {"workflows"}
    frameworks = {"huggingface.py": {"transformers"}, "lightning.py": {"lightning"}}
    assert outside <= frameworks.get(path.name, set())


@pytest.mark.parametrize("name", PURE)
def test_the_core_imports_only_pydantic_and_the_standard_library(name):
    found = set(imports(ROOT / "workflows" / f"{name}.py")) - WHEN_CALLED.get(name, set())
    ours = {n for n in found if n.startswith("workflows")}

    assert {n.split(".")[0] for n in found - ours} <= STANDARD | {"pydantic", "pydantic_core"}
    assert {n.removeprefix("workflows.") for n in ours} <= set(PURE)


def test_only_the_language_module_imports_the_stepfunctions_sdk():
    users = [p for p in modules("workflows") if any(n.startswith("stepfunctions") for n in imports(p))]

    assert names(users) == ["workflows/state_machine/language.py"]


def test_the_compiler_knows_nothing_of_the_worlds_that_run_its_text():
    for path in modules("workflows/state_machine"):
        bad = [n for n in imports(path) if n.startswith(("workflows.local", "boto", "sagemaker", "aws_cdk"))]
        assert not bad, path


def test_the_local_world_imports_neither_the_stacks_nor_the_sagemaker_sdk_nor_the_compiler():
    for path in modules("workflows/local"):
        bad = [n for n in imports(path) if n.split(".")[0] in {"stacks", "sagemaker", "stepfunctions"}]
        assert not bad, path
        assert not [n for n in imports(path) if n.startswith("workflows.state_machine")], path


@pytest.mark.parametrize("part", ["step_functions", "sagemaker", "front_door"])
def test_the_services_of_the_local_world_do_not_know_each_other_nor_the_worlds_they_are_in(part):
    others = {"step_functions", "sagemaker", "front_door", "server", "virtual"} - {part}
    for path in modules(f"workflows/local/{part}"):
        known = {n.split(".")[2] for n in imports(path) if n.startswith("workflows.local.")}
        assert not known & others, path


def test_nothing_imports_the_command():
    assert not [p for p in modules("workflows") if "workflows.cli" in set(imports(p))]
