"""What the capacity watch reads of a job: how long, and how often, it may be without capacity.

A job keeps what it was created with, in its environment; what the rule and the watch's first wait need stands
in its tags, which its events carry.
"""

from __future__ import annotations

from workflows.jobs.job import whole_seconds
from workflows.jobs.jsonata_text import jsonata
from workflows.jobs.variables import settings
from workflows.jobs.watch_pattern import AT_ONCE, LEFT_TAG, LOOK_AFTER
from workflows.ledger.vocabulary import variable
from workflows.specification.stages import TrainStage

PATIENCE, INTERRUPTIONS_LEFT = "RELAY_PATIENCE", "RELAY_INTERRUPTIONS_LEFT"
SLACK, REDONE = "RELAY_SLACK", "RELAY_REDONE"
NO_DEADLINE = "none"  # in the place of a number of seconds


def watched_environment(stage: TrainStage, slack: str) -> dict[str, str]:
    """Environment of a spot job; `slack`: an expression of the seconds it may spend without training."""
    # What an interruption costs besides the waiting: at most the work since the last checkpoint.
    redone = whole_seconds(stage.checkpoint.longest if stage.checkpoint else stage.limit)
    return {
        PATIENCE: jsonata(f"$string({settings(stage.name)}.patience)"),
        INTERRUPTIONS_LEFT: jsonata(_left(stage)),
        SLACK: jsonata(f'$exists($run.deadline) ? $string($floor({slack})) : "{NO_DEADLINE}"'),
        REDONE: str(redone),
    }


def watched_tags(stage: TrainStage) -> dict[str, str]:
    """Tags of a spot job: the patience, or that it is looked at at once where a deadline runs."""
    wait = f'$exists($run.deadline) ? "{AT_ONCE}" : $string({settings(stage.name)}.patience)'
    return {LOOK_AFTER: jsonata(wait), LEFT_TAG: jsonata(_left(stage))}


def _left(stage: TrainStage) -> str:
    return f"$string({settings(stage.name)}.retry_budget - ${variable(stage.name)}.interruptions)"
