"""Judges spot rules on capacity histories: `python -m scripts.study --traces DIR`.

Prints the peers' table: the cost of each rule over that of the optimum, which knows the future, with 95 %
intervals. Without --traces it generates histories. See `workflows/planning/study/studies.py`.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from workflows.errors import RelayError
from workflows.planning.histories import POLARITIES, History, read_folder
from workflows.planning.study.studies import OPTIMUM, Cell, Question, study
from workflows.planning.synthetic import CLIMATES, climate, generated

GENERATED_HOURS = 24 * 27


def _options(arguments: list[str] | None) -> argparse.Namespace:
    asked = Question()
    parser = argparse.ArgumentParser(prog="python -m scripts.study", description=__doc__)
    parser.add_argument("--traces", type=Path, metavar="DIR", help="a folder of histories, one file a zone")
    parser.add_argument("--polarity", choices=POLARITIES, help="what a 1 means, where the files do not say")
    parser.add_argument("--climate", default="usual", choices=list(CLIMATES), help="of generated histories")
    parser.add_argument("--need", type=int, default=1, help="instances that are needed at once")
    parser.add_argument("--work", type=float, default=asked.work, metavar="HOURS")
    parser.add_argument("--deadlines", type=float, nargs="+", default=asked.deadlines, metavar="HOURS")
    parser.add_argument("--changeovers", type=float, nargs="+", default=asked.changeovers, metavar="HOURS")
    parser.add_argument("--spot-price", type=float, default=asked.spot_price, help="share of on-demand")
    parser.add_argument("--starts", type=int, default=24, help="in each history")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true", help="one JSON document")
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> int:
    """Returns the exit code: 2 for histories or questions that cannot be used."""
    options = _options(arguments)
    try:
        question = Question(
            options.work,
            tuple(options.deadlines),
            tuple(options.changeovers),
            options.spot_price,
            options.need,
        )
        histories = _histories(options)
        cells = _judged(histories, question, options)
    except RelayError as error:
        print(f"study: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        return 130
    if options.json:
        document = {"question": asdict(question), "histories": [_told(each, question) for each in histories]}
        print(json.dumps({**document, "cells": [asdict(cell) for cell in cells]}, indent=2))
    else:
        _show(cells, question)
    return 0


def _histories(options: argparse.Namespace) -> tuple[History, ...]:
    if options.traces:
        return read_folder(options.traces, polarity=options.polarity)
    names = [f"generated-{letter}" for letter in "abcdefghi"]
    rng = np.random.default_rng(options.seed)
    return generated(
        climate(options.climate), pools=names, hours=GENERATED_HOURS, rng=rng, instances=options.need
    )


def _judged(histories: tuple[History, ...], question: Question, options: argparse.Namespace) -> list[Cell]:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("Replaying", total=None)
        return study(
            histories,
            question,
            starts=options.starts,
            seed=options.seed,
            progress=lambda done, total: bar.update(task, completed=done, total=total),
        )


def _told(history: History, question: Question) -> dict[str, Any]:
    share = float(history.up(question.need).mean())
    return {"name": history.name, "hours": history.seconds / 3600, "available": share}


def _show(cells: list[Cell], question: Question) -> None:
    console = Console(width=None if sys.stdout.isatty() else 110, highlight=False)
    for changeover in question.changeovers:
        here = [cell for cell in cells if cell.changeover == changeover]
        table = Table(
            title=f"{question.work:g} h of work, a changeover of {changeover:g} h: cost ÷ optimum "
            f"(95 % interval), {here[0].starts} starts",
            title_justify="left",
        )
        table.add_column("deadline")
        for deadline in question.deadlines:
            table.add_column(f"{deadline:g} h", justify="right")
        for rule in dict.fromkeys(cell.rule for cell in here):
            row = [_figure(cell) for cell in here if cell.rule == rule]
            table.add_row("optimum ÷ on-demand" if rule == OPTIMUM else rule, *row)
        console.print(table)


def _figure(cell: Cell) -> str:
    """A rule that misses deadlines pays for work that it has not done: then how often is what counts."""
    if cell.missed > 0:
        return f"{cell.missed:.0%} missed"
    return f"{cell.ratio:.3f} ({cell.low:.2f}–{cell.high:.2f})"


if __name__ == "__main__":
    sys.exit(main())
