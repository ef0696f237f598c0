"""Real processes are killed, and the next one goes on."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.processes
SCRIPT = Path(__file__).parents[2] / "scripts" / "drills" / "training.py"


def run(base: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    often = {"RELAY_CHECKPOINT_SHORTEST": "0", "RELAY_CHECKPOINT_LONGEST": "0.02"}
    return subprocess.run(
        [sys.executable, str(SCRIPT), *arguments],
        env={**os.environ, "SAGEMAKER_BASE_DIR": str(base), **often, **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def digest(result: subprocess.CompletedProcess[str]) -> str:
    assert result.returncode == 0, result.stderr
    return result.stdout.split("digest ")[1].strip()


def read(base: Path, name: str) -> dict[str, object]:
    content: dict[str, object] = json.loads((base / "checkpoints" / name).read_text())
    return content


def test_the_model_after_kills_is_the_model_of_the_undisturbed_run(tmp_path: Path) -> None:
    undisturbed = digest(run(tmp_path / "a"))

    killed = run(tmp_path / "b", "--save-at", "20", "--die-at", "40", "--pause", "0.005")
    again = run(tmp_path / "b", "--die-at", "80", "--pause", "0.005", "--signal", "SIGTERM")
    last = run(tmp_path / "b")

    assert killed.returncode == -9
    assert again.returncode == 143, again.stderr
    assert digest(last) == undisturbed
    done = read(tmp_path / "b", "complete.json")
    assert (done["step"], done["saved_step"], done["interruptions"]) == (100, 100, 2)
    assert int(str(done["resumed_step"])) == 81  # the step in which SIGTERM came was finished


def test_a_finished_training_that_is_started_again_ends_at_once_with_the_same_model(
    tmp_path: Path,
) -> None:
    first = run(tmp_path)
    before = sorted(path.name for path in (tmp_path / "checkpoints").iterdir())

    second = run(tmp_path)

    assert digest(second) == digest(first)
    assert sorted(path.name for path in (tmp_path / "checkpoints").iterdir()) == before
    assert "nothing to do" in second.stderr


def test_sigterm_leaves_no_complete_file_and_ends_with_143(tmp_path: Path) -> None:
    result = run(tmp_path, "--die-at", "10", "--signal", "SIGTERM")

    assert result.returncode == 143
    assert read(tmp_path, "progress.json")["saved_step"] == 11
    assert not (tmp_path / "checkpoints" / "complete.json").exists()
