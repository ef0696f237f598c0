"""`relay start`: starts a run that needs this process no more, on AWS or in a `relay local`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from workflows.commands import options as o
from workflows.errors import RelayError, unknown

if TYPE_CHECKING:
    from workflows.runs.connection import Connection
    from workflows.runs.executions import Runs
    from workflows.specification.pipeline import Pipeline

MOST_STATES = 3  # in a message


def start(
    pipeline: Annotated[
        str, typer.Argument(metavar="PIPELINE", help="its file; for one that is deployed, its name will do")
    ],
    run_input: o.RunInput = None,
    deadline: o.Deadline = None,
    budget_usd: o.BudgetUsd = None,
    from_: o.From = None,
    only: o.Only = None,
    reuse: o.Reuse = None,
    set_: o.Set = None,
    key: o.Key = None,
    name: o.Name = None,
    watch: Annotated[bool, typer.Option("--watch", help="follow it, as `relay watch` does")] = False,
    root: o.Root = o.DEFAULT_ROOT,
    profile: o.Profile = None,
    region: o.Region = None,
    endpoint_url: o.EndpointUrl = None,
    as_json: o.Json = False,
) -> None:
    """Starts a run on AWS (what is deployed), or in `relay local` (the file, which is installed first).

    Options go before what --input says of the same field. Of a deployed pipeline's file, it says where it
    differs from what is deployed, which is what runs.
    """
    from workflows.commands.run import new_name
    from workflows.commands.watch import follow
    from workflows.runs.connection import connect
    from workflows.runs.executions import Runs
    from workflows.specification.run_options import RunOptions

    said = RunOptions(run_input, deadline, budget_usd, from_, only or (), reuse, set_ or (), key)
    wanted = said.run_input()
    loaded = _loaded(pipeline, wanted)
    run = new_name(loaded.name if loaded else pipeline, wanted, name)
    console = o.console(as_json)
    with connect(o.target(root, profile, region, endpoint_url)) as connection:
        runs = Runs(connection.client)
        if loaded and connection.rehearsal:
            arn = _rehearse(connection, runs, loaded, Path(pipeline), run, wanted)
        else:
            arn = _start_deployed(connection, runs, loaded, pipeline, run, wanted)
        if watch:
            console.print(f"Run {run} on {connection.where}.", markup=False)
            follow(connection, runs, arn, console, as_json)
            return
        told = {"run": run, "execution": arn, "console": None if connection.rehearsal else link(arn)}
        if as_json:
            print(json.dumps(told, indent=2))
            return
        print(f"Started {run} on {connection.where}.")
        if told["console"]:
            print(told["console"])
        print(f"Follow it with: relay watch {run}{connection.options()}")


def link(arn: str) -> str:
    """The page of an execution in the console of Step Functions."""
    _, partition, _, region, *_ = arn.split(":")
    domain = {"aws-cn": "amazonaws.cn", "aws-us-gov": "amazonaws-us-gov.com"}.get(partition, "aws.amazon.com")
    home = f"{region}.console.{domain}" if partition == "aws" else f"console.{domain}"
    return f"https://{home}/states/home?region={region}#/v2/executions/details/{arn}"


# -------------------------------------------------------------------------------------------------- parts
def _loaded(pipeline: str, wanted: Any) -> Pipeline | None:
    """The pipeline in the file, its input checked; None where a name was given."""
    if not Path(pipeline).suffix and "/" not in pipeline:
        if not isinstance(wanted, dict):
            raise RelayError("--input: expected a JSON object")
        return None  # the machine's first state checks the input, before anything costs money
    from workflows.specification.loading import load
    from workflows.specification.run_input import check_input

    found = load(Path(pipeline))
    check_input(found, wanted)
    return found


def _rehearse(
    connection: Connection, runs: Runs, pipeline: Pipeline, path: Path, run: str, wanted: dict[str, Any]
) -> str:
    from workflows.runs.rehearsal import SITE, compile_loaded, install_and_start

    runs.bucket = SITE.bucket
    with o.console(True).status("Compiling the pipeline ..."):
        compiled = compile_loaded(pipeline, path)
        return install_and_start(connection.client, runs, compiled, run, wanted)


def _start_deployed(
    connection: Connection,
    runs: Runs,
    loaded: Pipeline | None,
    pipeline: str,
    run: str,
    wanted: dict[str, Any],
) -> str:
    from workflows.runs.deployed import site_of

    name = loaded.name if loaded else pipeline
    machines = runs.pipelines()
    if name not in machines:
        raise RelayError(
            f"{unknown('pipeline', name, list(machines))} (on {connection.where}); deploy it first"
        )
    arn, definition = runs.live(machines[name])
    if loaded:
        _tell_differences(loaded, Path(pipeline), definition, connection.region)
    runs.refuse_without_bucket(site_of(definition).bucket)
    runs.refuse_existing(name, run)  # StartExecution says nothing of one that runs with the same input
    return runs.start(arn, run, wanted)


def _tell_differences(pipeline: Pipeline, path: Path, deployed: dict[str, Any], region: str) -> None:
    """A warning only: a setting of the installation, or another version of Relay, may be the difference."""
    from workflows.runs.deployed import differing_states, site_of
    from workflows.runs.rehearsal import compile_loaded

    ours = compile_loaded(pipeline, path, site_of(deployed), region).definition
    found = differing_states(ours, deployed)
    if found:
        told = ", ".join(f"`{name}`" for name in found[:MOST_STATES])
        more = f" and {len(found) - MOST_STATES} more" if len(found) > MOST_STATES else ""
        o.console(True).print(
            f"{path} is not what is deployed: the states {told}{more} differ. What is deployed runs; deploy "
            "again if the file is meant.",
            style="yellow",
            markup=False,
        )
