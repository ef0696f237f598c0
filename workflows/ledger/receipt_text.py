"""The receipt for a terminal of 80 columns; the figures are those of `receipt.py`."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import datetime

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from workflows.ledger.colours import COLOURS
from workflows.ledger.entry import Entry
from workflows.ledger.receipt import Line, all_lines, lines, totals
from workflows.ledger.run_view import RunView
from workflows.ledger.stage_view import Activity, StageView, TrialView
from workflows.policy.outcomes import CAPACITY_GONE
from workflows.policy.prices import PriceBook

LONGEST_ASIDE = 60  # characters of a message that fit before the decision
MOST_TRIALS, BEST_TRIALS = 12, 5  # a larger sweep shows its best trials and those that failed
MOST_MESSAGES = 3  # of trials that failed, in full
_RUN = re.compile(r"/runs/([^/]+)/")


def as_text(view: RunView, prices: PriceBook, digests: Mapping[str, str]) -> RenderableType:
    """The receipt. `digests`: stage -> SHA-256 of the contents of its model."""
    parts: list[RenderableType] = []
    for stage in view.stages.values():
        parts.append(_head(stage, digests.get(stage.name)))
        parts += _attempts(stage, prices)
        if stage.trials:
            parts.append(_trials(stage, prices))
        parts.append(Text(""))
    everything = [line for stage in view.stages.values() for line in all_lines(stage, prices)]
    parts.append(_bottom_line(view, everything, prices))
    return Group(*parts)


def money(dollars: float | None) -> str:
    """Dollars with as many digits as they need; `?` where a price is unknown."""
    if dollars is None:
        return "?"
    decimals = 2 if dollars >= 1 or dollars == 0 else 4 if dollars >= 0.01 else 6
    return f"${dollars:,.{decimals}f}"


def counted(number: int, noun: str) -> str:
    """`1 attempt`, `1,200 attempts`."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


# ---------------------------------------------------------------------------------------------- a stage
def _head(stage: StageView, digest: str | None) -> Text:
    head = Text.assemble((stage.name, "bold"), f"  {stage.status}")
    if digest:
        head.append(f"  model sha256 {digest[:16]}…", "dim")
    if stage.verdict:
        head = Text.assemble(
            (stage.name, "bold"), "  ", (stage.verdict, "green" if stage.passed else "yellow")
        )
    if stage.package:
        head.append(f"\n  {stage.package}", "dim")
    if stage.unsaid:
        head.append(f": {stage.unsaid.removeprefix(f'{stage.name}: ')}")
    if stage.reused:
        head.append(f": {taken_from(stage)}")
    return head


def taken_from(activity: Activity) -> str:
    """Whose results were taken."""
    found = next((match for uri in activity.outputs.values() if (match := _RUN.search(uri))), None)
    run = f" of the run {found[1]}" if found else ""
    return f"the job {activity.reused}{run} had done it, so it costs nothing"


def _attempts(activity: Activity, prices: PriceBook) -> Iterator[RenderableType]:
    of_it = list(lines(activity, prices))
    if of_it:
        yield _indented(_table(of_it))
    for position in range(len(of_it) + 1):
        notes = [note.why for note in activity.notes if note.after == position]
        yield from (_indented(Text(f"before {position + 1}: {why}", "dim")) for why in notes)
        if position < len(of_it) and of_it[position].entry.decision != "done":
            yield _indented(_decision(of_it[position]))


def _indented(what: RenderableType) -> Padding:
    return Padding(what, (0, 0, 0, 2), expand=False)


def _table(of_it: list[Line]) -> Table:
    """One row for an attempt."""
    table = _columns("#", "ran on", "ended", "steps", figures=("billed", "cost"))
    for line in of_it:
        entry = line.entry
        table.add_row(
            str(entry.attempt),
            entry.place,
            _ended(entry),
            _steps(line),
            f"{line.billed_in_all:,.0f} s",
            money(line.cost),
        )
    return table


def _columns(*titles: str, figures: tuple[str, ...]) -> Table:
    """Columns of words, which may wrap, and of figures, which may not."""
    table = Table(box=None, pad_edge=False, padding=(0, 1), header_style="dim")
    for title in titles:
        table.add_column(title, overflow="fold")
    for title in figures:
        table.add_column(title, justify="right", no_wrap=True)
    return table


def _ended(entry: Entry) -> Text:
    text = Text(entry.outcome, COLOURS[entry.outcome])
    if entry.interruptions and entry.outcome == "completed":
        text.append(f", interrupted {entry.interruptions}x", "yellow")  # SageMaker restarted it itself
    return text


