"""Replays recordings that a test run has kept: `python -m tests.reference FOLDER`."""

from __future__ import annotations

import sys
from pathlib import Path

from tests.reference.replay import replay

verdict = replay(Path(sys.argv[1]))
print("\n".join([*verdict.differences, verdict.report()]))
sys.exit(bool(verdict.differences))
