"""`relay resume`: goes on with a run that failed or was stopped."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from workflows.commands import options as o
from workflows.errors import RelayError

if TYPE_CHECKING:
    from rich.console import Console

    from workflows.runs.connection import Connection, Target
    from workflows.runs.executions import Runs

ONCE = ("key", "scheduled")  # of a run's input: they name the run that was, and no other


def resume(
    run: o.RunName,
    new: Annotated[
        bool,
        typer.Option("--new", help="start a new run of the same input that takes over what is finished"),
    ] = False,
    watch: Annotated[
        bool, typer.Option("--watch", help="follow it, as `relay watch` does; always without a `relay local`")
    ] = False,
    scenario: Annotated[str | None, typer.Option(help="without a `relay local`, as of `relay run`")] = None,
    seed: Annotated[int | None, typer.Option(help="the same", show_default=False)] = None,
    speed: Annotated[
        float | None, typer.Option(min=1, max=100_000, help="the same", show_default=False)
    ] = None,
    root: o.Root = o.DEFAULT_ROOT,
    profile: o.Profile = None,
    region: o.Region = None,
    endpoint_url: o.EndpointUrl = None,
    as_json: o.Json = False,
) -> None:
    """Goes on with a run that failed or was stopped, from its checkpoints: a redrive.

    Step Functions redrives for 14 days. After that, or to run what has been deployed since, --new starts
    another run: finished stages are taken over, the one that was cut off begins anew.
    """
    from workflows.local.presence import present

    target = o.target(root, profile, region, endpoint_url)
    console = o.console(as_json)
    if target.named or present(root):
        if scenario is not None or seed is not None or speed is not None:
            raise RelayError("--scenario, --seed and --speed are the world's: give them to `relay local up`")
        _elsewhere(target, run, new, watch, console, as_json)
        return
    world = {"scenario": scenario, "seed": seed or 0, "speed": speed or 300.0}
    _in_own_world(root, world, run, new, console, as_json)


def _elsewhere(target: Target, run: str, new: bool, watch: bool, console: Console, as_json: bool) -> None:
    from workflows.commands.watch import follow
    from workflows.runs.connection import connect
    from workflows.runs.executions import Runs

    with connect(target) as connection:
        runs = Runs(connection.client)
        arn = _gone_on(connection, runs, run, new)
        name = arn.rpartition(":")[2]
        if watch:
            console.print(f"Run {name} on {connection.where}.", markup=False)
            follow(connection, runs, arn, console, as_json, joined=not new)
        elif as_json:
            print(json.dumps({"run": name, "execution": arn}, indent=2))
        else:
            print(f"{'Started' if new else 'Resumed'} {name} on {connection.where}.")
            print(f"Follow it with: relay watch {name}{connection.options()}")


def _gone_on(connection: Connection, runs: Runs, run: str, new: bool) -> str:
    """The ARN of the execution that goes on. Raises RelayError where none can."""
    from workflows.runs.executions import NotRedrivableError
    from workflows.runs.rehearsal import redrivable, restore

    execution = redrivable(runs, run)
    runs.view(execution["executionArn"])  # its machine's text names the bucket
    runs.refuse_without_bucket(runs.bucket)
    if connection.rehearsal:
        restore(connection.client)
    if new:
        return start_anew(runs, execution)
    try:
        runs.redrive(execution["executionArn"])
    except NotRedrivableError as error:
        raise RelayError(
            f"Step Functions cannot go on with `{execution['name']}` ({error}); a new run takes over its "
            f"finished stages: relay resume {execution['name']} --new{connection.options()}"
        ) from None
    return str(execution["executionArn"])


def start_anew(runs: Runs, execution: dict[str, Any]) -> str:
    """Starts a run with the input of an earlier one, which takes over what that finished; returns its ARN."""
    from workflows.commands.run import new_name

    machine = ":".join(execution["stateMachineArn"].split(":")[:7])
    given = json.loads(execution.get("input") or "{}")
    wanted = {name: value for name, value in given.items() if name not in ONCE} | {"reuse": True}
    name = new_name(machine.rpartition(":")[2], wanted, None)
    return runs.start(runs.live(machine)[0], name, wanted)


def _in_own_world(
    root: Path, world: dict[str, Any], run: str, new: bool, console: Console, as_json: bool
) -> None:
    """Resumes a run in a world of its own, which lasts as long as the command, as with `relay run`."""
    from workflows.commands.run import follow
    from workflows.local.scenario import find_scenario
    from workflows.runs.executions import Runs
    from workflows.runs.rehearsal import SITE, Rehearsal, open_world, redrivable, restore
    from workflows.runs.rehearsal import resume as resume_run

    if not root.is_dir():
        raise RelayError(
            f"no local world in {root}: start a run first, or name its folder with --root; for a run on AWS, "
            "give --region or --profile"
        )
    world["scenario"] = find_scenario(world["scenario"], beside=None, stages=None)
    with open_world(root, **world, console=console) as opened:
        if new:
            runs = Runs(opened.client, SITE.bucket)
            execution = redrivable(runs, run)
            restore(opened.client)
            rehearsal = Rehearsal(opened, runs, start_anew(runs, execution), console, quiet=as_json)
        else:
            rehearsal = resume_run(opened, run, console, quiet=as_json)
        follow(rehearsal, console, as_json, root)
