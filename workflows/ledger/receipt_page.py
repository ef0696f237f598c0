"""The receipt as one HTML file: when each attempt ran, what progress it made, what it cost, and why.

The figures are those of `receipt.py`; what is drawn follows from the ledger's times alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from workflows.ledger.colours import COLOURS
from workflows.ledger.entry import Entry
from workflows.ledger.pages.render import page
from workflows.ledger.receipt import Line, all_lines, lines, totals
from workflows.ledger.receipt_text import money, taken_from
from workflows.ledger.run_view import RunView
from workflows.ledger.stage_view import Activity, StageView
from workflows.policy.outcomes import LOST
from workflows.policy.prices import PriceBook

MOST_ROWS = 40  # of the timeline: a larger sweep shows its first trials
TICKS = 4


@dataclass(frozen=True)
class Bar:
    """A part of an attempt on the timeline; percent of the run's time. `kind` is its style."""

    left: float
    width: float
    kind: str
    says: str


@dataclass(frozen=True)
class Row:
    """A stage, or a trial of a sweep, on the timeline."""

    name: str
    bars: Sequence[Bar]
    crosses: Sequence[tuple[float, str]]  # where an attempt was lost, and what to say of it


@dataclass(frozen=True)
class Leg:
    """An attempt's progress: it went from (x1, y1) to (x2, y2), and y3 of it was kept; percent."""

    x1: float
    y1: float
    x2: float
    y2: float
    kept: float
    market: str


def as_html(
    view: RunView,
    prices: PriceBook,
    digests: Mapping[str, str],
    plan: Mapping[str, Any] | None = None,
) -> str:
    """The page. `digests`: stage -> SHA-256 of its model; `plan`: what `relay plan --json` said."""
    everything = [line for stage in view.stages.values() for line in all_lines(stage, prices)]
    scale = _Scale([line.entry for line in everything])
    return page(
        "receipt.html",
        view=view,
        totals=totals(everything),
        planned=plan["as_written"] if plan else None,
        length=_span(scale.seconds) if scale.known else "",
        began=scale.label(0.0) if scale.known else "",
        ticks=[(100 * n / TICKS, _span(scale.seconds * n / TICKS)) for n in range(TICKS + 1)],
        rows=list(_rows(view, prices, scale))[:MOST_ROWS] if scale.known else [],
        stages=[_stage(stage, prices, scale, digests) for stage in view.stages.values()],
        prices=prices,
        money=money,
        span=_span,
    )


class _Scale:
    """The timeline's scale: from the creation of the first job to the end of the last."""

    def __init__(self, entries: Sequence[Entry]) -> None:
        timed = [entry.period for entry in entries if entry.timed]
        self.known, self.seconds = bool(timed), 1.0
        if timed:
            self._first = min(created for created, _ in timed)
            self.seconds = max(1.0, (max(ended for _, ended in timed) - self._first).total_seconds())

    def at(self, moment: datetime, after: float = 0.0) -> float:
        """The place of a moment, and so many seconds later, in percent."""
        seconds = (moment - self._first).total_seconds() + after
        return 100 * min(1.0, max(0.0, seconds / self.seconds))

    def label(self, place: float) -> str:
        """The moment at that place."""
        moment = self._first.timestamp() + self.seconds * place / 100
        return datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


# ----------------------------------------------------------------------------------------------- timeline
def _rows(view: RunView, prices: PriceBook, scale: _Scale) -> Iterator[Row]:
    for stage in view.stages.values():
        for name, activity in _activities(stage):
            of_it = [line for line in lines(activity, prices) if line.entry.timed]
            if of_it:
                bars = [bar for line in of_it for bar in _bars(line, scale)]
                crosses = [
                    (scale.at(line.entry.period[1]), f"{line.entry.outcome}: {line.entry.why}")
                    for line in of_it
                    if line.entry.outcome in LOST
                ]
                yield Row(name, bars, crosses)


