"""`relay watch`: follows a run that goes on by itself; it can be left and taken up again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import typer

from workflows.commands import options as o

if TYPE_CHECKING:
    from rich.console import Console

    from workflows.runs.connection import Connection
    from workflows.runs.executions import Runs


def watch(
    run: o.RunName,
    root: o.Root = o.DEFAULT_ROOT,
    profile: o.Profile = None,
    region: o.Region = None,
    endpoint_url: o.EndpointUrl = None,
    as_json: o.Json = False,
) -> None:
    """Follows a run until it ends: attempts, progress, waits for capacity, cost, time to the deadline.

    Ctrl-C leaves the run going (exit code 130); the same command takes it up again. While the network is
    away it keeps trying. At the end it prints the receipt, and ends as the run did.
    """
    from workflows.runs.connection import connect
    from workflows.runs.executions import Runs

    console = o.console(as_json)
    with connect(o.target(root, profile, region, endpoint_url)) as connection:
        runs = Runs(connection.client)
        found = runs.find(run)
        follow(connection, runs, found["executionArn"], console, as_json, joined=True)


def follow(
    connection: Connection, runs: Runs, arn: str, console: Console, as_json: bool, *, joined: bool = False
) -> None:
    """Follows to the run's end, which decides the exit code, or until Ctrl-C, which leaves it alone."""
    from workflows.commands.ending import show_end

    try:
        view = watcher(connection, runs, arn, console, quiet=as_json, joined=joined).follow()
    except KeyboardInterrupt:
        name, where = arn.rpartition(":")[2], connection.options()
        console.print(
            f"Left; the run goes on. Take it up again with: relay watch {name}{where}", markup=False
        )
        raise typer.Exit(o.INTERRUPTED) from None
    show_end(runs, view, console, as_json, digests=connection.rehearsal)


def watcher(connection: Connection, runs: Runs, arn: str, console: Console, **more: Any) -> Any:
    """A watcher of a run over there; a local history may be looked at more often."""
    from workflows.runs.watching import LOOK_EVERY, LOOK_EVERY_REMOTE, Watcher

    return Watcher(
        runs,
        arn,
        console,
        clock=connection.now,
        said=connection.said,
        gone=connection.gone,
        every=LOOK_EVERY if connection.rehearsal else LOOK_EVERY_REMOTE,
        **more,
    )
