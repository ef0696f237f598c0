"""Why a run went as it did: for every attempt its end, what was chosen next, and what it cost. Pure.

The money is the receipt's: the same lines, summed by stage and over the run.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from workflows.errors import RelayError, unknown
from workflows.ledger.colours import COLOURS
from workflows.ledger.receipt import Line, attempt_document, lines, totals
from workflows.ledger.receipt_text import counted, money, taken_from
from workflows.ledger.run_view import RunView
from workflows.ledger.stage_view import Activity, StageView, TrialView
from workflows.policy.prices import PriceBook

CHOSEN = {
    "done": "the stage is done",
    "spot": "go on, on spot",
    "on-demand": "go on, on demand",
    "fail": "give up",
    "none": "nothing: the run was stopped",
}


@dataclass(frozen=True)
class Explained:
    """A stage, or one trial of a sweep, with its attempts."""

    name: str
    activity: Activity
    lines: list[Line]


def explained_parts(view: RunView, prices: PriceBook, stage: str | None = None) -> list[Explained]:
    """The stages, and the trials after their sweep; one stage where it is named. Raises RelayError."""
    if stage is not None and stage not in view.stages:
        raise RelayError(unknown("stage", stage, list(view.stages)))
    found: list[Explained] = []
    for each in view.stages.values() if stage is None else [view.stages[stage]]:
        found.append(Explained(each.name, each, list(lines(each, prices))))
        for number, trial in sorted(each.trials.items()):
            found.append(Explained(f"{each.name} #{number}", trial, list(lines(trial, prices))))
    return found


def as_document(view: RunView, prices: PriceBook, source: str, stage: str | None = None) -> dict[str, Any]:
    """The explanation as one JSON document. `source`: history, or the table that outlives it."""
    parts = explained_parts(view, prices, stage)
    return {
        "run": view.run,
        "pipeline": view.pipeline,
        "status": view.status,
        "cause": view.cause or None,
        "source": source,
        "stages": [
            {
                "name": part.name,
                "status": part.activity.status,
                "why": part.activity.why or None,
                "before_attempts": [
                    {"attempt": note.after + 1, "reason": note.why} for note in part.activity.notes
                ],
                "attempts": [attempt_document(line) for line in part.lines],
                "totals": totals(part.lines),
            }
            for part in parts
        ],
        "totals": totals([line for part in parts for line in part.lines]),
    }


def as_text(view: RunView, prices: PriceBook, stage: str | None = None) -> RenderableType:
    """The explanation for a terminal."""
    parts = explained_parts(view, prices, stage)
    shown: list[RenderableType] = []
    for part in parts:
        shown += [*_stage(part), Text("")]
    everything = [line for part in parts for line in part.lines]
    shown.append(_sum("Together", everything) if everything else Text("No attempt, no cost.", "dim"))
    if view.cause:
        shown.append(Text(f"The run ended {view.status}: {view.reason}", "red"))
    return Group(*shown)


# -------------------------------------------------------------------------------------------------- parts
def _stage(part: Explained) -> Iterator[RenderableType]:
    yield _head(part)
    notes = {note.after: note.why for note in part.activity.notes}
    for position, line in enumerate(part.lines):
        if position in notes:
            yield _indented(Text(f"before it: {notes[position]}", "dim"))
        yield _indented(_attempt(line))
        yield _indented(_facts(line), 4)
    if len(part.lines) in notes:
        yield _indented(Text(f"then: {notes[len(part.lines)]}", "dim"))
    if len(part.lines) > 1:
        yield _indented(_sum("sum", part.lines))


def _head(part: Explained) -> Text:
    activity = part.activity
    head = Text.assemble((part.name, "bold"), f"  {activity.status}")
    if isinstance(activity, TrialView) and activity.parameters:
        head.append(f"  {activity.described}", "dim")
    if isinstance(activity, StageView) and activity.verdict:
        head.append(f": {activity.verdict}")
    if activity.reused:
        head.append(f": {taken_from(activity)}")
    return head.append(f": {activity.unsaid}") if activity.unsaid else head


def _attempt(line: Line) -> Text:
    entry = line.entry
    market = "on spot" if entry.market == "spot" else "on demand"
    text = Text.assemble((f"attempt {entry.attempt}", "bold"), f" {market}, {entry.instances}")
    if entry.timed:
        text.append(f", {_period(*entry.period)}", "dim")
    if line.attempts > 1:
        text.append(f", the last of {line.attempts}, which it sums up", "dim")
    return text


def _period(start: datetime, end: datetime) -> str:
    """`2026-11-26 02:47:59 to 02:49:03 UTC`; the ledger's times are UTC."""
    until = f"{end:%H:%M:%S}" if start.date() == end.date() else f"{end:%Y-%m-%d %H:%M:%S}"
    return f"{start:%Y-%m-%d %H:%M:%S} to {until} UTC"


def _facts(line: Line) -> Table:
    """What wraps stays in its column."""
    entry = line.entry
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True, min_width=len("it said"))  # the same for every attempt
    table.add_column(overflow="fold")
    outcome = Text(entry.outcome, COLOURS[entry.outcome])
    table.add_row("ended", Text.assemble(outcome, _moved(line)))
    if entry.message:
        table.add_row("it said", Text(" ".join(entry.message.split())))
    following = CHOSEN.get(entry.decision, entry.decision)
    if entry.why and entry.decision != "done":
        following += f": {entry.why}"
    table.add_row("next", Text(following))
    cost = f"{money(line.cost)} ({line.billed_in_all:,.0f} s billed)"
    if line.undisturbed is not None:
        cost += f"; on demand, what was kept of it: {money(line.undisturbed)}"
    table.add_row("cost", Text(cost))
    return table


def _moved(line: Line) -> str:
    start, end = line.entry.resumed_step, line.entry.reached_step
    if start == end:
        return f", still at step {end}" if end else ""
    redone = f", {line.steps_redone} of them to be done again" if line.steps_redone else ""
    return f", steps {start} to {end}{redone}"


def _sum(title: str, of_it: list[Line]) -> Text:
    sums = totals(of_it)
    text = Text.assemble(
        (title, "bold"),
        f"  {counted(sums['attempts'], 'attempt')}: {money(sums['cost_usd'])}, on demand without ",
    )
    text.append(f"interruptions {money(sums['on_demand_cost_usd'])}")
    return text


def _indented(what: RenderableType, columns: int = 2) -> Padding:
    return Padding(what, (0, 0, 0, columns), expand=False)