def _activities(stage: StageView) -> Iterator[tuple[str, Activity]]:
    yield stage.name, stage
    for number, trial in sorted(stage.trials.items()):
        yield f"{stage.name}/{number}", trial


def _bars(line: Line, scale: _Scale) -> Iterator[Bar]:
    entry = line.entry
    begun, ended = map(scale.at, entry.period)
    first, last = _on_instances(entry, scale)
    attempt = f"attempt {entry.attempt} on {entry.place}"
    waited = f"{attempt}: {_span(entry.queued_seconds or 0.0)} without instances"
    if first > begun:
        yield Bar(begun, first - begun, "queued", waited)
    if last > first:
        yield Bar(first, last - first, entry.market, f"{attempt}: {entry.outcome}, {money(line.cost)}")
    if ended > last:
        yield Bar(last, ended - last, "queued", waited)


def _on_instances(entry: Entry, scale: _Scale) -> tuple[float, float]:
    """Says from where to where an attempt is drawn as running.

    The ledger knows how long it had no instances, not when. One that was taken away waited after it had run,
    any other before.
    """
    created, gone = entry.period
    begun, ended = scale.at(created), scale.at(gone)
    queued = entry.queued_seconds or 0.0
    if entry.outcome in LOST and entry.trained_seconds:
        return begun, max(begun, scale.at(gone, -queued))
    return min(ended, scale.at(created, queued)), ended


# ------------------------------------------------------------------------------------------------- a stage
def _stage(stage: StageView, prices: PriceBook, scale: _Scale, digests: Mapping[str, str]) -> dict[str, Any]:
    """What the template shows of a stage."""
    return {
        "name": stage.name,
        "status": stage.status,
        "verdict": stage.verdict,
        "why": stage.unsaid,
        "taken": taken_from(stage) if stage.reused else "",
        "digest": digests.get(stage.name, ""),
        "package": stage.package,
        "parts": [_part(stage, name, activity, prices, scale) for name, activity in _activities(stage)],
    }


def _part(
    stage: StageView, name: str, activity: Activity, prices: PriceBook, scale: _Scale
) -> dict[str, Any]:
    of_it = list(lines(activity, prices))
    total = max([line.entry.reached_step for line in of_it], default=0)
    return {
        "name": "" if name == stage.name else name,
        "status": activity.status,
        "attempts": [_attempt(line) for line in of_it],
        "notes": [note.why for note in activity.notes],
        "legs": list(_legs(of_it, total, scale)) if total and scale.known else [],
        "steps": total,
    }


def _attempt(line: Line) -> dict[str, Any]:
    entry = line.entry
    done = entry.reached_step > entry.resumed_step or entry.reached_step
    return {
        "number": entry.attempt,
        "place": entry.place,
        "outcome": entry.outcome,
        "colour": COLOURS[entry.outcome],
        "steps": f"{entry.resumed_step} → {entry.reached_step}" if done else "-",
        "redone": line.steps_redone,
        "interruptions": entry.interruptions,
        "queued": _span(entry.queued_seconds) if entry.queued_seconds is not None else "-",
        "billed": f"{line.billed_in_all:,.0f} s",
        "cost": money(line.cost),
        "undisturbed": money(line.undisturbed),
        "decision": entry.decision,
        "why": entry.why,
        "message": entry.message,
    }


def _legs(of_it: Sequence[Line], total: int, scale: _Scale) -> Iterator[Leg]:
    """What share of the steps was done when."""
    for line in of_it:
        entry = line.entry
        if entry.timed and entry.trained_seconds:
            first, last = _on_instances(entry, scale)
            yield Leg(
                first,
                100 - 100 * entry.resumed_step / total,
                last,
                100 - 100 * entry.reached_step / total,
                100 - 100 * (entry.reached_step - line.steps_redone) / total,
                entry.market,
            )


def _span(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
