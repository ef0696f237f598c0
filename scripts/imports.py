"""Who imports whom: prints the arrows between the folders, and what breaks the order of the architecture.

    python -m scripts.imports             the arrows between the folders, mistakes last
    python -m scripts.imports --modules   each module with what it imports

Exit code 1 when a module imports against the order or in a circle. `tests/unit/test_dependencies.py` asks the
same table.
"""

from __future__ import annotations

import argparse
import ast
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

ROOT = Path(__file__).parents[1]
TOPS = ("workflows", "stacks", "scripts")
Graph = Mapping[str, set[str]]

LEVELS: tuple[tuple[str, ...], ...] = (
    ("scripts",),
    ("workflows.commands", "workflows.console"),
    ("stacks",),
    ("workflows.runs",),
    ("workflows.planning",),
    ("workflows.state_machine",),
    ("workflows.local", "workflows.jobs"),
    ("workflows.ledger",),
    ("workflows.specification",),
    ("workflows.policy",),
    ("workflows.errors",),
)
"""From the top down: a folder may import itself and the levels below its own."""

NOWHERE = {"workflows.checkpointing"}
"""Imports nothing of ours: it is copied into the training container by itself."""

FORBIDDEN = {
    # The compiler knows nothing of the worlds that run its text.
    "workflows.state_machine": {"workflows.local"},
    # The local world is the platform only: it is told what to run through AWS's own APIs.
    "workflows.local": {"workflows.specification", "workflows.policy"},
}
"""Exceptions to the order: arrows that point downwards and are not allowed all the same."""

ALLOWED = {
    # Durations as people write them, in the scenario files.
    ("workflows.local.scenario", "workflows.specification.durations"),
}


def modules() -> dict[str, Path]:
    """Every module of ours but the examples, which are the users': dotted name -> file."""
    paths = (
        path for top in ("workflows", "stacks", "scripts") for path in sorted((ROOT / top).rglob("*.py"))
    )
    found = {}
    for path in paths:
        parts = path.relative_to(ROOT).with_suffix("").parts
        if "examples" not in parts:
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def imports(path: Path, *, top_level_only: bool = False) -> Iterator[str]:
    """The absolute names that a module imports, as `package.module` or `package.module.name`."""
    package = list(path.relative_to(ROOT).parent.parts)
    tree = ast.parse(path.read_text("utf-8"))
    for node in tree.body if top_level_only else ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            module = ".".join([*base, *([node.module] if node.module else [])])
            yield from (f"{module}.{alias.name}" for alias in node.names)


def graph() -> Graph:
    """Module -> the modules of ours that it imports, at its top or inside a function."""
    known = modules()
    found: dict[str, set[str]] = {}
    for name, path in known.items():
        named = (each if each in known else each.rpartition(".")[0] for each in imports(path))
        found[name] = {each for each in named if each in known and each != name}
    return found


def folder_of(module: str) -> str:
    """The entry of the table that a module belongs to."""
    top, _, rest = module.partition(".")
    return f"{top}.{rest.partition('.')[0]}" if top == "workflows" and rest else top


def against_the_order(arrows: Graph) -> list[str]:
    """One line for each import that the table does not allow."""
    level = {folder: number for number, folders in enumerate(LEVELS) for folder in folders}
    found = []
    for module, its in sorted(arrows.items()):
        here = folder_of(module)
        for other in sorted(its):
            there = folder_of(other)
            if here == there or (module, other) in ALLOWED or there in NOWHERE:
                continue
            if here in NOWHERE or there in FORBIDDEN.get(here, ()) or level[there] <= level[here]:
                found.append(f"{module} imports {other}")
    return found


def circles(arrows: Graph) -> list[list[str]]:
    """Modules that import each other, directly or through others, each group once (Tarjan's algorithm)."""
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    found: list[list[str]] = []

    def visit(module: str) -> None:
        index[module] = low[module] = len(index)
        stack.append(module)
        for other in sorted(arrows[module]):
            if other not in index:
                visit(other)
                low[module] = min(low[module], low[other])
            elif other in stack:
                low[module] = min(low[module], index[other])
        if low[module] == index[module]:
            at = stack.index(module)
            if len(stack) - at > 1:
                found.append(sorted(stack[at:]))
            del stack[at:]

    for module in sorted(arrows):
        if module not in index:
            visit(module)
    return found


def folders(arrows: Graph) -> dict[str, set[str]]:
    """The same between folders: folder -> the folders that it imports."""
    found: dict[str, set[str]] = {}
    for module, its in arrows.items():
        found.setdefault(folder_of(module), set()).update(folder_of(other) for other in its)
    return {folder: its - {folder} for folder, its in found.items()}


def main() -> int:
    """Prints the graph; 1 when something breaks the order."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--modules", action="store_true", help="each module with what it imports")
    options = parser.parse_args()
    arrows = graph()
    shown = arrows if options.modules else folders(arrows)
    for name in sorted(shown):
        print(f"{name} -> {', '.join(sorted(shown[name])) or 'nothing of ours'}")
    wrong = against_the_order(arrows)
    round_and_round = circles(arrows)
    for line in wrong:
        print(f"against the order: {line}", file=sys.stderr)
    for group in round_and_round:
        print(f"in a circle: {', '.join(group)}", file=sys.stderr)
    return 1 if wrong or round_and_round else 0


if __name__ == "__main__":
    sys.exit(main())
