"""SIGTERM as a flag: the training loop looks at it between two steps."""

from __future__ import annotations

import logging
import os
import signal
import threading
import time
from collections.abc import Callable
from types import FrameType
from typing import Any

log = logging.getLogger(__package__)

DEFAULT_GRACE = 120.0  # SageMaker: SIGTERM, 120 s, SIGKILL


class StopSignal:
    """Says whether, and how long ago, this process was asked to stop."""

    def __init__(self, grace: float, clock: Callable[[], float] = time.monotonic) -> None:
        self.grace = grace
        self._clock = clock
        self._asked_at: float | None = None
        self._owner = os.getpid()
        self._previous: Any = None
        self._installed = False

    @property
    def asked(self) -> bool:
        """True once a stop was asked for."""
        return self._asked_at is not None

    def grace_left(self) -> float:
        """Seconds until SIGKILL, as far as known."""
        if self._asked_at is None:
            return self.grace
        return self.grace - (self._clock() - self._asked_at)

    def ask(self) -> None:
        """Asks for a stop; asking again changes nothing."""
        if self._asked_at is None:
            self._asked_at = self._clock()

    def install(self) -> None:
        """Handles SIGTERM from now on; only the main thread may do that."""
        if threading.current_thread() is not threading.main_thread():
            log.warning(
                "SIGTERM is not handled, because the Checkpointer was entered outside the main"
                " thread: a stop costs the work since the last save. Enter it in the main thread."
            )
            return
        self._owner = os.getpid()
        self._previous = signal.signal(signal.SIGTERM, self._handle)
        self._installed = True

    def remove(self, *, ending: bool = False) -> None:
        """Gives the signal back to whom it belonged before.

        Where the process is `ending` because of it, it is ignored from now on: a second SIGTERM
        while the interpreter shuts down would turn exit code 143 into a death by signal.
        """
        if self._installed and os.getpid() == self._owner:
            after = signal.SIG_IGN if ending else self._previous or signal.SIG_DFL
            signal.signal(signal.SIGTERM, after)
            self._installed = False

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if os.getpid() == self._owner:
            self.ask()
            return
        # A data-loader worker, forked after the handler was installed, is ended by SIGTERM:
        # swallowing it would leave the worker, and with it the job, hanging.
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGTERM)
