"""`relay run`: a pipeline in a local world of this process, from its file to its receipt."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from workflows.commands import options as o
from workflows.errors import RelayError

if TYPE_CHECKING:
    from rich.console import Console

    from workflows.runs.rehearsal import Rehearsal


def run(
    pipeline: o.PipelineFile,
    run_input: o.RunInput = None,
    deadline: o.Deadline = None,
    budget_usd: o.BudgetUsd = None,
    from_: o.From = None,
    only: o.Only = None,
    reuse: o.Reuse = None,
    set_: o.Set = None,
    key: o.Key = None,
    name: o.Name = None,
    scenario: o.Scenario = None,
    seed: o.Seed = 0,
    speed: o.Speed = 300.0,
    root: o.Root = o.DEFAULT_ROOT,
    as_json: o.Json = False,
) -> None:
    """Runs a pipeline on this computer: real training, AWS's behaviour, no account.

    Options go before what --input says of the same field.
    """
    from workflows.local.scenario import find_scenario
    from workflows.runs.rehearsal import compile_loaded, open_world, start
    from workflows.specification.loading import load
    from workflows.specification.run_input import check_input
    from workflows.specification.run_options import RunOptions

    said = RunOptions(run_input, deadline, budget_usd, from_, only or (), reuse, set_ or (), key)
    found = load(pipeline)
    wanted = said.run_input()
    check_input(found, wanted)
    run_id = new_name(found.name, wanted, name)
    trials = {s.name: s.trial_count if s.has_trials else 0 for s in found.jobs}
    chosen = find_scenario(scenario, beside=pipeline.parent, stages=trials)
    console = o.console(as_json)
    with console.status("Compiling the pipeline ..."):
        compiled = compile_loaded(found, pipeline)
    console.print(f"Run {run_id}: training is real, waits pass {speed:g} times as fast.", markup=False)
    with open_world(root, speed=speed, scenario=chosen, seed=seed, console=console) as world:
        rehearsal = start(world, compiled, run_id, wanted, console, quiet=as_json)
        follow(rehearsal, console, as_json, root)


def new_name(pipeline: str, wanted: dict[str, object], name: str | None) -> str:
    """The id of a new run: the one that was given, the key's, or one made of the time. Raises RelayError."""
    from workflows.specification.run_options import run_name

    if name and "key" in wanted:
        raise RelayError("--name and a key exclude each other: a key names the run PIPELINE-KEY")
    if "key" in wanted:
        return run_name(pipeline, str(wanted["key"]))
    return name or f"{pipeline}-{datetime.now(UTC):%Y%m%d-%H%M%S}"


def follow(rehearsal: Rehearsal, console: Console, as_json: bool, root: Path) -> None:
    """Follows to the run's end, or until Ctrl-C, which stops it: its world ends with this process."""
    from workflows.commands.ending import show_end

    try:
        view = rehearsal.follow()
    except KeyboardInterrupt:
        where = "" if root == o.DEFAULT_ROOT else f" --root {root}"
        console.print(f"Stopped. Go on with: relay resume {rehearsal.arn.rsplit(':', 1)[1]}{where}")
        raise typer.Exit(o.INTERRUPTED) from None
    show_end(rehearsal.runs, view, console, as_json)
