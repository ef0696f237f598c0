"""`relay stats`: what the attempts of past runs teach, from the table that the machines write."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from workflows.commands import completion
from workflows.commands import options as o
from workflows.errors import RelayError, unknown
from workflows.ledger.attempts import TABLE

if TYPE_CHECKING:
    from workflows.ledger.attempts import Attempt
    from workflows.runs.connection import Connection


def stats(
    pipeline: Annotated[
        str | None,
        typer.Argument(
            metavar="[PIPELINE]",
            help="its name, or its file; every pipeline's attempts otherwise",
            autocompletion=completion.pipelines,
        ),
    ] = None,
    table: Annotated[str, typer.Option(help="the table's name, where the settings give it another")] = (
        TABLE
    ),
    root: o.Root = o.DEFAULT_ROOT,
    profile: o.Profile = None,
    region: o.Region = None,
    endpoint_url: o.EndpointUrl = None,
    as_json: o.Json = False,
) -> None:
    """Shows what past runs teach: interruptions, waits for capacity, changeovers, speed, savings.

    Reads the table in which the machines write each attempt, here or in AWS.
    """
    from workflows.ledger.statistics import statistics
    from workflows.ledger.statistics_text import as_text
    from workflows.policy.prices import load_prices
    from workflows.runs.connection import connect

    name = _name(pipeline)
    with connect(o.target(root, profile, region, endpoint_url), own_world=True) as connection:
        attempts = written_attempts(connection.client("dynamodb"), table, name)
        others = [] if attempts or not name else _pipelines(connection)
    if not attempts:
        if name and others and name not in others:  # a table may also remember one that is deployed no more
            raise RelayError(unknown("pipeline", name, others))
        whose = f"of the pipeline `{name}`" if name else "of any pipeline"
        raise RelayError(f"no attempt {whose} has been written down in the table `{table}` yet")
    found = statistics(attempts, load_prices())
    if as_json:
        document = {"pipeline": name, **asdict(found), "saved_usd": found.saved_usd}
        print(json.dumps(document, indent=2))
    else:
        o.console().print(as_text(found))


def _pipelines(connection: Connection) -> list[str]:
    """The names that are known here."""
    from workflows.runs.executions import Runs

    return list(Runs(connection.client).pipelines())


def _name(pipeline: str | None) -> str | None:
    """A pipeline may be given as everywhere else, by its file."""
    if pipeline is None or not Path(pipeline).suffix:
        return pipeline
    from workflows.specification.loading import load

    return load(Path(pipeline)).name


def written_attempts(client: Any, table: str, pipeline: str | None) -> list[Attempt]:
    """What the table holds of a pipeline, or of all. Raises RelayError where there is no such table."""
    from botocore.exceptions import ClientError

    from workflows.ledger.attempts import read, read_all

    try:
        return list(read(client.query, table, pipeline) if pipeline else read_all(client.scan, table))
    except ClientError as error:
        if error.response["Error"]["Code"] != "ResourceNotFoundException":
            raise
        raise RelayError(
            f"there is no table `{table}`: no run has been started here, or the stack `relay` is not deployed"
        ) from None
