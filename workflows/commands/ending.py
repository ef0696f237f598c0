"""How a followed run ends on the screen, and with which exit code."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import typer

from workflows.commands.options import FAILED
from workflows.errors import RelayError

if TYPE_CHECKING:
    from rich.console import Console

    from workflows.ledger.run_view import RunView
    from workflows.runs.executions import Runs


def show_end(runs: Runs, view: RunView, console: Console, as_json: bool, *, digests: bool = True) -> None:
    """The receipt of a run that has ended. Raises RelayError for a refused one, Exit for a failed one.

    `digests`: of the models, which are downloaded for them.
    """
    if view.dropped and not as_json:
        console.print(f"The run {view.run} was dropped: {view.dropped}.", style="yellow", markup=False)
        return
    if not view.refused or as_json:
        console.print()
        show_receipt(runs, view, console, as_json, digests=digests)
    if view.refused:
        raise RelayError(f"the run {view.run} was refused: {view.cause}")
    if view.status != "SUCCEEDED":
        if not as_json:
            console.print(f"The run {view.run} ended {view.status}: {view.reason}", style="red", markup=False)
        raise typer.Exit(FAILED)


def show_receipt(runs: Runs, view: RunView, console: Console, as_json: bool, *, digests: bool) -> None:
    """What the run has cost so far, as text or as the document."""
    from workflows.ledger.receipt import as_json as document
    from workflows.ledger.receipt_text import as_text
    from workflows.policy.prices import load_prices

    runs.add_stopped_jobs(view)
    prices, found = load_prices(), runs.digests(view) if digests else {}
    if as_json:
        print(json.dumps(document(view, prices, found), indent=2))
    else:
        console.print(as_text(view, prices, found))
