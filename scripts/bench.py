"""The one place for figures: `python -m scripts.bench NAME [--json]`.

Each figure comes from one run on this machine; compare ratios, not absolute times, between machines.
A bench is a module of `scripts.benches` with `TITLE` and `run() -> dict[str, figure]`.
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


def main() -> int:
    names = sorted(module.name for module in pkgutil.iter_modules(benches.__path__))
    parser = argparse.ArgumentParser(prog="python -m scripts.bench", description=__doc__)
    parser.add_argument("name", choices=names, metavar="NAME", help=f"one of: {', '.join(names)}")
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    options = parser.parse_args()
    module = importlib.import_module(f"scripts.benches.{options.name}")
    print(f"{module.TITLE} ...", file=sys.stderr, flush=True)
    figures: dict[str, Any] = module.run()
    if options.json:
        print(json.dumps(figures, indent=2))
        return 0
    rows = list(_rows(figures))
    width = max(len(name) for name, _ in rows)
    for name, value in rows:
        print(f"{name:<{width}}  {value}")
    return 0


def _rows(figures: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    for name, value in figures.items():
        if isinstance(value, Mapping):
            yield from _rows(value, f"{prefix}{name}.")
        else:
            yield prefix + name, f"{value:.4g}" if isinstance(value, float) else str(value)


if __name__ == "__main__":
    sys.exit(main())
