"""A few rounds of the drill, so that the drill itself stays in order."""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from scripts import chaos
from scripts.drills import faults

pytestmark = pytest.mark.processes


def test_some_rounds_of_the_drill_end_with_the_undisturbed_model() -> None:
    result = subprocess.run(
        [sys.executable, "-m", "scripts.chaos", "--rounds", "3", "--seed", "3", "--json"],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )

    assert result.returncode == 0, result.stderr
    said = json.loads(result.stdout)
    assert (said["rounds"], said["identical"], said["problems"]) == (3, 3, 0)


def test_the_drill_notices_a_checkpoint_that_was_resumed_although_a_newer_one_is_whole(
    tmp_path: Path,
) -> None:
    options = argparse.Namespace(ranks=1, seed=1)
    drill = chaos.Drill(tmp_path, options, 0)
    drill.attempt(None)
    newest = faults.names(drill.checkpoints)[0]
    hidden = tmp_path / "hidden"
    shutil.move(drill.checkpoints / newest, hidden)
    attempt = drill.attempt(None)
    shutil.rmtree(drill.checkpoints / newest, ignore_errors=True)
    shutil.move(hidden, drill.checkpoints / newest)
    attempt.expected_step = int(newest.split("-")[1])

    drill.check_resume(attempt)

    assert any(f"not resumed at {attempt.expected_step}" in p for p in drill.round.problems)
