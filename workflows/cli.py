"""The `relay` command. Heavy imports stay inside the verbs, so that `relay --help` answers at once."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from workflows.commands import deploy, destroy, doctor, plan, stats
from workflows.errors import RelayError

if TYPE_CHECKING:
    from rich.console import Console

    from workflows.ledger import RunView
    from workflows.rehearsal import Rehearsal

FAILED, BAD_INPUT, INTERRUPTED = 1, 2, 130
DEFAULT_ROOT = Path(".relay/local")

app = typer.Typer(
    name="relay",
    help="Runs multi-stage model training on interruptible capacity, and always finishes.\n\n"
    "Exit codes: 0 done (also when a gate said stop), 1 the run failed, 2 bad input, or a run that was "
    "refused at its start, 3 a run of that name exists, 130 stopped with Ctrl-C.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

PipelineFile = Annotated[Path, typer.Argument(metavar="PIPELINE", help="the pipeline's file, YAML or Python")]
Json = Annotated[bool, typer.Option("--json", help="print one JSON document instead of text")]
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


@app.command()
def run(
    pipeline: PipelineFile,
    run_input: Annotated[
        str | None,
        typer.Option("--input", metavar="FILE|JSON", help="the run input (`relay schema PIPELINE`)"),
    ] = None,
    deadline: Annotated[
        str | None, typer.Option(metavar="WHEN", help="36h, 07:30+01:00 or 2026-12-01T06:00:00Z")
    ] = None,
    budget_usd: Annotated[
        float | None, typer.Option(metavar="DOLLARS", help="no attempt starts that could cost more")
    ] = None,
    from_: Annotated[
        str | None,
        typer.Option("--from", metavar="STAGE", help="begin there, on an earlier run's results"),
    ] = None,
    only: Annotated[
        list[str] | None, typer.Option(metavar="STAGE", help="this stage and no other (repeatable)")
    ] = None,
    reuse: Annotated[
        bool | None,
        typer.Option(
            "--reuse/--no-reuse", help="take what earlier runs have done already", show_default=False
        ),
    ] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="STAGE.NAME=VALUE", help="a hyperparameter (repeatable)"),
    ] = None,
    key: Annotated[
        str | None, typer.Option(help="the run is named PIPELINE-KEY, so it starts only once (exit code 3)")
    ] = None,
    name: Annotated[str | None, typer.Option(help="the run's id; made from name and time otherwise")] = None,
    scenario: Scenario = None,
    seed: Seed = 0,
    speed: Speed = 300.0,
    root: Root = DEFAULT_ROOT,
    as_json: Json = False,
) -> None:
    """Runs a pipeline on this computer: real training, AWS's behaviour, no account.

    Options go before what --input says of the same field.
    """
    from workflows.loading import load
    from workflows.local.scenario import find_scenario
    from workflows.rehearsal import compile_loaded, open_world, start
    from workflows.run_input import check_input
    from workflows.run_options import RunOptions, run_name
    from workflows.stages import SweepStage

    options = RunOptions(run_input, deadline, budget_usd, from_, only or (), reuse, set_ or (), key)
    found = load(pipeline)
    wanted = options.run_input()
    check_input(found, wanted)
    if name and "key" in wanted:
        raise RelayError("--name and a key exclude each other: a key names the run PIPELINE-KEY")
    trials = {s.name: len(s.parameters()) if isinstance(s, SweepStage) else 0 for s in found.stages}
    chosen = find_scenario(scenario, beside=pipeline.parent, stages=trials)
    made = f"{found.name}-{datetime.now(UTC):%Y%m%d-%H%M%S}"
    run_id = run_name(found.name, wanted["key"]) if "key" in wanted else name or made
    console = _console(as_json)
    with console.status("Compiling the pipeline ..."):
        compiled = compile_loaded(found, pipeline)
    console.print(f"Run {run_id}: training is real, waits pass {speed:g} times as fast.", markup=False)
    with open_world(root, speed=speed, scenario=chosen, seed=seed, console=console) as world:
        rehearsal = start(world, compiled, run_id, wanted, console, quiet=as_json)
        _follow(rehearsal, console, as_json, root)


@app.command()
def resume(
    run: Annotated[str, typer.Argument(help="the run's id, or the beginning of it")],
    scenario: Annotated[str | None, typer.Option(help="as of `relay run`")] = None,
    seed: Seed = 0,
    speed: Speed = 300.0,
    root: Root = DEFAULT_ROOT,
    as_json: Json = False,
) -> None:
    """Goes on with a local run that was stopped or failed, from its checkpoints."""
    from workflows.local.scenario import find_scenario
    from workflows.rehearsal import open_world
    from workflows.rehearsal import resume as resume_run

    if not root.is_dir():
        raise RelayError(f"no local world in {root}: start a run first, or name its folder with --root")
    console = _console(as_json)
    chosen = find_scenario(scenario, beside=None, stages=None)
    with open_world(root, speed=speed, scenario=chosen, seed=seed, console=console) as world:
        rehearsal = resume_run(world, run, console, quiet=as_json)
        _follow(rehearsal, console, as_json, root)


@app.command()
def check(pipeline: PipelineFile, as_json: Json = False) -> None:
    """Checks a pipeline: every mistake with its place, what was found and what is allowed."""
    from workflows.loading import SpecificationError
    from workflows.rehearsal import compile_file

    try:
        compiled = compile_file(pipeline)
    except SpecificationError as error:
        if as_json:
            print(json.dumps({"ok": False, "problems": error.problems}, indent=2))
            raise typer.Exit(BAD_INPUT) from None
        raise
    from workflows.state_machine.check import MOST_BYTES, MOST_EVENTS, MOST_VALUE, sizes_of

    found, sizes = compiled.pipeline, sizes_of(compiled.pipeline, compiled.definition)
    if as_json:
        print(json.dumps({"ok": True, "pipeline": found.name, **asdict(sizes)}, indent=2))
        return
    print(f"{pipeline}: {found.name}, {len(found.stages)} stages: fine")
    print(
        f"a machine of {sizes.definition_bytes / 1024:.0f} KiB (of {MOST_BYTES // 1024:,}); at worst "
        f"{sizes.worst_events:,} events (of {MOST_EVENTS:,}) and "
        f"{sizes.worst_result_bytes / 1024:.0f} KiB of results (of {MOST_VALUE // 1024})"
    )


@app.command("compile")
def compile_(
    pipeline: PipelineFile,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="write to a file instead")] = None,
) -> None:
    """Prints the state machine (Amazon States Language) that the pipeline becomes."""
    from workflows.rehearsal import compile_file

    text = json.dumps(compile_file(pipeline).definition, indent=2, ensure_ascii=False)
    if output is None:
        print(text)
        return
    try:
        output.write_text(text + "\n", encoding="utf-8")
    except OSError as error:
        raise RelayError(f"{output}: cannot be written: {error.strerror}") from None


@app.command()
def schema(
    pipeline: Annotated[
        Path | None, typer.Argument(metavar="[PIPELINE]", help="of this pipeline's run input")
    ] = None,
) -> None:
    """Prints the JSON schema of a pipeline's YAML, for editors; with PIPELINE, that of its run input.

    The run input is what `relay run --input`, the console, a schedule and the API may say.
    """
    from workflows.loading import json_schema, load
    from workflows.run_input import input_schema

    print(json.dumps(input_schema(load(pipeline)) if pipeline else json_schema(), indent=2))


# Verbs with a module of their own, one each.
app.command("plan")(plan.plan)
app.command("stats")(stats.stats)
app.command("deploy")(deploy.deploy)
app.command("destroy")(destroy.destroy)
app.command("doctor")(doctor.doctor)


# ------------------------------------------------------------------------------------------------ parts
def _console(quiet: bool) -> Console:
    """With `--json` stdout holds the document alone, so everything else goes to stderr."""
    from rich.console import Console

    return Console(stderr=quiet, highlight=False)


def _follow(rehearsal: Rehearsal, console: Console, as_json: bool, root: Path) -> None:
    try:
        view = rehearsal.follow()
    except KeyboardInterrupt:
        run = rehearsal.arn.rsplit(":", 1)[1]
        where = "" if root == DEFAULT_ROOT else f" --root {root}"
        console.print(f"Stopped. Go on with: relay resume {run}{where}")
        raise typer.Exit(INTERRUPTED) from None
    if view.dropped and not as_json:
        console.print(f"The run {view.run} was dropped: {view.dropped}.", style="yellow", markup=False)
        return
    if not view.refused or as_json:
        _print_receipt(rehearsal, view, console, as_json)
    if view.refused:
        raise RelayError(f"the run {view.run} was refused: {view.cause}")
    if view.status != "SUCCEEDED":
        if not as_json:
            console.print(
                f"The run {view.run} ended {view.status}: {_reason(view)}", style="red", markup=False
            )
        raise typer.Exit(FAILED)


def _print_receipt(rehearsal: Rehearsal, view: RunView, console: Console, as_json: bool) -> None:
    from workflows.prices import load_prices
    from workflows.receipt import as_json as document
    from workflows.receipt_text import as_text

    rehearsal.runs.add_stopped_jobs(view)
    prices, digests = load_prices(), rehearsal.digests(view)
    if as_json:
        print(json.dumps(document(view, prices, digests), indent=2))
    else:
        console.print()
        console.print(as_text(view, prices, digests))


def _reason(view: RunView) -> str:
    """The stage's own message, without Step Functions' words around it."""
    failed = [stage for stage in view.stages.values() if stage.status == "failed"]
    said = [one.why for stage in failed for one in (*stage.trials.values(), stage) if one.status == "failed"]
    return next((why for why in said if why), "") or view.cause or view.error or "no reason was given"


def main() -> None:
    """The console command; every error that is the user's to mend is one clear message."""
    try:
        app()
    except RelayError as error:
        print(f"relay: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    except Exception as error:
        if not _is_from_aws(error):
            raise
        print(f"relay: {error}", file=sys.stderr)
        sys.exit(FAILED)


def _is_from_aws(error: Exception) -> bool:
    """Whether a boto3 call was refused or found nobody; botocore is not imported just to ask."""
    return any(kind.__name__ in {"ClientError", "BotoCoreError"} for kind in type(error).__mro__)


if __name__ == "__main__":
    main()
