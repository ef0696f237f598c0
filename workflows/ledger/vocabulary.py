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


# The states of a stage, as the console shows them behind its name. Those that only the compiler speaks of are
# written where they are made; these are read again from histories.
ON_SPOT, ON_DEMAND = "on spot", "on demand"
IS_IT_MET = "is it met"
IS_IT_ASKED_FOR, NOT_ASKED_FOR = "is it asked for", "not asked for"
TRY_ALL, DID_ENOUGH_SUCCEED, BEST_TRIAL = "try all", "did enough succeed", "best trial"
WRITE_DOWN, MEASURE, WHAT_NEXT = "write down", "measure", "what next"
FAILED, TRIAL_FAILED = "failed, redrive to go on", "trial failed"
TOO_FEW_SUCCEEDED, NOT_GOOD_ENOUGH = "too few succeeded, redrive to go on", "not good enough"

RUNS_A_JOB = {ON_SPOT, ON_DEMAND}
AFTER_AN_ATTEMPT = {WRITE_DOWN, MEASURE, WHAT_NEXT}
"""They follow the last attempt, too: the stage is done by then."""
OF_THE_SWEEP = {IS_IT_ASKED_FOR, TRY_ALL, DID_ENOUGH_SUCCEED, BEST_TRIAL, NOT_ASKED_FOR}
"""A sweep's own states; all others are those of its trials."""
FAILED_PHASES = (FAILED, TOO_FEW_SUCCEEDED, TRIAL_FAILED, NOT_GOOD_ENOUGH)
"""In which a run that failed was stuck."""


def title(stage: str, phrase: str) -> str:
    """The name of a state: whose it is, and what it does or asks."""
    return f"{stage}: {phrase}"


def variable(stage: str) -> str:
    """The stage's variable in the machine, without the `$`; the prefix keeps clear of JSONata's functions."""
    return "stage_" + stage.replace("-", "_")
