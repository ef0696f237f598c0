"""What the shell completes: the runs and stages of the local world, read from its folder; no call is made."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import typer

DEFAULT_ROOT = Path(".relay/local")
_WATCH = "-watch"


def runs(context: typer.Context, incomplete: str) -> list[str]:
    """The ids of the local world's runs, the newest first."""
    found = sorted(_folders(context), key=lambda folder: folder.stat().st_mtime, reverse=True)
    return [folder.name for folder in found if folder.name.startswith(incomplete)]


def stages(context: typer.Context, incomplete: str) -> list[str]:
    """The stages of the run that was named before."""
    names: dict[str, None] = {}
    for folder in _folders(context):
        if folder.name == context.params.get("run"):
            definition = json.loads((folder / "definition.json").read_text("utf-8"))
            names |= dict.fromkeys(_stages(definition))
    return [name for name in names if name.startswith(incomplete)]


def pipelines(context: typer.Context, incomplete: str) -> list[str]:
    """The pipelines that have been installed here."""
    names = (path.stem for path in (_root(context) / "states/machines").glob("*.json"))
    return sorted(name for name in names if name.startswith(incomplete) and not name.endswith(_WATCH))


def _folders(context: typer.Context) -> Iterator[Path]:
    """One for each run, as the local Step Functions keeps them."""
    for folder in (_root(context) / "states/executions").glob("*/*"):
        if not folder.parent.name.endswith(_WATCH):
            yield folder


def _root(context: typer.Context) -> Path:
    return Path(context.params.get("root") or DEFAULT_ROOT)


def _stages(definition: dict[str, object]) -> list[str]:
    """Lists the stages in any order: to import what knows the order would take half a second."""
    from workflows.ledger.stage_view import stages_in

    return list(stages_in(definition))
