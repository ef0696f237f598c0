"""Options that several verbs have, in the same words."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from workflows.commands import completion

if TYPE_CHECKING:
    from rich.console import Console

    from workflows.runs.connection import Target

FAILED, BAD_INPUT, NOT_UP, INTERRUPTED = 1, 2, 1, 130
DEFAULT_ROOT = completion.DEFAULT_ROOT
WIDE = 120  # columns of what goes into a file or a pipe, where no terminal says how many there are

PipelineFile = Annotated[Path, typer.Argument(metavar="PIPELINE", help="the pipeline's file, YAML or Python")]
RunName = Annotated[
    str,
    typer.Argument(
        metavar="RUN", help="the run's id, or the beginning of it", autocompletion=completion.runs
    ),
]
Json = Annotated[bool, typer.Option("--json", help="print one JSON document instead of text")]

# ---------------------------------------------------------------------------------------- the local world
Root = Annotated[Path, typer.Option("--root", help="folder that keeps the local world's S3, jobs and runs")]
Speed = Annotated[
    float,
    typer.Option(min=1, max=100_000, help="seconds of waiting that pass in one second; training is real"),
]
Seed = Annotated[int, typer.Option(help="for everything drawn at random")]
Scenario = Annotated[
    str | None,
    typer.Option(
        help="what spot capacity does: a file, a built-in name, or `none` for an undisturbed run "
        "(default: scenario.yaml beside the pipeline if there is one, else none)"
    ),
]

# -------------------------------------------------------------------------------------------- where to go
Profile = Annotated[
    str | None,
    typer.Option(envvar="RELAY_PROFILE", help="go to AWS with this profile", show_default=False),
]
Region = Annotated[
    str | None,
    typer.Option(
        envvar="RELAY_REGION",
        help="go to AWS, to this region; with none of the three: to the `relay local` of --root",
        show_default=False,
    ),
]
EndpointUrl = Annotated[
    str | None,
    typer.Option(
        metavar="URL",
        help="go to this address, or to RELAY_ENDPOINT_URL or AWS_ENDPOINT_URL; what is not AWS's gets dummy "
        "credentials",
        show_default=False,
    ),
]

# ---------------------------------------------------------------------------------- what a run is to do
RunInput = Annotated[
    str | None,
    typer.Option("--input", metavar="FILE|JSON", help="the run input (`relay schema PIPELINE`)"),
]
Deadline = Annotated[
    str | None, typer.Option(metavar="WHEN", help="36h, 07:30+01:00 or 2026-12-01T06:00:00Z")
]
BudgetUsd = Annotated[
    float | None, typer.Option(metavar="DOLLARS", help="no attempt starts that could cost more")
]
From = Annotated[
    str | None, typer.Option("--from", metavar="STAGE", help="begin there, on an earlier run's results")
]
Only = Annotated[list[str] | None, typer.Option(metavar="STAGE", help="this stage and no other (repeatable)")]
Reuse = Annotated[
    bool | None,
    typer.Option("--reuse/--no-reuse", help="take what earlier runs have done already", show_default=False),
]
Set = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="STAGE.NAME=VALUE", help="a hyperparameter (repeatable)"),
]
Key = Annotated[
    str | None, typer.Option(help="the run is named PIPELINE-KEY, so it starts only once (exit code 3)")
]
Name = Annotated[str | None, typer.Option(help="the run's id; made from name and time otherwise")]


def target(root: Path, profile: str | None, region: str | None, endpoint_url: str | None) -> Target:
    """Where the options say that the runs are."""
    from workflows.runs.connection import Target

    return Target(root, profile, region, endpoint_url)


def console(quiet: bool = False) -> Console:
    """Makes the console: with `--json` stdout holds the document alone, so all else goes to stderr.

    Without a terminal the width is that of COLUMNS, else wide: nobody's lines are to be cut for a screen that
    is not there.
    """
    from rich.console import Console

    stream = sys.stderr if quiet else sys.stdout
    width = None if stream.isatty() or os.environ.get("COLUMNS") else WIDE
    return Console(stderr=quiet, highlight=False, width=width)


def write_page(path: Path, page: str) -> None:
    """Raises RelayError where it cannot be."""
    from workflows.errors import RelayError

    try:
        path.write_text(page, encoding="utf-8")
    except OSError as error:
        raise RelayError(f"{path}: cannot be written: {error.strerror}") from None
