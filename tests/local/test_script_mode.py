"""Script mode: SageMaker's own toolkit starts our launcher, in the place of ContainerEntrypoint."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.local.commands import FAST, relay
from tests.training_jobs import training_job
from workflows.local.sagemaker import container
from workflows.local.server import LocalWorld

SCENARIO = "spot: {train: [{interrupt: 30%}, {interrupt: 70%}, available]}"


@pytest.fixture
def toolkit() -> None:
    """Needs the real `sagemaker-training`."""
    if container.toolkit_python() is None:
        reason = "sagemaker-training is not installed: ./scripts/test puts it into .venv/launchers"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)


@pytest.mark.processes
@pytest.mark.usefixtures("toolkit")
def test_after_kills_the_model_is_that_of_an_undisturbed_run_with_an_entry_point(small: Path) -> None:
    # given one pipeline of script mode and the same of the entry point
    text = (small / "pipeline.yaml").read_text()
    (small / "script-mode.yaml").write_text(
        text.replace("image: python", "image: python\n  launch: script_mode")
    )
    (small / "storm.yaml").write_text(SCENARIO)

    # when the first is killed twice, and the other runs undisturbed
    killed = run(small, "script-mode.yaml", "--scenario", str(small / "storm.yaml"))
    calm = run(small, "pipeline.yaml", "--scenario", "none")

    # then both left the same model
    attempts = killed["attempts"]
    assert [attempt["outcome"] for attempt in attempts] == ["interrupted", "interrupted", "completed"]
    assert attempts[-1]["resumed_step"] > 0
    assert killed["model_sha256"] == calm["model_sha256"]


def run(folder: Path, pipeline: str, *options: str) -> dict[str, Any]:
    """Runs it in a world of its own; returns its one stage."""
    root = folder.parent / Path(pipeline).stem
    root.mkdir()
    done = relay("run", folder / pipeline, "--json", *FAST, *options, cwd=root)
    logs = [path.read_text() for path in root.rglob("algo-1.log")]
    assert done.returncode == 0, (done.stderr, logs)
    if pipeline.startswith("script"):
        assert all("sagemaker_training" in log or "sagemaker-training-toolkit" in log for log in logs), logs
    [stage] = json.loads(done.stdout)["stages"]
    found: dict[str, Any] = stage
    return found


def test_without_the_toolkit_script_mode_is_refused(
    open_world: Callable[..., LocalWorld], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(container, "toolkit_python", lambda: None)
    world = open_world()
    request = training_job("job-1", HyperParameters={"sagemaker_program": '"launch.py"'})
    del request["AlgorithmSpecification"]["ContainerEntrypoint"]
    request["AlgorithmSpecification"].pop("ContainerArguments", None)

    with pytest.raises(ClientError, match="needs the sagemaker-training toolkit, which is not installed in"):
        world.client("sagemaker").create_training_job(**request)
