"""Tells whether a local world is open on a folder, and where it answers, by a small file beside its lock.

    <root>/lock       held (flock) by the process whose world is open, whatever command it came from
    <root>/up.json    written by `relay local up` alone: process, address, since when, speed

When the process is killed its file stays behind, but the kernel has released its lock: that tells.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
from dataclasses import asdict, dataclass
from pathlib import Path

FILE = "up.json"


@dataclass(frozen=True)
class Presence:
    """A world that answers; `since` is wall-clock time (ISO 8601), `speed` how fast waits pass."""

    pid: int
    address: str
    since: str
    speed: float

    @property
    def port(self) -> int:
        """The port of the address."""
        return int(self.address.rpartition(":")[2])


def announce(root: Path, presence: Presence) -> None:
    """Say that the world answers now; replaced whole, so nobody reads half of it."""
    partial = root / f"{FILE}.new"
    partial.write_text(json.dumps(asdict(presence)), "utf-8")
    partial.replace(root / FILE)


def withdraw(root: Path) -> None:
    """Say that the world answers no more."""
    (root / FILE).unlink(missing_ok=True)


def present(root: Path) -> Presence | None:
    """The world that is kept open on the folder, None when there is none (any more)."""
    found = told(root)
    return found if found and holder(root) == found.pid else None


def told(root: Path) -> Presence | None:
    """Reads the file, whose writer may be dead."""
    try:
        return Presence(**json.loads((root / FILE).read_text("utf-8")))
    except (OSError, ValueError, TypeError):
        return None


def holder(root: Path) -> int | None:
    """The process that holds the folder's lock, 0 when it does not say; None when nobody does."""
    try:
        with (root / "lock").open("r", encoding="ascii") as file:
            with contextlib.suppress(BlockingIOError):
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
                return None
            text = file.read().strip()
    except OSError:
        return None
    return int(text) if text.isdigit() else 0
