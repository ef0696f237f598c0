"""What a run can grow to at worst: events in its history, bytes in its variables.

The policy's budgets bound the attempts of a stage; what an attempt adds was measured on histories of the
compiled machines (`tests/machine/test_worst_case.py` measures it again). Not bounded by any budget, and so
not counted: faults of attempts that each got further, time slices, redrives.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator

from workflows.ledger.entry import bytes_of_a_row
from workflows.policy.decisions import EXIT_BUDGET, FAULT_BUDGET, UNKNOWN_BUDGET, WAIT_BUDGET
from workflows.specification.aws_limits import MOST_INLINE
from workflows.specification.pipeline import Pipeline
from workflows.specification.stages import AnyStage, JobStage
from workflows.state_machine.arrangement import SideBySide, Steps, arrange

# Events of a history. Each figure is the most that `tests/machine/test_worst_case.py` counts in histories of
# the local world, whose events are AWS's (`local/AWS.md`). A retried call takes three of them.
OF_THE_RUN = 10  # its start and end, and the states around the stages
OF_A_SCHEDULE = 220  # at most, of a run that takes it; 24 when it takes it over at once, without retries
OF_A_STAGE = 28  # that is undisturbed: six states, four of them tasks
OF_A_TRIAL = 6  # the iteration of the Map and the two states around the training
OF_A_SWEEP = 10  # the states around its Map
OF_A_LARGE_SWEEP = 13  # the same of a distributed one, whose best trial's job is looked at
OF_A_PLAIN_STAGE = 12  # a registration; a gate has fewer
OF_A_GROUP, OF_A_BRANCH = 4, 4  # what stands side by side
LOST_ATTEMPT = 42  # 32, and three retried calls of three events
WAITING_ATTEMPT = 66  # a create call that was refused, all its retries and those of the look at it, two more

MOST_OF_A_SWEEP = 15_000  # of the run's 25,000; a sweep that may need more runs as a Distributed Map

# Bytes of JSON in a variable.
ENTRY = bytes_of_a_row()  # a line of the ledger
RESULT = 1_200  # what a finished stage leaves besides: three URIs of 200, an ARN of 150, some twenty metrics
# What a trial of a distributed sweep hands over besides its parameters: a line without what a sum has not
# (`Column.summed`), its job's name and URIs.
HANDED_OVER = 850


def lost_attempts(stage: JobStage) -> int:
    """Attempts that the stage may lose one after the other before it ends, well or not."""
    exits = EXIT_BUDGET if stage.exit_codes else 0
    return FAULT_BUDGET + UNKNOWN_BUDGET + stage.interruptions_allowed + stage.idle_attempts_allowed + exits


def events(stage: AnyStage) -> int:
    """Events that a stage adds to the run's history at worst, waits for quota left out
    (`events_of_waits`)."""
    if not isinstance(stage, JobStage):
        return OF_A_PLAIN_STAGE
    if not stage.has_trials:
        return OF_A_STAGE + lost_attempts(stage) * LOST_ATTEMPT
    if distributed(stage):
        return OF_A_LARGE_SWEEP
    return OF_A_SWEEP + stage.trial_count * events_of_trial(stage)


def distributed(stage: JobStage) -> bool:
    """Whether the trials of a sweep are executions of their own, because the run's history could not hold
    them."""
    trials = stage.trial_count
    many = trials > MOST_INLINE or trials * events_of_trial(stage) > MOST_OF_A_SWEEP
    return stage.has_trials and many


def events_of_trial(stage: JobStage) -> int:
    """Events of one trial of a sweep, wherever its history is."""
    lost = lost_attempts(stage) * LOST_ATTEMPT
    # Trials side by side wait for the same quota, so all may wait.
    return OF_A_TRIAL + OF_A_STAGE + lost + (WAIT_BUDGET + 1) * WAITING_ATTEMPT


def events_of_waits(jobs: Iterable[JobStage]) -> int:
    """Events of one stage that is refused for want of quota until its budget of waits is used up.

    That all stages are, each for hours, in one run is left out: it would refuse pipelines that run for years.
    """
    return (WAIT_BUDGET + 1) * WAITING_ATTEMPT if any(True for _ in jobs) else 0


def events_around(pipeline: Pipeline) -> int:
    """Events that are no stage's: the run's own, and those of what stands side by side."""
    return (
        OF_THE_RUN
        + OF_A_SCHEDULE
        + sum(OF_A_GROUP + OF_A_BRANCH * len(side.branches) for side in _groups(arrange(pipeline)))
    )


def _groups(steps: Steps) -> Iterator[SideBySide]:
    for step in steps.steps:
        if isinstance(step, SideBySide):
            yield step
            for branch in step.branches:
                yield from _groups(branch)


def result_bytes(stage: AnyStage) -> int:
    """Bytes that a stage leaves in the run's results when its retry budget has been used up."""
    if not isinstance(stage, JobStage):
        return RESULT
    if distributed(stage):
        parameters = sum(len(json.dumps(each)) for each in stage.trial_parameters())
        return RESULT + stage.trial_count * HANDED_OVER + parameters
    return stage.trial_count * (RESULT + _usual_entries(stage) * ENTRY)


def unusual_bytes(jobs: Iterable[JobStage]) -> int:
    """Bytes on top of it when one stage, or one trial, uses up all its other budgets as well.

    That all of them do in one run is left out: it would refuse pipelines that run for years. A trial of a
    distributed sweep hands over one line, however many attempts it took.
    """
    inline = [stage for stage in jobs if not distributed(stage)]
    more = (lost_attempts(stage) + WAIT_BUDGET + 2 - _usual_entries(stage) for stage in inline)
    return max(more, default=0) * ENTRY


def _usual_entries(stage: JobStage) -> int:
    return 1 + stage.interruptions_allowed
