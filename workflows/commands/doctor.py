"""`relay doctor`: what would go wrong, before money is spent."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from workflows.commands import options as o
from workflows.commands.deploy import Json, Profile, Region, States

FAILED = 1


def doctor(
    pipeline: Annotated[
        str | None,
        typer.Argument(metavar="[PIPELINE]", help="its file; every pipeline of cdk.json otherwise"),
    ] = None,
    profile: Profile = None,
    region: Region = None,
    states: States = True,
    report: Annotated[
        Path | None, typer.Option(help="also write a file that can be attached to an issue")
    ] = None,
    as_json: Json = False,
) -> None:
    """Checks the machines and the account: what AWS makes of the machines, and of each state with mocked
    results; credentials, region, quotas of every rung, images, roles, bucket, network, stacks.

    Only looks, changes nothing; works before the first deployment. Exit codes: 1 when a check fails, else 0.
    """
    from stacks.compiled import compile_for
    from stacks.deployment.place import open_site
    from stacks.doctor.examination import examine
    from stacks.doctor.machines import look_at_machines
    from stacks.doctor.report import as_table, document, states_table, write_report
    from stacks.settings import load

    folder = Path.cwd()
    settings = load(folder)
    console = o.console(as_json)
    site = open_site(settings, profile=profile, region=region)
    with console.status("Compiling the pipelines ..."):
        paths = [pipeline] if pipeline else settings.pipelines
        compiled = [compile_for(folder / path, settings) for path in paths]
    with console.status("Asking AWS about the machines ..."):
        machines, rows = look_at_machines(site, compiled, states=states)
    with console.status("Looking ..."):
        found = [*machines, *examine(site, compiled)]
    told = document(found, rows)
    if report:
        write_report(report, told, site.account)
    if as_json:
        print(json.dumps(told, indent=2))
    else:
        if rows:
            console.print(states_table(rows))
        console.print(as_table(found))
    if not told["ok"]:
        raise typer.Exit(FAILED)
