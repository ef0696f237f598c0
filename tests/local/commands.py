"""The `relay` command as a user has it, and a pipeline that is small enough for tests of it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

RELAY = Path(sys.prefix) / "bin" / "relay"
FAST = ["--speed", "2000"]

TRAIN = """\
import os, pathlib, time
from workflows.checkpointing import Checkpointer
state = {"sum": 0}
with Checkpointer({"state": state}, shortest=0.05, longest=0.2) as checkpoints:
    for step in checkpoints.steps(60):
        while step >= 30 and os.path.exists("HOLD") and not checkpoints.stopping:
            time.sleep(0.02)
        state["sum"] = state["sum"] * 31 % 1_000_003 + step
        time.sleep(0.02)
        checkpoints.report(sum=state["sum"])
pathlib.Path(os.environ["SM_MODEL_DIR"], "sum.txt").write_text(str(state["sum"]))
"""
PIPELINE = """\
name: small
defaults:
  image: python
  spot: {patience: 5m, backoff: {first: 1s, max: 5s}}
stages:
  - {name: train, script: train.py, limit: 2m}
"""


def relay(*arguments: object, cwd: Path, **options: Any) -> subprocess.CompletedProcess[str]:
    """One command in a process of its own."""
    return subprocess.run(
        [RELAY, *map(str, arguments)], cwd=cwd, capture_output=True, text=True, timeout=300, **options
    )


def saved_step(folder: Path) -> int:
    """The newest checkpoint of the run in the folder's world, 0 before there is one."""
    found = list((folder / ".relay").rglob("progress.json"))
    try:
        return int(json.loads(found[0].read_text())["saved_step"]) if found else 0
    except ValueError:
        return 0
