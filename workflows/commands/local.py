"""`relay local`: keeps a local AWS running, for `relay start`, boto3 and the AWS CLI."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from workflows.commands import options as o
from workflows.errors import RelayError

if TYPE_CHECKING:
    from workflows.local.presence import Presence
    from workflows.runs.executions import Runs

app = typer.Typer(
    help="Keeps a local AWS on this computer: `up`, `down`, `status`, `env`.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


@app.command()
def up(
    scenario: Annotated[
        str | None, typer.Option(help="what spot capacity does: a file, a built-in name, or none")
    ] = None,
    seed: o.Seed = 0,
    speed: o.Speed = 300.0,
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="0: the last one of this folder, or any that is free")
    ] = 0,
    foreground: Annotated[
        bool, typer.Option("--foreground", help="stay in this terminal; Ctrl-C ends it")
    ] = False,
    root: o.Root = o.DEFAULT_ROOT,
) -> None:
    """Starts it, and prints what boto3 and the AWS CLI need. What it holds is kept in --root.

    Its runs go on without a terminal. If it is killed, they can be resumed from what S3 and the ledger hold.
    """
    from workflows.local.presence import holder, present
    from workflows.local.scenario import find_scenario

    chosen = find_scenario(scenario, beside=None, stages=None)
    root = root.absolute()
    if found := present(root):
        raise RelayError(
            f"the local world in {root} is up already: process {found.pid}, {found.address}; "
            "`relay local env` prints the exports, `relay local down` ends it"
        )
    if foreground:
        from workflows.local.daemon import serve
        from workflows.runs.rehearsal import restore

        serve(root, speed=speed, scenario=chosen, seed=seed, port=port, restore=restore, ready=_tell)
        return
    if (pid := holder(root)) is not None:
        raise RelayError(f"{root}: a run has its own world open there (process {pid}): wait for its end")
    from workflows.local.daemon import launch

    arguments = ["--speed", str(speed), "--seed", str(seed), "--port", str(port), "--root", str(root)]
    if scenario is not None:
        arguments += ["--scenario", scenario if scenario == "none" else _absolute(scenario)]
    _tell(launch(root, arguments))


@app.command()
def down(
    yes: Annotated[
        bool,
        typer.Option("--yes", "-y", help="stop runs in progress without asking; they have 120 s to save"),
    ] = False,
    now: Annotated[bool, typer.Option("--now", help="at once: jobs are killed, checkpoints remain")] = False,
    root: o.Root = o.DEFAULT_ROOT,
) -> None:
    """Ends it. Runs in progress are stopped first, after a question; `relay resume` goes on with them."""
    from workflows.local.daemon import end
    from workflows.local.presence import present

    found = present(root)
    if not found:
        print(f"No local world is up in {root}.")
        return
    if not now:
        _stop_runs(found, yes)
    end(root, found)
    print(f"Down. What it held is in {root}.")


@app.command()
def status(root: o.Root = o.DEFAULT_ROOT, as_json: o.Json = False) -> None:
    """Says whether it is up (exit code 1: it is not), where it answers, and which runs are in progress."""
    from workflows.local.presence import present, told

    found = present(root)
    running = _in_progress(_runs(found)) if found else []
    if as_json:
        known = asdict(found) if found else {}
        print(json.dumps({"up": found is not None, **known, "running": running}, indent=2))
    elif found:
        print(f"Up since {found.since}: process {found.pid}, {found.address}, waits pass {found.speed:g} x.")
        print(f"In progress: {', '.join(running) or 'nothing'}.")
    else:
        left = " (its last one was killed; `relay resume` goes on with its runs)" if told(root) else ""
        print(f"No local world is up in {root}{left}.")
    if not found:
        raise typer.Exit(o.NOT_UP)


@app.command()
def env(root: o.Root = o.DEFAULT_ROOT) -> None:
    """Prints the exports alone, for eval "$(relay local env)"."""
    from workflows.local.presence import present

    found = present(root)
    if not found:
        raise RelayError(f"no local world is up in {root}: `relay local up`")
    print("\n".join(_exports(found)))


# -------------------------------------------------------------------------------------------------- parts
def _tell(presence: Presence) -> None:
    print(f"The local AWS answers at {presence.address} (process {presence.pid}). For boto3 and the AWS CLI:")
    print("\n".join(_exports(presence)), flush=True)


def _exports(presence: Presence) -> list[str]:
    from workflows.local.clients import exports

    named = [f"export {name}={value}" for name, value in exports(presence.address).items()]
    return [*named, "unset AWS_PROFILE AWS_SESSION_TOKEN"]


def _runs(presence: Presence) -> Runs:
    from workflows.local.clients import LocalClients
    from workflows.runs.executions import Runs

    return Runs(LocalClients(presence.address))


def _in_progress(runs: Runs) -> list[str]:
    found = runs.listed(runs.pipelines().values(), limit=100, status="RUNNING")
    return [str(execution["name"]) for execution in found]


def _stop_runs(presence: Presence, yes: bool) -> None:
    """Stops what is in progress, asking before, and waits until its jobs have saved."""
    from workflows.commands.stop import confirm
    from workflows.runs.rehearsal import wait_for_jobs

    runs = _runs(presence)
    running = runs.listed(runs.pipelines().values(), limit=1000, status="RUNNING")
    if running:
        names = ", ".join(str(execution["name"]) for execution in running)
        confirm(f"In progress: {names}. Stop them (they can be resumed)?", yes)
    for execution in running:
        runs.stop(execution["executionArn"], "the local world was ended with `relay local down`")
    if not wait_for_jobs(runs):
        print("Some jobs took longer than they have to save; the newest checkpoint that is whole counts.")


def _absolute(scenario: str) -> str:
    """A file's whole path, for the log; a built-in scenario keeps its name."""
    path = Path(scenario)
    return str(path.absolute()) if "/" in scenario or path.suffix else scenario
