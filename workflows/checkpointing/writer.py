"""One thread that writes, one save in flight."""

from __future__ import annotations

import contextlib
import logging
import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

log = logging.getLogger(__package__)

# Hashing should not take the processor from training; Linux knows niceness per thread. 5 is a
# third of the usual share: enough for the save to get on where data loaders keep every core busy.
_NICENESS = 5


@dataclass
class Outcome:
    """How a save ended: `seconds` from the request to the published checkpoint."""

    step: int
    seconds: float
    error: BaseException | None = None


class Writer:
    """Runs one job at a time in a thread of its own; what it raises is an outcome, not a crash."""

    def __init__(self) -> None:
        self._thread: threading.Thread | None = None
        self._outcome: Outcome | None = None

    @property
    def busy(self) -> bool:
        """True while a save is in flight."""
        return self._thread is not None and self._thread.is_alive()

    def start(self, step: int, job: Callable[[], None], *, background: bool) -> None:
        """Runs the job; the one before it must have been collected."""
        if self._thread is not None or self._outcome is not None:
            raise RuntimeError("one save at a time: collect the last one first")
        if not background:
            self._run(step, job, time.monotonic())
            return
        arguments = (step, job, time.monotonic(), True)
        self._thread = threading.Thread(target=self._run, args=arguments, name="checkpoint", daemon=True)
        self._thread.start()

    def collect(self, timeout: float | None = 0.0) -> Outcome | None:
        """The outcome of the job, waiting for it as long as said (None: to its end)."""
        if self._thread is not None:
            self._thread.join(timeout)
            if self._thread.is_alive():
                return None
            self._thread = None
        outcome, self._outcome = self._outcome, None
        return outcome

    def _run(self, step: int, job: Callable[[], None], since: float, nice: bool = False) -> None:
        if nice:
            with contextlib.suppress(OSError, AttributeError):
                os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICENESS)
        try:
            job()
        except Exception as error:
            log.error(
                "The checkpoint of step %d failed: %s: %s; training goes on, and the next"
                " save is due at once",
                step,
                type(error).__name__,
                error,
            )
            self._outcome = Outcome(step, time.monotonic() - since, error)
        else:
            self._outcome = Outcome(step, time.monotonic() - since)
