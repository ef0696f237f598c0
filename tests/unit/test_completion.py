"""What the shell completes comes from the local world's folder alone."""

import json
from types import SimpleNamespace

import pytest

from workflows.commands import completion


@pytest.fixture
def root(tmp_path):
    """A folder with two runs of a pipeline and one of its capacity watch."""
    states = {"train: on spot": {"Resource": "arn:aws:states:::sagemaker:createTrainingJob.sync"}}
    for machine, run in (("digits", "digits-1"), ("digits", "night"), ("digits-watch", "event")):
        folder = tmp_path / "states/executions" / machine / run
        folder.mkdir(parents=True)
        (folder / "definition.json").write_text(json.dumps({"States": states}))
        (tmp_path / "states/machines").mkdir(exist_ok=True)
        (tmp_path / "states/machines" / f"{machine}.json").write_text("{}")
    return tmp_path


def context(root, **params):
    return SimpleNamespace(params={"root": root, **params})


def test_runs_and_pipelines_are_completed_without_the_watch(root):
    assert set(completion.runs(context(root), "")) == {"digits-1", "night"}
    assert completion.runs(context(root), "dig") == ["digits-1"]
    assert completion.pipelines(context(root), "d") == ["digits"]


def test_stages_are_those_of_the_run_before_them(root):
    assert completion.stages(context(root, run="night"), "t") == ["train"]
    assert completion.stages(context(root, run="nobody"), "t") == []


def test_where_there_is_no_world_nothing_is_completed(tmp_path):
    assert completion.runs(context(tmp_path / "none"), "") == []
