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
    from workflows.runs.connection import Connection
    from workflows.runs.run_list import ListedRun

STATUSES = ("RUNNING", "SUCCEEDED", "FAILED", "TIMED_OUT", "ABORTED")


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
    from workflows.runs.connection import connect
    from workflows.runs.run_list_text import as_text

    wanted = status.upper().replace("-", "_") if status else None
    if wanted and wanted not in STATUSES:
        raise RelayError(f"--status: {unknown('status', str(status), [each.lower() for each in STATUSES])}")
    with connect(o.target(root, profile, region, endpoint_url), own_world=True) as connection:
        found = _listed(connection, pipeline, wanted, limit)
        where = connection.where
    if as_json:
        print(json.dumps([asdict(run) for run in found], indent=2))
    elif found:
        console = o.console()
        console.print(as_text(found, console.width))
    else:
        print(f"No {f'{wanted} ' if wanted else ''}runs on {where}.")


def _listed(connection: Connection, pipeline: str | None, status: str | None, limit: int) -> list[ListedRun]:
    from workflows.runs.executions import Runs
    from workflows.runs.run_list import listed

    runs = Runs(connection.client)
    machines = runs.pipelines()
    if pipeline is not None:
        if pipeline not in machines:
            raise RelayError(f"{unknown('pipeline', pipeline, list(machines))} (on {connection.where})")
        machines = {pipeline: machines[pipeline]}
    return listed(runs, connection.client("dynamodb"), machines, connection.now, status=status, limit=limit)