def _decision(line: Line) -> Text:
    entry = line.entry
    message = entry.message
    if entry.decision == "fail":
        text = Text(f"after {entry.attempt}: {entry.why}", "dim")
        return text.append(f"\nit said: {message}", "red") if message else text
    said = f"{message}; " if message and len(message) <= LONGEST_ASIDE else ""
    return Text(f"after {entry.attempt}: {said}{entry.why}", "dim")


def _steps(line: Line) -> str:
    entry = line.entry
    if entry.reached_step == entry.resumed_step:
        return "-" if not entry.resumed_step else f"still at {entry.resumed_step}"
    redone = f" ({line.steps_redone} to redo)" if line.steps_redone else ""
    return f"{entry.resumed_step} → {entry.reached_step}{redone}"


# --------------------------------------------------------------------------------------------- a sweep
def _trials(stage: StageView, prices: PriceBook) -> RenderableType:
    """One row for a trial, the best one marked."""
    table = _columns("trial", "parameters", "ended", figures=(stage.metric, "attempts", "cost"))
    shown = chosen_trials(stage)
    for trial in shown:
        of_it = list(lines(trial, prices))
        best = trial.number == stage.best
        table.add_row(
            f"{trial.number}{' best' if best else ''}",
            trial.described,
            _how_it_ended(trial),
            "-" if trial.value is None else f"{trial.value:.6g}",
            str(trial.tries),
            money(totals(of_it)["cost_usd"]),
            style="bold" if best else "",
        )
    left_out = len(stage.trials) - len(shown)
    rest = [Text(f"and {left_out} trials more", "dim")] if left_out else []
    told = [trial for trial in shown if trial.status == "failed" and trial.why][:MOST_MESSAGES]
    why = [Text(f"{trial.number}: {trial.why.removeprefix(f'{stage.name}: ')}", "red") for trial in told]
    return _indented(Group(table, *rest, *why))


def chosen_trials(stage: StageView) -> list[TrialView]:
    """All trials in their order; of a large sweep the best ones first, then some that failed."""
    trials = [trial for _, trial in sorted(stage.trials.items())]
    if len(trials) <= MOST_TRIALS:
        return trials
    failed = [trial for trial in trials if trial.status == "failed"][: MOST_TRIALS - BEST_TRIALS]
    return stage.ranking()[:BEST_TRIALS] + failed


def _how_it_ended(trial: TrialView) -> Text:
    if trial.status == "reused":
        return Text("reused", "cyan")
    if trial.status == "failed":
        last = f": {trial.attempts[-1].outcome}" if trial.attempts else ""
        return Text(f"failed{last}", "red")
    interruptions = sum(map(_interruptions, trial.attempts))
    text = Text(trial.status, "green" if trial.status == "done" else "yellow")
    return text.append(f", interrupted {interruptions}x", "yellow") if interruptions else text


def _interruptions(entry: Entry) -> int:
    return entry.interruptions if entry.attempts > 1 else int(entry.outcome in CAPACITY_GONE)


# ------------------------------------------------------------------------------------------- the whole
def _bottom_line(view: RunView, everything: list[Line], prices: PriceBook) -> Text:
    sums = totals(everything)
    text = Text.assemble(
        ("Total ", "bold"),
        f"{counted(sums['attempts'], 'attempt')}, {sums['seconds_billed']:,.0f} s billed, ",
        f"{counted(sums['steps_redone'], 'step')} redone: ",
        (money(sums["cost_usd"]), "bold"),
    )
    if view.budget_usd is not None:
        text.append(f" of a limit of {money(view.budget_usd)}")
    if sums["saved_percent"] is not None:
        text.append(f", on-demand without interruptions {money(sums['on_demand_cost_usd'])}")
        verb, colour = ("saved", "green") if sums["saved_percent"] >= 0 else ("lost", "red")
        text.append(f", {verb} {abs(sums['saved_percent']):.0f} %", colour)
    if view.deadline and view.ended_at and view.status == "SUCCEEDED":
        text.append(f"\n{_punctuality(view.deadline, view.ended_at)}")
    return text.append(
        f"\nEstimated: {prices.region} prices of {prices.date}, spot at {prices.spot_share:.0%}.", "dim"
    )


def _punctuality(deadline: datetime, ended: datetime) -> str:
    left = (deadline - ended).total_seconds()
    how = f"{span(left)} before" if left >= 0 else f"{span(-left)} after"
    return f"It ended {how} its deadline ({deadline:%Y-%m-%d %H:%M} UTC)."


def span(seconds: float) -> str:
    """A time that is left, as people say it: `3 h 20 min`, `5 min`, `40 s`."""
    minutes = round(seconds / 60)
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{minutes} min" if minutes < 100 else f"{minutes // 60} h {minutes % 60} min"
