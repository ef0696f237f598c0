"""`relay runs`: what has been started, the newest first."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from workflows.commands import completion
from workflows.commands import options as o
from workflows.errors import RelayError, unknown

if TYPE_CHECKING:
    from workflows.connection import Connection
    from workflows.run_list import ListedRun

STATUSES = ("RUNNING", "SUCCEEDED", "FAILED", "TIMED_OUT", "ABORTED")
COLOURS = {"RUNNING": "cyan", "SUCCEEDED": "green", "FAILED": "red", "TIMED_OUT": "red", "ABORTED": "yellow"}


def runs(
    pipeline: Annotated[
        str | None,
        typer.Argument(
            metavar="[PIPELINE]",
            help="its name; every pipeline's runs otherwise",
            autocompletion=completion.pipelines,
        ),
    ] = None,
    status: Annotated[str | None, typer.Option(metavar="STATUS", help=", ".join(STATUSES).lower())] = None,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="runs at most")] = 20,
    root: o.Root = o.DEFAULT_ROOT,
    profile: o.Profile = None,
    region: o.Region = None,
    endpoint_url: o.EndpointUrl = None,
    as_json: o.Json = False,
) -> None:
    """Lists runs: status, start, duration, stages that are done, attempts and what they have cost.

    Attempts and costs are those that have ended, from the table in which the machines write them.
    """
    from workflows.connection import connect

    wanted = status.upper().replace("-", "_") if status else None
    if wanted and wanted not in STATUSES:
        raise RelayError(f"--status: {unknown('status', str(status), [each.lower() for each in STATUSES])}")
    with connect(o.target(root, profile, region, endpoint_url), own_world=True) as connection:
        found = _listed(connection, pipeline, wanted, limit)
        where = connection.where
    if as_json:
        print(json.dumps([asdict(run) for run in found], indent=2))
    elif found:
        _print(found)
    else:
        print(f"No {f'{wanted} ' if wanted else ''}runs on {where}.")


def _listed(connection: Connection, pipeline: str | None, status: str | None, limit: int) -> list[ListedRun]:
    from workflows.run_list import listed
    from workflows.runs import Runs

    runs = Runs(connection.client)
    machines = runs.pipelines()
    if pipeline is not None:
        if pipeline not in machines:
            raise RelayError(f"{unknown('pipeline', pipeline, list(machines))} (on {connection.where})")
        machines = {pipeline: machines[pipeline]}
    return listed(runs, connection.client("dynamodb"), machines, connection.now, status=status, limit=limit)


def _print(found: list[ListedRun]) -> None:
    from rich.table import Table
    from rich.text import Text

    from workflows.receipt_text import money, span

    table = Table(box=None, pad_edge=False, padding=(0, 1), header_style="dim")
    for title in ("run", "pipeline", "status", "started"):
        table.add_column(title, no_wrap=True)
    for title in ("took", "stages", "attempts", "cost"):
        table.add_column(title, no_wrap=True, justify="right")
    for run in found:
        stages = "-" if run.stages_done is None else f"{run.stages_done} of {run.stages}"
        known = run.attempts is not None
        table.add_row(
            run.run,
            run.pipeline,
            Text(run.status, COLOURS.get(run.status, "default")),
            f"{run.started[:16].replace('T', ' ')}",
            span(run.seconds),
            stages,
            str(run.attempts) if known else "-",
            money(run.cost_usd) if known else "-",
        )
    o.console().print(table)
