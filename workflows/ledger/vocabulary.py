"""The names by which a machine tells what happens: written by the compiler, read from the history."""

from __future__ import annotations

CANNOT_START = "Relay.CannotStart"
"""The error of a run that the machine's first state refused."""


def variable(stage: str) -> str:
    """The stage's variable in the machine, without the `$`; the prefix keeps clear of JSONata's functions."""
    return "stage_" + stage.replace("-", "_")
