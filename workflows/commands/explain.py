"""`relay explain`: why each attempt ended, what was chosen next and why, and what it cost."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from workflows.commands import completion
from workflows.commands import options as o


def explain(
    run: o.RunName,
    stage: Annotated[
        str | None,
        typer.Argument(metavar="[STAGE]", help="this one only", autocompletion=completion.stages),
    ] = None,
    root: o.Root = o.DEFAULT_ROOT,
    profile: o.Profile = None,
    region: o.Region = None,
    endpoint_url: o.EndpointUrl = None,
    as_json: o.Json = False,
) -> None:
    """Says of every attempt why it ended, what was chosen next and why, its cost, and on-demand's.

    From the run's history; when that has gone (after 90 days), from the table of attempts.
    """
    from workflows.commands.looked_up import TABLE, look_up
    from workflows.ledger.explanation import as_document, as_text
    from workflows.policy.prices import load_prices
    from workflows.runs.connection import connect

    with connect(o.target(root, profile, region, endpoint_url), own_world=True) as connection:
        found = look_up(connection, run)
    if as_json:
        print(json.dumps(as_document(found.view, load_prices(), found.source, stage), indent=2))
        return
    console = o.console()
    if found.source == TABLE:
        console.print("Its history has gone; this is what the table of attempts keeps.", style="dim")
    console.print(as_text(found.view, load_prices(), stage))
