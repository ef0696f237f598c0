"""`relay destroy`: takes pipelines off AWS; what their runs made stays."""

from __future__ import annotations

import json
import time
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from workflows.commands import options as o
from workflows.commands.deploy import DECLINED, INTERRUPTED, STOPPED, Json, Profile, Region, Yes


def destroy(
    pipeline: Annotated[
        str | None,
        typer.Argument(
            metavar="[PIPELINE]", help="its name, or its file; every pipeline that is deployed otherwise"
        ),
    ] = None,
    yes: Yes = False,
    stop: Annotated[bool, typer.Option("--stop", help="stop runs in progress, and their jobs")] = False,
    everything: Annotated[
        bool, typer.Option("--all", help="the stack `relay`, too; its bucket and table stay in the account")
    ] = False,
    profile: Profile = None,
    region: Region = None,
    as_json: Json = False,
) -> None:
    """Removes pipelines from AWS: shows what goes and what stays, and asks for the name.

    Nothing that a run has made is deleted: the command for that is printed.
    """
    from stacks.deployment.destroy import chosen
    from stacks.deployment.destroy import destroy as carry_out
    from stacks.deployment.dialogue import Dialogue
    from stacks.deployment.place import open_site
    from stacks.settings import load

    console = o.console(as_json)
    site = open_site(load(Path.cwd()), profile=profile, region=region)
    names = chosen(site, _name(pipeline), everything=everything)
    try:
        done = carry_out(
            site, names, Dialogue(console, yes=yes), time.sleep, stop=stop, everything=everything
        )
    except KeyboardInterrupt:
        console.print(STOPPED.format("destroy"))
        raise typer.Exit(INTERRUPTED) from None
    if as_json:
        print(json.dumps({"stacks": [asdict(each) for each in done]}, indent=2))
    elif not done:
        console.print("No pipeline is deployed here.")
    if done and done[-1].outcome == "declined":
        raise typer.Exit(DECLINED)


def _name(pipeline: str | None) -> str | None:
    if pipeline is None or not Path(pipeline).suffix:
        return pipeline
    from workflows.specification.loading import load

    return load(Path(pipeline)).name
