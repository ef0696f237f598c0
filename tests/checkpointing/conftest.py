"""A base folder that no other test and no environment shares."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def base(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("KEEP", "SHORTEST", "LONGEST", "ALLOW_CHANGES"):
        monkeypatch.delenv(f"RELAY_CHECKPOINT_{name}", raising=False)
    monkeypatch.delenv("RELAY_INTERRUPTION_PRIOR", raising=False)
    monkeypatch.setenv("SAGEMAKER_BASE_DIR", str(tmp_path))
    return tmp_path
