"""`relay plan`: what a pipeline will cost and when it will be done, before a cent is spent."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from workflows.commands import options as o
from workflows.errors import RelayError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from workflows.planning.answers import Plan
    from workflows.planning.assumptions import Said
    from workflows.planning.measured import Measured
    from workflows.planning.outlook import Outlook
    from workflows.planning.plan import Progress
    from workflows.planning.virtual_runs import Scene
    from workflows.runs.connection import Target
    from workflows.specification.pipeline import Pipeline

LEAST_SECONDS = 3 * 86400.0  # of capacity to draw: a short run may wait long


def plan(
    pipeline: o.PipelineFile,
    traces: Annotated[
        Path | None, typer.Option(metavar="DIR", help="recorded capacity: a folder, one JSON file a zone")
    ] = None,
    zones: Annotated[
        list[str] | None,
        typer.Option("--zone", metavar="NAME", help="only this zone, or region, of --traces (repeatable)"),
    ] = None,
    polarity: Annotated[
        str | None, typer.Option(help="what a 1 in --traces means: available or preempted")
    ] = None,
    climate: Annotated[
        str, typer.Option(help="of generated capacity, without --traces: plentiful, usual or scarce")
    ] = "usual",
    run_input: o.RunInput = None,
    deadline: o.Deadline = None,
    budget_usd: o.BudgetUsd = None,
    expected: Annotated[
        list[str] | None,
        typer.Option(metavar="STAGE=TIME", help="how long a stage takes undisturbed (repeatable)"),
    ] = None,
    speed: Annotated[
        list[str] | None,
        typer.Option(
            metavar="TYPE=FACTOR", help="how fast an instance type is; 1 where not said (repeatable)"
        ),
    ] = None,
    stall: Annotated[
        str | None, typer.Option(metavar="TIME", help="how long a save holds training up")
    ] = None,
    save_every: Annotated[
        str | None, typer.Option(metavar="TIME", help="between saves, instead of what checkpointing chooses")
    ] = None,
    measured: Annotated[
        bool,
        typer.Option(
            "--measured", help="how long stages took in past runs, as their table of attempts has it"
        ),
    ] = False,
    runs: Annotated[
        int, typer.Option(min=2, max=100_000, help="virtual runs of what is shown in detail")
    ] = 80,
    compare: Annotated[bool, typer.Option("--compare", help="other rules on the same capacity")] = False,
    seed: Annotated[int, typer.Option(min=0, help="for everything drawn at random")] = 0,
    workers: Annotated[int | None, typer.Option(min=1, help="processes; one for each core otherwise")] = None,
    html: Annotated[Path | None, typer.Option(metavar="FILE", help="write a page with plots, too")] = None,
    root: o.Root = o.DEFAULT_ROOT,
    profile: o.Profile = None,
    region: o.Region = None,
    endpoint_url: o.EndpointUrl = None,
    as_json: o.Json = False,
) -> None:
    """Says what a pipeline will cost and when it will be done, from many runs of its machine in virtual time.

    Needs no account, no data and no network; with --traces it uses recorded capacity.
    """

    from workflows.planning.answers import make_plan
    from workflows.planning.assumptions import assume
    from workflows.planning.plan_text import as_text
    from workflows.policy.prices import load_prices
    from workflows.runs.rehearsal import compile_loaded
    from workflows.specification.loading import load
    from workflows.specification.run_input import check_input
    from workflows.specification.run_options import RunOptions

    if html and not html.parent.is_dir():
        raise RelayError(f"{html}: cannot be written: no such folder")  # before minutes of work, not after
    found = load(pipeline)
    wanted = RunOptions(run_input, deadline, budget_usd).run_input()
    check_input(found, wanted)
    past = _measured(found.name, o.target(root, profile, region, endpoint_url)) if measured else {}
    work = assume(found, _said(expected, speed, stall, save_every, past))
    outlook = _outlook(found, traces, zones or (), polarity, climate, seed)
    console = o.console(quiet=True)
    with console.status("Compiling the pipeline ..."):
        scene = _scene(found, compile_loaded(found, pipeline).definition, work, outlook, seed)
    share = load_prices().spot_share if compare else None
    with _bar(console) as progress:
        made = make_plan(
            found, scene, work, wanted, runs=runs, spot_share=share, workers=workers, progress=progress
        )
    if html:
        from workflows.planning.page import as_html

        o.write_page(html, as_html(made))
    if as_json:
        print(json.dumps(_document(made), indent=2))
    else:
        o.console().print(as_text(made))


# ------------------------------------------------------------------------------------------------ parts
def _measured(pipeline: str, target: Target) -> dict[str, Measured]:
    """What the table of attempts teaches. Raises RelayError when that is nothing."""
    from workflows.commands.stats import written_attempts
    from workflows.ledger.attempts import TABLE
    from workflows.planning.measured import measured
    from workflows.runs.connection import connect

    with connect(target, own_world=True) as connection:
        found = measured(written_attempts(connection.client("dynamodb"), TABLE, pipeline))
    if not found:
        raise RelayError(
            f"--measured: no stage of {pipeline} has completed and reported its steps: leave it out, or say "
            "--expected STAGE=TIME"
        )
    return found


def _said(
    expected: Sequence[str] | None,
    speed: Sequence[str] | None,
    stall: str | None,
    save_every: str | None,
    past: dict[str, Measured],
) -> Said:
    from workflows.planning.assumptions import Said

    return Said(
        expected={
            name: _seconds(f"--expected {name}", text) for name, text in _pairs("--expected", expected)
        },
        stall=None if stall is None else _seconds("--stall", stall),
        save_every=None if save_every is None else _seconds("--save-every", save_every),
        measured=past,
        speeds={name: _factor(f"--speed {name}", text) for name, text in _pairs("--speed", speed)},
    )


def _pairs(option: str, texts: Sequence[str] | None) -> Iterator[tuple[str, str]]:
    for text in texts or ():
        name, equals, value = text.partition("=")
        if not (name and equals and value):
            raise RelayError(f"{option}: found {text!r}, expected NAME=VALUE")
        yield name, value


def _seconds(option: str, text: str) -> float:
    from workflows.specification.durations import parse_duration

    try:
        seconds = parse_duration(text).total_seconds()
    except ValueError as error:
        raise RelayError(f"{option}: found {text!r}, expected {error}") from None
    if seconds <= 0:
        raise RelayError(f"{option}: found {text!r}, expected more than nothing")
    return seconds


def _factor(option: str, text: str) -> float:
    try:
        factor = float(text)
    except ValueError:
        factor = 0.0
    if not 0 < factor < 1000:
        raise RelayError(f"{option}: found {text!r}, expected a number above 0, such as 0.5")
    return factor


def _outlook(
    pipeline: Pipeline,
    traces: Path | None,
    zones: Sequence[str],
    polarity: str | None,
    climate: str,
    seed: int,
) -> Outlook:
    from workflows.errors import unknown
    from workflows.planning.histories import POLARITIES, read_folder
    from workflows.planning.outlook import from_histories, synthetic
    from workflows.planning.questions import spot_types

    if polarity is not None and polarity not in POLARITIES:
        raise RelayError(f"--polarity: {unknown('polarity', polarity, POLARITIES)}")
    if traces is None:
        if zones or polarity:
            raise RelayError("--zone and --polarity go with --traces")
        return synthetic(climate, spot_types(pipeline), seed)
    histories = read_folder(traces, polarity=polarity)
    chosen = [each for each in histories if not zones or any(each.name.startswith(zone) for zone in zones)]
    if not chosen:
        known = [each.name for each in histories]
        raise RelayError(f"--zone: {unknown('zone', ', '.join(zones), known)}")
    return from_histories(chosen, spot_types(pipeline), f"{traces}")


def _scene(pipeline: Pipeline, definition: dict[str, Any], work: Any, outlook: Outlook, seed: int) -> Scene:
    from workflows.jobs.watch_pattern import watch_pattern
    from workflows.planning.questions import spot_types
    from workflows.planning.virtual_runs import Scene
    from workflows.runs.rehearsal import SITE
    from workflows.state_machine.watch import watch_of

    return Scene(
        definition=definition,
        watch_definition=watch_of(pipeline, SITE),
        watch_pattern=watch_pattern(pipeline.name),
        bucket=SITE.bucket,
        models=work.models,
        launch=work.launch,
        outlook=outlook,
        types=spot_types(pipeline),
        horizon=max(LEAST_SECONDS, 3 * work.seconds),
        seed=seed,
    )


@contextmanager
def _bar(console: Any) -> Iterator[Progress]:
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("Running it in virtual time", total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def _document(made: Plan) -> dict[str, Any]:
    document = asdict(made)
    del document["figures"]  # single runs: the plots'
    return document
