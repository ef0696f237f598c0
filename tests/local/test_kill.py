"""The drill that kills the local world: what S3 and the ledger hold is enough to make the run whole."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SCRIPT = """\
import os, pathlib, time
from workflows.checkpointing import Checkpointer
state = {"sum": 0}
with Checkpointer({"state": state}, shortest=0.05, longest=0.1) as checkpoints:
    for step in checkpoints.steps(80):
        state["sum"] = state["sum"] * 31 % 1_000_003 + step
        time.sleep(0.02)
        checkpoints.report()
pathlib.Path(os.environ["SM_MODEL_DIR"], "sum.txt").write_text(str(state["sum"]))
"""
PIPELINE = """\
name: small
defaults:
  image: python
  spot: {patience: 5m, backoff: {first: 1s, max: 5s}}
stages:
  - {name: one, script: train.py, limit: 5m}
  - {name: two, script: train.py, limit: 5m, needs: [one]}
"""


@pytest.mark.processes
def test_a_run_whose_world_was_killed_is_resumed_with_the_same_models_and_a_ledger_that_adds_up(tmp_path):
    (tmp_path / "train.py").write_text(SCRIPT)
    (tmp_path / "pipeline.yaml").write_text(PIPELINE)
    command = [sys.executable, "-m", "scripts.kill", "--pipeline", tmp_path / "pipeline.yaml", "--json"]

    done = subprocess.run([*command, "--rounds", "3"], cwd=ROOT, capture_output=True, text=True, timeout=600)

    assert done.returncode == 0, done.stderr
    rounds = json.loads(done.stdout)["rounds"]
    assert any(each["killed"] for each in rounds), rounds
