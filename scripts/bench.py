"""The one place for figures: `python -m scripts.bench NAME [--json]`.

Each figure comes from one run on this machine; compare ratios, not absolute times, between machines.
A bench is a module of `scripts.benches` with `TITLE` and `run() -> dict`: plain values, dicts of them,
and lists of dicts, which are shown as tables.
"""

from __future__ import annotations

import argparse
import importlib
import json
import pkgutil
import sys
from collections.abc import Iterator, Mapping
from typing import Any

from scripts import benches


def names() -> list[str]:
    """The benchmarks that there are."""
    return sorted(module.name for module in pkgutil.iter_modules(benches.__path__))


def show(result: dict[str, Any]) -> None:
    """Values as lines, lists of dicts as tables."""
    from rich.console import Console
    from rich.table import Table

    console = Console(width=None if sys.stdout.isatty() else 140)
    for name, value in flat(result):
        title = name.replace("_", " ")
        if not (isinstance(value, list) and value and isinstance(value[0], dict)):
            console.print(f"{title:44} {text(value)}", highlight=False, soft_wrap=True)
            continue
        table = Table(title=title, title_justify="left", title_style="bold")
        for column in value[0]:
            numeric = isinstance(value[0][column], int | float)
            table.add_column(column.replace("_", " "), justify="right" if numeric else "left")
        for row in value:
            table.add_row(*(text(row.get(column)) for column in value[0]))
        console.print(table)


def flat(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Nested figures under names with dots."""
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from flat(value, f"{prefix}{name}.")
        else:
            yield prefix + name, value


def text(value: Any) -> str:
    """A figure as people read it."""
    if isinstance(value, float):
        return f"{value:.4g}"
    return "-" if value is None else str(value)


def main(arguments: list[str] | None = None) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m scripts.bench", description=__doc__)
    listed = ", ".join(names())
    parser.add_argument("name", choices=names(), metavar="NAME", help=f"one of: {listed}")
    parser.add_argument("--json", action="store_true", help="one JSON document")
    options = parser.parse_args(arguments)
    module = importlib.import_module(f"{benches.__name__}.{options.name}")
    print(f"{module.TITLE} ...", file=sys.stderr, flush=True)
    result = module.run()
    if options.json:
        print(json.dumps(result, indent=2))
    else:
        show(result)
    return 0


if __name__ == "__main__":
    sys.exit(main())
