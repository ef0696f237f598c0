"""`relay receipt`: what a run has cost, as text, as JSON, or as a page."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from workflows.commands import options as o
from workflows.errors import RelayError


def receipt(
    run: o.RunName,
    html: Annotated[Path | None, typer.Option("--html", metavar="FILE", help="write a page, too")] = None,
    plan: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="what `relay plan --json` said, to be shown on the page"),
    ] = None,
    digests: Annotated[
        bool | None,
        typer.Option(
            "--digests/--no-digests",
            help="the models' SHA-256, for which they are downloaded (default: in a local world only)",
            show_default=False,
        ),
    ] = None,
    root: o.Root = o.DEFAULT_ROOT,
    profile: o.Profile = None,
    region: o.Region = None,
    endpoint_url: o.EndpointUrl = None,
    as_json: o.Json = False,
) -> None:
    """Prints what a run has cost, attempt by attempt; of one that goes on, so far."""
    from workflows.commands.looked_up import look_up
    from workflows.ledger.receipt import as_json as document
    from workflows.ledger.receipt_text import as_text
    from workflows.policy.prices import load_prices
    from workflows.runs.connection import connect

    if plan and not html:
        raise RelayError("--plan goes with --html: the page shows it beside what the run has cost")
    planned = _read_plan(plan) if plan else None
    with connect(o.target(root, profile, region, endpoint_url), own_world=True) as connection:
        found = look_up(connection, run)
        wanted = connection.rehearsal if digests is None else digests
        hashes = found.runs.digests(found.view) if wanted else {}
    prices = load_prices()
    if html:
        from workflows.ledger.receipt_page import as_html

        o.write_page(html, as_html(found.view, prices, hashes, planned))
    if as_json:
        print(json.dumps(document(found.view, prices, hashes), indent=2))
    else:
        o.console().print(as_text(found.view, prices, hashes))


def _read_plan(path: Path) -> dict[str, Any]:
    """Raises RelayError for what is no plan."""
    try:
        found: dict[str, Any] = json.loads(path.read_text("utf-8"))
        for name in ("usd_p50", "usd_p95", "hours_p50", "hours_p95"):
            float(found["as_written"][name])
    except OSError as error:
        raise RelayError(f"{path}: cannot be read: {error.strerror}") from None
    except (ValueError, KeyError, TypeError):
        raise RelayError(f"{path}: not what `relay plan --json` prints") from None
    return found
