"""Whether an attempt may start: what the machine asks itself before each CreateTrainingJob.

The question stands in the arguments of the task that would create the job: when the answer is a reason, the
arguments fail, and the stage's own catcher takes the reason to the decision table, like any other end of an
attempt. So an attempt that may start, which is nearly all of them, costs no transition.

- A run that was redriven: the attempt's job may exist, and may still save. It is looked at first, so that two
  jobs never write one checkpoint prefix.
- What was not asked for (`from`, `only`), or what an earlier run may have done (`reuse`).
- A gate before it that said stop.
- Money: what the attempt could cost at most is more than is left of the spending limit.
- The clock: a spot job could not wait for capacity and still leave the time that on-demand needs.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from workflows.jobs.kinds import job_of
from workflows.jobs.variables import rung, settings
from workflows.ledger.vocabulary import variable
from workflows.policy.decisions import reserve_jsonata
from workflows.policy.outcomes import Hold
from workflows.specification.settings import SHORTEST_PATIENCE
from workflows.specification.stages import JobStage
from workflows.state_machine.expressions import REDRIVES

SHORTEST_WAIT = round(SHORTEST_PATIENCE.total_seconds())  # less would stop jobs that are being launched


@dataclass(frozen=True)
class Scope:
    """Where a stage runs: the machine itself, a branch of a Parallel, or a trial of a sweep.

    `results` names the variable in which its finished stages leave what they have, `purse` is the expression
    of the dollars that it may spend.
    """

    results: str
    purse: str


def slack(stage: JobStage, left: str) -> str:
    """Seconds that may pass without training before on-demand can no longer meet the deadline.

    The safety net: time left - (work left + the changeovers in reserve). The time left is the stage's: what
    comes after it needs its own, and so do the trials of a sweep that wait for a place. `left` is an
    expression of the work left, in seconds.
    """
    later = job_of(stage).seconds_after
    kept = f"{stage.changeover.total_seconds():g} * {reserve_jsonata(left)}"
    return f"(($run.deadline - $millis()) / 1000 - {later} - {left} - {kept})"


def late(stage: JobStage, left: str) -> str:
    """Whether no spot job is to be waited for any more."""
    return f"$exists($run.deadline) and {slack(stage, left)} < {SHORTEST_WAIT}"


def spent_in(scope: Scope, stage: JobStage | None = None) -> str:
    """Dollars that the scope's finished stages, and the stage that now runs, have cost so far."""
    own = f", ${variable(stage.name)}.ledger.usd" if stage else ""
    return f"$sum([0, ${scope.results}.*.ledger.usd{own}])"


def said_stop(gates: Iterable[tuple[str, str]]) -> list[str]:
    """For each gate, (name, variable that holds its result): whether it said stop."""
    return [f"${results}.`{name}`.passed = false" for name, results in gates]


def unwanted(stage: str, gates: Iterable[tuple[str, str]]) -> str:
    """Whether the stage is to be left out: it was not asked for, or a gate before it said stop."""
    return " or ".join([f'{settings(stage)}.do = "{Hold.NOT_ASKED}"', *said_stop(gates)])


def hold(stage: JobStage, scope: Scope, gates: Iterable[tuple[str, str]]) -> str:
    """Why the attempt that the stage has come to is not to start; "" when it may.

    `gates`: (name, variable that holds its result) of every gate before the stage.
    """
    own, limits = f"${variable(stage.name)}", settings(stage.name)
    reasons = [
        (f"{own}.redrive != {REDRIVES}", f'"{Hold.REDRIVEN}"'),
        *((condition, f'"{Hold.GATE}"') for condition in said_stop(gates)),
        (f'{own}.do != "run"', f"{own}.do"),
    ]
    if stage.on_spot and stage.on_demand.enabled:
        on_spot = f'{own}.market = "spot"'
        reasons += [
            (f"{on_spot} and {limits}.retry_budget = 0", f'"{Hold.NO_BUDGET}"'),
            (f"{on_spot} and {late(stage, f'{own}.left')}", f'"{Hold.DEADLINE}"'),
        ]
    left, worst = _left(stage, scope), _worst(stage)
    reasons.append((f"$exists($run.budget) and {left} < {worst}", f'"{Hold.MONEY}"'))
    text = '""'
    for condition, answer in reversed(reasons):
        text = f"{condition} ? {answer} : {text}"
    return f"({text})"


def money(stage: JobStage, scope: Scope) -> str:
    """What is left of the spending limit and what the attempt could cost, in words."""
    left, worst = f"$round({_left(stage, scope)}, 2)", f"$round({_worst(stage)}, 2)"
    return f'$string({left}) & " USD are left, and another attempt could cost " & $string({worst}) & " USD"'


def _left(stage: JobStage, scope: Scope) -> str:
    return f"{scope.purse} - {spent_in(scope, stage)}"


def _worst(stage: JobStage) -> str:
    """Dollars of an attempt that runs into its limit."""
    return f"{_dearest(stage)} * {stage.limit.total_seconds() / 3600:g}"


def _dearest(stage: JobStage) -> str:
    """Dollars an hour of what the attempt may run on."""
    if not stage.on_demand.preferences:
        return f"{rung(stage.name)}.hour"
    limits, on_spot = settings(stage.name), f'${variable(stage.name)}.market = "spot"'
    return f'({on_spot} ? {rung(stage.name)}.hour : $max({limits}."on-demand".hour))'


def unless_held(hold_text: str, value: str) -> str:
    """The value of an argument, or the error that takes the stage to its decision."""
    return f'($held := {hold_text}; $held = "" ? {value} : $error("not started: " & $held))'
