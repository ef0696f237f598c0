"""The names by which a machine tells what happens: written by the compiler, read from the history."""

from __future__ import annotations

CANNOT_START = "Relay.CannotStart"
"""The error of a run that the machine's first state refused."""
CANNOT_TAKE = "Relay.CannotTakeSchedule"
"""The error of a run of a schedule that could not tell whether another one goes on."""
GATE_FAILED = "Relay.GateFailed"
"""The error of a run that a gate stopped."""
WATCH_REFUSED = "Relay.WatchRefused"
"""The error of a capacity watch whose event or answers allow no look at the job."""
RUN_STOPPED = "Relay.Stopped"
"""The error of a run that a person stopped with `relay stop` or through the API."""


def variable(stage: str) -> str:
    """The stage's variable in the machine, without the `$`; the prefix keeps clear of JSONata's functions."""
    return "stage_" + stage.replace("-", "_")
