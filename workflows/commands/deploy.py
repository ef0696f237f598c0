"""`relay deploy`: the installation of cdk.json, by change sets that are shown before they are carried out."""

from __future__ import annotations

import json
import tempfile
import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from workflows.commands import options as o
from workflows.errors import RelayError

if TYPE_CHECKING:
    from stacks.deployment.place import Site
    from stacks.settings import Settings

DECLINED, INTERRUPTED = 1, 130
STOPPED = "Stopped looking. CloudFormation finishes what it began; relay {} goes on from there."
Profile = Annotated[str | None, typer.Option(help="of the AWS configuration")]
Region = Annotated[str | None, typer.Option(help="a safeguard: must be the region of cdk.json")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="ask nothing")]
States = Annotated[
    bool, typer.Option("--states/--no-states", help="ask AWS's TestState about each state, with mocks")
]
Json = Annotated[bool, typer.Option("--json", help="print one JSON document instead of text")]


def deploy(
    yes: Yes = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="show what would change, and change nothing")
    ] = False,
    let_data_go: Annotated[
        bool,
        typer.Option("--let-data-go", help="also what parts from a bucket or a table"),
    ] = False,
    states: States = True,
    profile: Profile = None,
    region: Region = None,
    as_json: Json = False,
) -> None:
    """Deploys the pipelines of ./cdk.json to AWS: shows every change, asks, follows, says how to start.

    Exit codes: 0 deployed, or nothing to change; 1 declined, refused by AWS, or failed; 2 bad input.
    """
    from stacks.deployment.deploy import Options, how_to_start, left_over, summary
    from stacks.deployment.deploy import deploy as carry_out
    from stacks.deployment.dialogue import Dialogue
    from stacks.deployment.place import open_site
    from stacks.doctor.examination import check_obstacles
    from stacks.settings import load

    folder = Path.cwd()
    settings = load(folder)
    console = o.console(as_json)
    site = open_site(settings, profile=profile, region=region)
    with console.status("Looking for what is in the way ..."):
        check_obstacles(site)
    _ask_about_machines(site, settings, folder, console, states=states)
    with console.status("Compiling the pipelines ..."):
        templates = _synthesize(settings, folder)

    def upload() -> None:
        from stacks.deployment.upload import upload_all

        for line in upload_all(list(settings.pipelines), settings, folder, site.session):
            console.print(line, markup=False)

    dialogue = Dialogue(console, yes=yes)
    try:
        done = carry_out(site, templates, upload, dialogue, Options(dry_run, let_data_go), time.sleep)
    except KeyboardInterrupt:
        console.print(STOPPED.format("deploy"))
        raise typer.Exit(INTERRUPTED) from None
    extra = list(left_over(site, list(templates)))
    if as_json:
        print(json.dumps({"stacks": [asdict(each) for each in done], "left_over": extra}, indent=2))
    else:
        console.print(summary(done), markup=False)
        for line in how_to_start(done):
            console.print(line, markup=False, soft_wrap=True)
    for name in extra:
        dialogue.say(f"{name} is deployed and not in cdk.json: relay destroy {name} removes it", "yellow")
    if done[-1].outcome == "declined":
        raise typer.Exit(DECLINED)


def _ask_about_machines(site: Site, settings: Settings, folder: Path, console: Any, *, states: bool) -> None:
    """What AWS refuses ends the deployment before it begins; a state that AWS runs otherwise is shown."""
    from stacks.compiled import compile_for
    from stacks.doctor.findings import FAIL
    from stacks.doctor.machines import TO_DO, check_machines
    from stacks.doctor.report import states_table

    with console.status("Asking AWS about the machines ..."):
        compiled = [compile_for(folder / path, settings) for path in settings.pipelines]
        rows = check_machines(site, compiled, states=states)
    differing = [row for row in rows if row.verdict == FAIL]
    if differing:
        console.print(states_table(differing))
        console.print(f"{TO_DO} (relay doctor --report FILE)", markup=False)


def _synthesize(settings: Settings, folder: Path) -> dict[str, Any]:
    try:
        from stacks.app import synthesize
    except ModuleNotFoundError as error:
        raise RelayError(
            f'{error.name} is not installed: pip install --editable ".[aws]" --constraint constraints.txt '
            '(and ".[node]" where there is no Node 22 or newer)'
        ) from None
    with tempfile.TemporaryDirectory(prefix="relay-cdk-") as outdir:
        return dict(synthesize(settings, folder, outdir))
