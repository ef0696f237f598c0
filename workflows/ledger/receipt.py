"""What a run cost, attempt by attempt, and why each decision was taken: ledger -> money and JSON.

`receipt_text.py` prints the same for people.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from workflows.ledger.entry import Entry, document_key, moment_text
from workflows.ledger.run_view import RunView
from workflows.ledger.stage_view import Activity, StageView, TrialView
from workflows.policy.prices import DISCOUNTED, PriceBook


@dataclass(frozen=True)
class Line:
    """One attempt with its money. Seconds are machine time; costs are US dollars, None for unknown prices."""

    entry: Entry
    cost: float | None
    undisturbed: float | None  # the same useful work on on-demand
    steps_redone: int

    @property
    def attempts(self) -> int:
        """How many attempts it stands for."""
        return self.entry.attempts

    @property
    def instances(self) -> int:
        """Instances of the attempt; AWS bills each."""
        return self.entry.instance_count

    @property
    def billed(self) -> float:
        """Billed seconds of one instance; the trained ones where AWS reported none."""
        return self.entry.billed

    @property
    def billed_in_all(self) -> float:
        """Billed seconds of all its instances, which are what `cost` is for."""
        return self.billed * self.instances


def lines(activity: Activity, prices: PriceBook) -> Iterator[Line]:
    """The attempts of a stage, or of a trial, with their money.

    The machine reckons an attempt's dollars itself, for the spending limit: where it did, that is the cost.
    """
    for position, entry in enumerate(activity.attempts):
        kept = _kept(entry, activity.attempts[position + 1 :])
        # What reached S3 last is not always progress.json: the next attempt may know of more.
        # Without instances it can have lost nothing.
        idle = not entry.trained_seconds and not entry.moved
        reached = kept if idle else max(entry.reached_step, kept)
        resumed = kept if idle else entry.resumed_step
        entry = replace(entry, reached_step=reached, resumed_step=resumed)
        done = entry.reached_step - entry.resumed_step
        useful = (kept - entry.resumed_step) / done if done > 0 else float(entry.decision == "done")
        yield Line(
            entry,
            _cost(entry, prices),
            _undisturbed(entry, prices, useful),
            entry.reached_step - kept,
        )


def _cost(entry: Entry, prices: PriceBook) -> float | None:
    if entry.usd is not None or entry.attempts > 1:  # which may have run on different instances
        return entry.usd
    return prices.cost(entry.instance_type, entry.instance_count, _priced_as(entry), entry.billed)


def _undisturbed(entry: Entry, prices: PriceBook, useful: float) -> float | None:
    """`useful`: the share of its seconds whose work was kept, which nobody knows of several attempts."""
    if entry.attempts > 1:
        return None
    seconds = entry.trained_seconds * min(1.0, max(0.0, useful))
    return prices.cost(entry.instance_type, entry.instance_count, "on-demand", seconds)


def all_lines(stage: StageView, prices: PriceBook) -> list[Line]:
    """The attempts of a stage and of its trials."""
    activities: list[Activity] = [stage, *(trial for _, trial in sorted(stage.trials.items()))]
    return [line for activity in activities for line in lines(activity, prices)]


def _kept(entry: Entry, later: Sequence[Entry]) -> int:
    """The step from which the work went on: what the next attempt that ran resumed from."""
    if entry.outcome == "completed":
        return entry.reached_step
    ran = (other.resumed_step for other in later if other.trained_seconds)
    return next(ran, entry.saved_step)


def _priced_as(entry: Entry) -> str:
    """The market whose price the billed seconds are to be multiplied with.

    AWS prints the savings of a spot job as 1 - billable / training seconds, so billable seconds hold the
    discount already; its API reference calls them wall-clock time. Either way: seconds well below the trained
    ones are priced as on-demand, others as spot.
    """
    billed = entry.billed_seconds
    discounted = billed is not None and billed < DISCOUNTED * entry.trained_seconds
    return "on-demand" if discounted else entry.market


def as_json(view: RunView, prices: PriceBook, digests: Mapping[str, str]) -> dict[str, Any]:
    """The run as one document. `digests`: stage -> SHA-256 of the contents of its model."""
    everything = [line for stage in view.stages.values() for line in all_lines(stage, prices)]
    return {
        "run": view.run,
        "pipeline": view.pipeline,
        "status": view.status,
        "error": view.error,
        "cause": view.cause,
        "dropped": view.dropped or None,
        "deadline": view.deadline and view.deadline.isoformat(),
        "ended": view.ended_at and view.ended_at.isoformat(),
        "budget_usd": view.budget_usd,
        "stages": [
            {
                "name": stage.name,
                "kind": stage.kind,
                "model_sha256": digests.get(stage.name),
                **_activity(stage, prices),
                **_of_its_kind(stage, prices),
            }
            for stage in view.stages.values()
        ],
        "totals": totals(everything),
        "prices": {"date": prices.date, "region": prices.region, "spot_share": prices.spot_share},
    }


def _activity(activity: Activity, prices: PriceBook) -> dict[str, Any]:
    return {
        "status": activity.status,
        "why": activity.why or None,
        "reused_job": activity.reused or None,
        "metrics": activity.metrics,
        "attempts": [attempt_document(line) for line in lines(activity, prices)],
        "before_attempts": [{"attempt": note.after + 1, "reason": note.why} for note in activity.notes],
    }


def _of_its_kind(stage: StageView, prices: PriceBook) -> dict[str, Any]:
    if stage.kind == "gate":
        return {"passed": stage.passed, "when": stage.when, "verdict": stage.verdict}
    if stage.kind == "register":
        return {"package": stage.package or None}
    if stage.kind == "sweep":
        trials = [_trial(trial, prices) for _, trial in sorted(stage.trials.items())]
        return {"best_trial": stage.best, "trials": trials}
    return {}


def _trial(trial: TrialView, prices: PriceBook) -> dict[str, Any]:
    known = {"trial": trial.number, "parameters": dict(trial.parameters), "value": trial.value}
    return {**known, **_activity(trial, prices)}


def totals(everything: list[Line]) -> dict[str, Any]:
    """Sums over attempts; a sum with an unknown price in it is None."""
    cost, undisturbed = _sum(line.cost for line in everything), _sum(line.undisturbed for line in everything)
    saved = 1 - cost / undisturbed if cost is not None and undisturbed else None
    return {
        "attempts": sum(line.attempts for line in everything),
        "interruptions": sum(line.entry.interruptions for line in everything),
        "seconds_trained": sum(line.entry.trained_seconds * line.entry.instance_count for line in everything),
        "seconds_billed": sum(line.billed_in_all for line in everything),
        "steps_redone": sum(line.steps_redone for line in everything),
        "cost_usd": cost,
        "on_demand_cost_usd": undisturbed,
        "saved_percent": None if saved is None else round(100 * saved, 1),
    }


def _sum(values: Iterator[float | None]) -> float | None:
    known = list(values)
    return None if None in known else sum(value for value in known if value is not None)


def attempt_document(line: Line) -> dict[str, Any]:
    """One attempt, as the receipt and `relay explain` give it."""
    entry = line.entry
    rung = ("market", "instance_type", "instance_count")
    told = ("outcome", "decision", "why", "message", "resumed_step", "reached_step", "saved_step")
    return {
        "attempt": entry.attempt,
        "stands_for": line.attempts,
        "job": entry.job,
        "market": entry.market,
        "rung": _given(entry, *rung),
        "created": moment_text(entry.created),
        "ended": moment_text(entry.ended),
        **_given(entry, "queued_seconds", *told),
        "steps_redone": line.steps_redone,
        **_given(entry, "trained_seconds", "billed_seconds", "interruptions"),
        "cost_usd": line.cost,
        "on_demand_cost_usd": line.undisturbed,
    }


def _given(entry: Entry, *names: str) -> dict[str, Any]:
    """These fields under the keys of the JSON documents."""
    return {document_key(name): getattr(entry, name) for name in names}
