"""Checkpoints that survive any death of the process; needs nothing but the standard library."""

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
