"""What an attempt takes over from the ones before it."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from . import fingerprint, progress
from .errors import RestoreError
from .ranks import Found, Ranks
from .settings import Settings
from .state import Entry
from .store import Store

log = logging.getLogger(__package__)


@dataclass
class Inheritance:
    """The objects are restored already; the random state is for the first step."""

    step: int = 0
    random: Any = None
    complete: dict[str, Any] | None = None
    interruptions: int = 0
    exposure: float = 0.0  # how many interruptions the prior had expected of earlier attempts


def resume(
    store: Store,
    ranks: Ranks,
    entries: Sequence[Entry],
    configuration: dict[str, Any] | None,
    settings: Settings,
) -> Inheritance:
    """Restores the newest whole checkpoint, if there is one."""
    before = progress.read(settings.folder / progress.PROGRESS)
    complete = progress.read(settings.folder / progress.COMPLETE)
    inherited = Inheritance()
    found = ranks.find(store)
    if found is not None:
        _check(found, entries, configuration, settings.allow_changes)
        inherited.random = found.restore(entries)
        inherited.step = found.manifest.step
        log.info("Resumed at step %d from %s", found.manifest.step, found.name)
    elif store.names():
        log.error("No checkpoint in %s is whole: starting from step 0", settings.folder)
    done = complete is not None and found is not None and complete["step"] == inherited.step
    if ranks.all(done):
        inherited.complete = complete
        log.info("The work was finished at step %d: nothing to do", inherited.step)
    elif complete is not None:
        _forget(settings.folder / progress.COMPLETE, complete["step"], inherited.step)
    _count(inherited, found, before)
    return inherited


def _check(found: Found, entries: Sequence[Entry], configuration: dict[str, Any] | None, allow: str) -> None:
    allowed = fingerprint.check(
        found.manifest.configuration, configuration, allow=allow, checkpoint=str(found.name)
    )
    if allowed:
        log.warning("%s had another configuration: %s", found.name, "; ".join(allowed))
    saved, now = set(found.names()), {entry.name for entry in entries}
    if saved != now:
        raise RestoreError(
            f"{found.name} holds {sorted(saved)}, and the state has {sorted(now)}: both must name"
            " the same objects"
        )


def _forget(path: Path, finished: Any, step: int) -> None:
    log.warning(
        "complete.json says step %s, and the newest whole checkpoint is of step %d: the steps"
        " between are done again",
        finished,
        step,
    )
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        log.warning("%s cannot be removed: %s", path, error)


def _count(inherited: Inheritance, found: Found | None, before: dict[str, Any] | None) -> None:
    """Every start after the first, while the work is unfinished, follows an interruption."""
    history = found.manifest.history if found else {}
    counts = [int(history.get("interruptions", 0))] if found else []
    counts += [int(before.get("interruptions") or 0)] if before else []
    inherited.exposure = float(history.get("exposure", 0.0))
    inherited.interruptions = max(counts, default=0)
    if counts and inherited.complete is None:
        inherited.interruptions += 1
