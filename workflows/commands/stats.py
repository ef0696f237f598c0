"""`relay stats`: what the attempts of past runs teach, from the table that the machines write."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from workflows.errors import RelayError

if TYPE_CHECKING:
    from workflows.attempts import Attempt

DEFAULT_ROOT = Path(".relay/local")
DEFAULT_TABLE = "relay-ledger"


def stats(
    pipeline: Annotated[
        str | None,
        typer.Argument(
            metavar="[PIPELINE]", help="its name, or its file; every pipeline's attempts otherwise"
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="print one JSON document instead of text")] = False,
    root: Annotated[Path, typer.Option("--root", help="folder of the local world")] = DEFAULT_ROOT,
    region: Annotated[
        str | None, typer.Option(help="read the table of this region in AWS, not the local world's")
    ] = None,
    profile: Annotated[str | None, typer.Option(help="of the AWS configuration; with --region")] = None,
    table: Annotated[str, typer.Option(help="the table's name, where the settings give it another")] = (
        DEFAULT_TABLE
    ),
) -> None:
    """Shows what past runs teach: interruptions, waits for capacity, changeovers, speed, savings.

    Reads the table in which the machines write each attempt, here or (with --region) in AWS.
    """
    from rich.console import Console

    from workflows.statistics import statistics
    from workflows.statistics_text import as_text

    if profile and not region:
        raise RelayError("--profile goes with --region: without it the local world's table is read")
    name = _name(pipeline)
    with _client(root, region, profile) as client:
        attempts = _attempts(client, table, name)
    if not attempts:
        whose = f"of the pipeline `{name}`" if name else "of any pipeline"
        raise RelayError(f"no attempt {whose} has been written down in the table `{table}` yet")
    found = statistics(attempts)
    if as_json:
        document = {"pipeline": name, **asdict(found), "saved_usd": found.saved_usd}
        print(json.dumps(document, indent=2))
    else:
        Console(highlight=False).print(as_text(found))


def _name(pipeline: str | None) -> str | None:
    """A pipeline may be given as everywhere else, by its file."""
    if pipeline is None or not Path(pipeline).suffix:
        return pipeline
    from workflows.loading import load

    return load(Path(pipeline)).name


@contextmanager
def _client(root: Path, region: str | None, profile: str | None) -> Iterator[Any]:
    """A DynamoDB client of AWS, or of the local world, which is opened for it."""
    if region:
        import boto3

        yield boto3.Session(profile_name=profile, region_name=region).client("dynamodb")
        return
    from workflows.local.server import LocalWorld

    if not root.is_dir():
        raise RelayError(f"no local world in {root}: start a run first, or name its folder with --root")
    with LocalWorld(root) as world:
        yield world.client("dynamodb")


def _attempts(client: Any, table: str, pipeline: str | None) -> list[Attempt]:
    from botocore.exceptions import ClientError

    from workflows.attempts import read, read_all

    try:
        return list(read(client.query, table, pipeline) if pipeline else read_all(client.scan, table))
    except ClientError as error:
        if error.response["Error"]["Code"] != "ResourceNotFoundException":
            raise
        raise RelayError(
            f"there is no table `{table}`: no run has been started here, or the stack `relay` is not deployed"
        ) from None
