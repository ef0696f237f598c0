"""A base folder that no other test and no environment shares, and processes that start quickly."""

from __future__ import annotations

import importlib.util
import multiprocessing
import multiprocessing.context
import os
from pathlib import Path

import pytest

PRELOADED = {
    "torch": [
        "torch",
        "torch._dynamo",
        "torch.distributed.checkpoint",
        "torch.distributed.checkpoint.staging",
        "torch.distributed.checkpoint.state_dict",
        "torch.distributed.fsdp",
    ],
    "sklearn": ["sklearn.datasets", "sklearn.linear_model", "sklearn.model_selection"],
    "transformers": ["transformers.trainer", "transformers.models.gpt2.modeling_gpt2"],
    "accelerate": ["accelerate"],
    "lightning": ["lightning"],
    "xgboost": ["xgboost"],
}


@pytest.fixture(autouse=True)
def base(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("KEEP", "SHORTEST", "LONGEST", "ALLOW_CHANGES"):
        monkeypatch.delenv(f"RELAY_CHECKPOINT_{name}", raising=False)
    monkeypatch.delenv("RELAY_INTERRUPTION_PRIOR", raising=False)
    monkeypatch.setenv("SAGEMAKER_BASE_DIR", str(tmp_path))
    return tmp_path


@pytest.fixture(scope="session")
def forks() -> multiprocessing.context.ForkServerContext:
    """Processes with everything imported: imports are most of what a test of torch takes."""
    # Before torch is imported there: two threads each, on cores that others use too, spin for each
    # other and make a second into half a minute.
    os.environ["OMP_NUM_THREADS"] = "1"
    context = multiprocessing.get_context("forkserver")
    there = [name for name in PRELOADED if importlib.util.find_spec(name)]
    modules = [module for name in there for module in PRELOADED[name]]
    context.set_forkserver_preload(["scripts.drills.children", *modules])
    return context
