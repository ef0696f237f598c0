"""Checkpoints that survive any death of the process; needs nothing but Python 3.10 or newer.

    from workflows.checkpointing import Checkpointer

    best = {"loss": float("inf")}        # a number cannot change in place, so it lives in a dict
    with Checkpointer({"model": model, "optimizer": optimizer, "best": best}) as checkpoints:
        for step in checkpoints.steps(10_000):
            loss = train_one(step)
            best["loss"] = min(best["loss"], loss)
            checkpoints.report(loss=loss)

With several ranks, call torch.distributed.init_process_group() first. Hugging Face, Lightning and
XGBoost have modules of their own: huggingface, lightning, xgboost. launch.py is the container's
entry point, which passes SIGTERM on.
"""

from .checkpointer import Checkpointer
from .errors import (
    CheckpointError,
    ConfigurationChangedError,
    DamagedError,
    RestoreError,
    Stopped,
    UnsupportedStateError,
)

__all__ = [
    "CheckpointError",
    "Checkpointer",
    "ConfigurationChangedError",
    "DamagedError",
    "RestoreError",
    "Stopped",
    "UnsupportedStateError",
]
