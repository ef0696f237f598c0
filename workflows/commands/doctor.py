"""`relay doctor`: what would go wrong, before money is spent."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from workflows.commands import options as o
from workflows.commands.deploy import Json, Profile, Region

FAILED = 1


def doctor(
    pipeline: Annotated[
        str | None,
        typer.Argument(metavar="[PIPELINE]", help="its file; every pipeline of cdk.json otherwise"),
    ] = None,
    profile: Profile = None,
    region: Region = None,
    as_json: Json = False,
) -> None:
    """Checks the account: credentials, region, quotas of every rung, images, roles, bucket, network, stacks.

    Only looks, changes nothing; works before the first deployment. Exit codes: 1 when a check fails, else 0.
    """
    from stacks.compiled import compile_for
    from stacks.deployment.place import open_site
    from stacks.doctor.examination import examine
    from stacks.doctor.findings import FAIL
    from stacks.doctor.report import as_table
    from stacks.settings import load

    folder = Path.cwd()
    settings = load(folder)
    console = o.console(as_json)
    site = open_site(settings, profile=profile, region=region)
    with console.status("Compiling the pipelines ..."):
        paths = [pipeline] if pipeline else settings.pipelines
        compiled = [compile_for(folder / path, settings) for path in paths]
    with console.status("Looking ..."):
        found = list(examine(site, compiled))
    failed = any(finding.verdict == FAIL for finding in found)
    if as_json:
        print(json.dumps({"ok": not failed, "findings": [asdict(each) for each in found]}, indent=2))
    else:
        console.print(as_table(found))
    if failed:
        raise typer.Exit(FAILED)
