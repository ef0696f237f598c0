"""`relay stop`: ends a run; its jobs get time to save."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from workflows.commands import options as o
from workflows.errors import RelayError


def stop(
    run: o.RunName,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="do not ask")] = False,
    root: o.Root = o.DEFAULT_ROOT,
    profile: o.Profile = None,
    region: o.Region = None,
    endpoint_url: o.EndpointUrl = None,
) -> None:
    """Stops a run and its jobs, which get time to save; `relay resume` goes on from there."""
    from workflows.runs.connection import connect
    from workflows.runs.executions import Runs

    with connect(o.target(root, profile, region, endpoint_url)) as connection:
        runs = Runs(connection.client)
        execution = runs.find(run)
        name = execution["name"]
        if execution["status"] != "RUNNING":
            raise RelayError(f"the run `{name}` has ended ({execution['status']}): nothing to stop")
        confirm(f"Stop the run {name} on {connection.where}?", yes)
        runs.stop(execution["executionArn"], "stopped with `relay stop`")
        print(f"Stopped {name}; a job that runs has 120 s to save its checkpoint.")
        print(f"Go on with: relay resume {name}{connection.options()}")


def confirm(question: str, yes: bool) -> None:
    """Asks, where there is somebody to ask. Raises RelayError where there is not, Exit for a no."""
    if yes:
        return
    if not sys.stdin.isatty():
        raise RelayError(f"{question} Nobody is here to answer: say --yes")
    if not typer.confirm(question):
        print("Nothing was changed.")
        raise typer.Exit
