"""`relay check`, `relay compile`, `relay schema`: a pipeline's file, looked at without running it."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from workflows.commands import options as o
from workflows.errors import RelayError


def check(pipeline: o.PipelineFile, as_json: o.Json = False) -> None:
    """Checks a pipeline: every mistake with its place, what was found and what is allowed."""
    from workflows.runs.rehearsal import compile_file
    from workflows.specification.mistakes import SpecificationError

    try:
        compiled = compile_file(pipeline)
    except SpecificationError as error:
        if as_json:
            print(json.dumps({"ok": False, "problems": error.problems}, indent=2))
            raise typer.Exit(o.BAD_INPUT) from None
        raise
    from workflows.runs.depth import depth_of_start
    from workflows.specification.aws_limits import MOST_DEFINITION, MOST_EVENTS, MOST_VALUE
    from workflows.state_machine.check import sizes_of

    found, sizes = compiled.pipeline, sizes_of(compiled.pipeline, compiled.definition)
    depth = depth_of_start(compiled.definition)
    if as_json:
        told = {"ok": True, "pipeline": found.name, **asdict(sizes), "start_depth": depth}
        print(json.dumps(told, indent=2))
        return
    print(f"{pipeline}: {found.name}, {len(found.stages)} stages: fine")
    print(
        f"a machine of {sizes.definition_bytes / 1024:.0f} KiB (of {MOST_DEFINITION // 1024:,}); at worst "
        f"{sizes.worst_events:,} events (of {MOST_EVENTS:,}) and "
        f"{sizes.worst_result_bytes / 1024:.0f} KiB of results (of {MOST_VALUE // 1024}); "
        f"its first expression is {depth} levels deep (of 100)"
    )


def compile_(
    pipeline: o.PipelineFile,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="write to a file instead")] = None,
) -> None:
    """Prints the state machine (Amazon States Language) that the pipeline becomes."""
    from workflows.runs.rehearsal import compile_file

    text = json.dumps(compile_file(pipeline).definition, indent=2, ensure_ascii=False)
    if output is None:
        print(text)
        return
    try:
        output.write_text(text + "\n", encoding="utf-8")
    except OSError as error:
        raise RelayError(f"{output}: cannot be written: {error.strerror}") from None


def schema(
    pipeline: Annotated[
        Path | None, typer.Argument(metavar="[PIPELINE]", help="of this pipeline's run input")
    ] = None,
) -> None:
    """Prints the JSON schema of a pipeline's YAML, for editors; with PIPELINE, that of its run input.

    The run input is what `relay run --input`, the console, a schedule and the API may say.
    """
    from workflows.specification.loading import json_schema, load
    from workflows.specification.run_input import input_schema

    print(json.dumps(input_schema(load(pipeline)) if pipeline else json_schema(), indent=2))
