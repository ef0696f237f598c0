"""What an attempt says of itself: progress.json, metric lines, and complete.json at the end."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from . import progress
from .progress import Progress, ProgressWriter
from .saving import Saver

log = logging.getLogger(__package__)

_LINE_PAUSE = 1.0  # seconds between two metric lines: every line is billed by CloudWatch


class Reporter:
    """Speaks for all ranks, so on rank 0 alone: `speaks` is False on the others."""

    def __init__(
        self,
        folder: Path,
        progress: Progress,
        *,
        saver: Saver,
        clock: Callable[[], float],
        speaks: bool,
    ) -> None:
        self._folder = folder
        self._progress = progress
        self._saver = saver
        self._clock = clock
        self._speaks = speaks
        self._writer = ProgressWriter(folder) if speaks else None
        self._last_line = self._last_shown = -math.inf

    def metrics(self, step: int, metrics: Mapping[str, Any]) -> None:
        """Takes in how a step went; prints it at most once a second."""
        self._progress.metrics.update(metrics)
        now = self._clock()
        if now - self._last_line >= _LINE_PAUSE:
            self._last_line = now
            self.print_line(step)
        self.show()

    def show(self, *, now: bool = False) -> None:
        """Hands progress to its writer: at most a few times a second, unless something happened."""
        time_now = self._clock()
        if self._writer is not None and (now or time_now - self._last_shown >= progress.PAUSE):
            self._last_shown = time_now
            self._writer.put(self._now())

    def print_line(self, step: int) -> None:
        """One line of the metrics, for CloudWatch to find them in."""
        if self._speaks and self._progress.metrics:
            metrics = progress.numbers(self._progress.metrics)
            values = " ".join(f"{name}={value}" for name, value in metrics.items())
            print(f"step={step} total={self._progress.total} {values}", flush=True)

    def close(self, *, complete: bool) -> None:
        """The last progress, and complete.json where the work is done."""
        self.show(now=True)
        if self._writer is not None:
            self._writer.close()
            if complete:
                self._write_complete()

    def _now(self) -> Progress:
        self._progress.saved_step = self._saver.saved_step
        self._progress.stall_seconds = self._saver.stall
        self._progress.latency_seconds = self._saver.latency
        return self._progress.now(self._saver.age())

    def _write_complete(self) -> None:
        path = self._folder / progress.COMPLETE
        if path.exists():
            return
        try:
            progress.write(path, self._now(), sync=True)
        except OSError as error:
            log.error("complete.json cannot be written (%s): the work will be taken for unfinished", error)
