"""progress.json and complete.json: how far the work is, for whoever watches from outside."""

from __future__ import annotations

import json
import logging
import math
import os
import threading
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

log = logging.getLogger(__package__)

PROGRESS, COMPLETE = "progress.json", "complete.json"
FORMAT = 1
PAUSE = 0.25  # seconds between two writes: a few times a second is enough for a live view


@dataclass
class Progress:
    """Steps are numbers of finished steps; None stands for what is not known."""

    step: int = 0
    saved_step: int = 0
    resumed_step: int = 0
    total: int | None = None
    fraction: float | None = None
    seconds_left: float | None = None
    stall_seconds: float | None = None
    latency_seconds: float | None = None
    interruptions: int = 0
    metrics: dict[str, Any] = field(default_factory=dict)
    time: float = 0.0
    format: int = FORMAT

    def now(self, age: float) -> Progress:
        """A copy that says how things stand, `age` seconds after this attempt began."""
        now = replace(self, metrics=numbers(self.metrics), time=time.time())
        if now.total:
            now.fraction = min(now.step / now.total, 1.0)
            done = now.step - now.resumed_step
            if done > 0:
                now.seconds_left = max(now.total - now.step, 0) * age / done
        return now

    def to_bytes(self) -> bytes:
        """The progress as JSON."""
        content = asdict(self)
        return json.dumps({"format": content.pop("format"), **content}).encode()


def read(path: Path) -> dict[str, Any] | None:
    """What a progress file says, or None where there is none or it was cut."""
    try:
        content = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return None
    return content if isinstance(content, dict) and "step" in content else None


def write(path: Path, progress: Progress, *, sync: bool) -> None:
    """Replaces the file in one go; with `sync` it is on the disk afterwards."""
    new = path.with_name(f"{path.name}.new")
    with new.open("wb") as file:
        file.write(progress.to_bytes())
        if sync:
            file.flush()
            os.fsync(file.fileno())
    new.replace(path)


class ProgressWriter:
    """Writes the newest progress from a thread of its own, so that a slow disk costs no step."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / PROGRESS
        self._changed = threading.Condition()
        self._newest: Progress | None = None
        self._closed = False
        self._failed = False
        self._thread = threading.Thread(target=self._run, name="progress", daemon=True)
        self._thread.start()

    def put(self, progress: Progress) -> None:
        """Hands over what is to be written; older values not yet written are dropped."""
        with self._changed:
            self._newest = progress
            self._changed.notify()

    def close(self) -> None:
        """Writes the last value and ends; waits a few seconds at most for a disk that hangs."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._thread.join(5)

    def _run(self) -> None:
        last = -math.inf
        while True:
            with self._changed:
                while not self._closed and self._newest is None:
                    self._changed.wait()
                pause = last + PAUSE - time.monotonic()
                if not self._closed and pause > 0:
                    self._changed.wait(pause)
                    continue
                newest, self._newest = self._newest, None
                if newest is None and self._closed:
                    return
            if newest is not None:
                last = time.monotonic()
                self._write(newest)

    def _write(self, progress: Progress) -> None:
        try:
            write(self._path, progress, sync=False)
            self._failed = False
        except OSError as error:
            if not self._failed:  # once, not four times a second
                log.warning("progress.json cannot be written: %s", error)
            self._failed = True


def numbers(metrics: Mapping[str, Any]) -> dict[str, Any]:
    """Metrics as JSON can hold them; what it has no number for (NaN, infinity) is None."""
    return {name: _number(value) for name, value in metrics.items()}


def _number(value: Any) -> Any:
    if isinstance(value, bool | int | str) or value is None:
        return value
    try:
        number = float(value)
    except (TypeError, ValueError):
        return str(value)
    return number if math.isfinite(number) else None
