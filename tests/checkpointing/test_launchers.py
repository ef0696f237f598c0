"""What a script sees under our launcher, held against SageMaker's own two launchers on the same tree."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from tests.checkpointing.launchers import PYTHON, Said, Tree, relation
from workflows.checkpointing import launch

TABLE = Path(launch.__file__).with_name("ENVIRONMENT.md")
HYPERPARAMETERS = {
    "epochs": "3",
    "name": '"x y"',
    "plain": "text",
    "b": "true",
    "nothing": "null",
    "learning-rate": "0.1",
    "grid": '{"z": 1, "a": 2}',
    "sizes": "[1, 2]",
    "sagemaker_region": '"eu-west-1"',
    "sagemaker_job_name": '"job-1"',
    "sagemaker_container_log_level": "30",
    "sagemaker_custom": '"x"',
    "_tuning_objective_metric": '"loss"',
}
ROW = re.compile(
    r"^\| `([^`]+)` \| (yes|no) \| (same|differs|-) \| (same|differs|-) \| (.*) \|$", re.MULTILINE
)
pytestmark = pytest.mark.processes


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Tree:
    if not PYTHON.exists():
        reason = f"SageMaker's launchers are not installed in {PYTHON.parents[1]}: ./scripts/test does that"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    return Tree(tmp_path_factory.mktemp("job"), HYPERPARAMETERS, ["code", "my-val", "train"])


@pytest.fixture(scope="module")
def said(tree: Tree) -> tuple[Said, Said, Said]:
    """What the script saw under ours, the toolkit, and the driver."""
    return tree.ours(), tree.toolkit(), tree.driver()


def test_every_variable_is_as_the_table_says(said: tuple[Said, Said, Said]) -> None:
    # given what the script saw under each launcher
    ours, toolkit, driver = (each.environment for each in said)
    found = {
        name: ("yes" if name in ours else "no", relation(ours, toolkit, name), relation(ours, driver, name))
        for name in sorted({*ours, *toolkit, *driver})
    }
    # then the table in the repository says it of each, and gives a reason where something is not the same
    rows = {row[0]: (row[1], row[2], row[3]) for row in ROW.findall(TABLE.read_text())}
    assert rows == found
    unexplained = [
        row[0]
        for row in ROW.findall(TABLE.read_text())
        if {row[2], row[3]} != {"same"} and not row[4].strip()
    ]
    assert unexplained == []


def test_nothing_that_the_toolkit_sets_is_missing(said: tuple[Said, Said, Said]) -> None:
    ours, toolkit, driver = said

    assert set(toolkit.environment) <= set(ours.environment)
    kept_back = set(driver.environment) - set(ours.environment)
    assert all(re.match("SM_HP_(SAGEMAKER_|_TUNING)", name) for name in kept_back)


def test_the_arguments_are_those_of_the_toolkit(said: tuple[Said, Said, Said]) -> None:
    ours, toolkit, _ = said

    assert ours.arguments == toolkit.arguments
    assert ours.arguments[ours.arguments.index("--nothing") + 1] == ""
    assert ours.folder == toolkit.folder


def test_a_channel_with_a_dash_ends_a_job_of_sdk_3_and_works_here(tree: Tree) -> None:
    with pytest.raises(LookupError, match=r"SM_CHANNEL_MY-VAL=.*: not a valid identifier"):
        tree.driver(strict=True)

    environment = tree.ours().environment
    folder = str(tree.base / "input" / "data" / "my-val")
    assert environment["SM_CHANNEL_MY-VAL"] == environment["SM_CHANNEL_MY_VAL"] == folder
