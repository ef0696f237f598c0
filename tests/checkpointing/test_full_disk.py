"""A disk that is really full, and a small one that has room for two checkpoints only."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.processes
SCRIPT = """
import random, shutil, sys
from pathlib import Path
from workflows.checkpointing import Checkpointer
base = Path(sys.argv[1])
ballast, box = bytearray(1_000_000), {"filler": None}
clock = [0.0]
with Checkpointer({"ballast": ballast}, keep=5, shortest=1, longest=1,
                  asynchronous=False, clock=lambda: clock[0]) as checkpoints:
    for step in checkpoints.steps(12):
        clock[0] += 10
        if step == 9:
            (base / "filler").write_bytes(bytes(600_000))
print("saved", checkpoints._saver.saved_step, len(list(base.glob("checkpoints/step-*"))))
"""


def test_training_goes_on_and_older_checkpoints_make_room(tmp_path: Path) -> None:
    namespace = ["unshare", "--user", "--map-root-user", "--mount"]
    mount = f"mount -t tmpfs -o size=4200k none {tmp_path}"
    probe = shutil.which("unshare") and subprocess.run(
        [*namespace, "sh", "-c", mount], capture_output=True, check=False
    )
    if not probe or probe.returncode:
        pytest.skip("no file system can be mounted here")

    result = subprocess.run(
        [*namespace, "sh", "-c", f'{mount} && exec "$@"', "sh", sys.executable, "-c", SCRIPT, str(tmp_path)],
        env={**os.environ, "SAGEMAKER_BASE_DIR": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert "No space left on device" in result.stderr
    assert result.stdout.split()[:2] == ["saved", "12"], result.stderr
    assert int(result.stdout.split()[2]) >= 2
