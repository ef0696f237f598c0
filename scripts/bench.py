"""The one place for figures: `python -m scripts.bench NAME [--json]`.

NAME is a module in scripts/benches with `run() -> dict`: plain values, and lists of dicts, which
are shown as tables. Its docstring says what is measured and against what.
"""

from __future__ import annotations

import argparse
import importlib
import json
import pkgutil
import sys
from pathlib import Path
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
    for name, value in result.items():
        title = name.replace("_", " ")
        if not (isinstance(value, list) and value and isinstance(value[0], dict)):
            console.print(f"{title:34} {text(value)}", highlight=False)
            continue
        table = Table(title=title, title_justify="left", title_style="bold")
        for column in value[0]:
            numeric = isinstance(value[0][column], int | float)
            table.add_column(column.replace("_", " "), justify="right" if numeric else "left")
        for row in value:
            table.add_row(*(text(row.get(column)) for column in value[0]))
        console.print(table)


def text(value: Any) -> str:
    """A figure as people read it."""
    if isinstance(value, float):
        return f"{value:.4g}"
    return "-" if value is None else str(value)


def main(arguments: list[str] | None = None) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("name", choices=names(), help=f"one of {Path(__file__).parent.name}/benches")
    parser.add_argument("--json", action="store_true", help="one JSON document")
    options = parser.parse_args(arguments)
    result = importlib.import_module(f"{benches.__name__}.{options.name}").run()
    if options.json:
        print(json.dumps(result))
    else:
        show(result)
    return 0


if __name__ == "__main__":
    sys.exit(main())
