"""The list of runs for a terminal: as many columns as fit, and none of them cut."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from workflows.ledger.receipt_text import money, span
from workflows.runs.run_list import ListedRun

COLOURS = {"RUNNING": "cyan", "SUCCEEDED": "green", "FAILED": "red", "TIMED_OUT": "red", "ABORTED": "yellow"}
ALL = ("run", "pipeline", "status", "started (UTC)", "took", "stages", "attempts", "cost")
# A run's id begins with its pipeline, unless it was named; --json has everything.
NARROWER = (
    ALL,
    ("run", "status", "started (UTC)", "took", "stages", "attempts", "cost"),
    ("run", "status", "started", "took", "attempts", "cost"),
)
FIGURES = {"took", "stages", "attempts", "cost"}
UNLIMITED = 10_000  # columns


def as_text(found: Sequence[ListedRun], width: int) -> Table:
    """The widest table that fits into `width` columns; in the narrowest one long ids are folded."""
    rows = [_row(run) for run in found]
    for titles in NARROWER:
        table = _table(titles, rows)
        if _width(table) <= width:
            break
    return table


def _table(titles: Sequence[str], rows: Sequence[dict[str, Text]]) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 1), header_style="dim")
    for title in titles:
        foldable = title == "run"
        table.add_column(
            title,
            no_wrap=not foldable,
            overflow="fold",
            justify="right" if title in FIGURES else "left",
        )
    for row in rows:
        table.add_row(*(row[title] for title in titles))
    return table


def _width(table: Table) -> int:
    """The width of the table with nothing folded."""
    console = Console(width=UNLIMITED)
    return Measurement.get(console, console.options, table).maximum


def _row(run: ListedRun) -> dict[str, Text]:
    known = run.attempts is not None
    started = run.started[:16].replace("T", " ")
    cells = {
        "run": run.run,
        "pipeline": run.pipeline,
        "started (UTC)": started,
        "started": started.partition("-")[2],  # without the year
        "took": span(run.seconds),
        "stages": "-" if run.stages_done is None else f"{run.stages_done} of {run.stages}",
        "attempts": str(run.attempts) if known else "-",
        "cost": money(run.cost_usd) if known else "-",
    }
    return {
        "status": Text(run.status, COLOURS.get(run.status, "default")),
        **{title: Text(words) for title, words in cells.items()},
    }
