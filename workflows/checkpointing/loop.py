"""The steps of one attempt, and what happens between two of them.

the ranks agree -> one must stop: save if there is time, and end with 143
                -> a save is due: begin it; the next step runs beside it
                -> the number of the next step
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable

from . import random_state
from .errors import Stopped
from .progress import COMPLETE, Progress
from .ranks import Alone, Ranks, Vote
from .reporting import Reporter
from .resuming import Inheritance
from .saving import Saver
from .signals import StopSignal
from .store import Name, Store

log = logging.getLogger(__package__)

_LATE = 0.01  # seconds by which several ranks may notice a stop late, to ask each other less often


class Loop:
    """Hands out the steps that are still to be done."""

    def __init__(
        self,
        progress: Progress,
        inherited: Inheritance,
        *,
        saver: Saver,
        ranks: Ranks,
        store: Store,
        stop: StopSignal,
        reporter: Reporter,
        clock: Callable[[], float],
    ) -> None:
        self._progress = progress
        self._random = inherited.random
        self._saver = saver
        self._ranks = ranks
        self._store = store
        self._stop = stop
        self._reporter = reporter
        self._clock = clock
        self.complete = inherited.complete
        self.running = False  # a step was handed out and is being worked on
        self._exhausted = False  # it came to its end by itself
        self._pause = 0  # steps until the ranks ask each other again
        self._voted = (0, 0.0)  # when they last did: step and clock

    @property
    def step(self) -> int:
        """How many steps are finished."""
        return self._progress.step

    def next(self, total: int | None) -> int:
        """The number of the next step, up to total; raises StopIteration, or Stopped."""
        if self._random is not None:
            # Here and not at the start: what the script draws before its loop, it draws again.
            state, self._random = self._random, None
            random_state.restore(state)
        if total is not None:
            self._progress.total = max(total, self._progress.total or 0)
        if self.running:
            self.running = False
            self._progress.step += 1
            self._boundary(total)
        if self.complete is not None and self._outlived(total):
            self.complete = None
        if self.complete is not None or (total is not None and self.step >= total):
            self._exhausted = True
            raise StopIteration
        if self._stop.asked and isinstance(self._ranks, Alone):
            self._stop_now(self._agree())  # asked before the first step of this attempt
        self._exhausted = False
        self.running = True
        return self.step

    def save(self, *, wait: bool) -> None:
        """Saves now, unless a save is still in flight and `wait` is not set."""
        agreed = self._agree()
        if wait or not agreed.busy:
            self._saver.begin(Name(self.step, agreed.time), wait=wait)

    def finish(self) -> None:
        """The end of a with-block that no exception ended: the last checkpoint is made."""
        if self.complete is not None:
            return
        if self.running:  # left by `break`: the step it happened in is done
            self.running = False
            self._progress.step += 1
        self._saver.collect(None)
        agreed = self._agree()
        if agreed.stop and not self._exhausted:
            self._stop_now(agreed)
        if self._saver.saved_step != self.step or self.step == 0:
            self._saver.begin(Name(self.step, agreed.time), wait=True)
            self._agree()
        if not isinstance(self._ranks, Alone):
            self._saver.tidy()
        self._reporter.print_line(self.step)
        self.complete = {"step": self.step}

    def _outlived(self, total: int | None) -> bool:
        """A finished training whose total was raised goes on."""
        before = self.complete.get("total") if self.complete else None
        if self.complete is None or total is None or before is None or before >= total:
            return False
        if self.complete["step"] != before:
            return False  # it ended early by its own decision
        with contextlib.suppress(OSError):
            (self._store.folder / COMPLETE).unlink(missing_ok=True)
        return True

    def _boundary(self, total: int | None) -> None:
        saved = self._saver.saved_step
        done = total is not None and self.step >= total
        if self._pause and not done:
            self._pause -= 1
            return
        agreed = self._agree()
        if done:
            # What follows the loop may change the objects: the last checkpoint is made before.
            self._saver.begin(Name(self.step, agreed.time))
        elif agreed.stop:
            self._stop_now(agreed)
        elif agreed.due and not agreed.busy:
            self._saver.begin(Name(self.step, agreed.time))
        self._reporter.show(now=self._saver.saved_step != saved)

    def _agree(self) -> Vote:
        """Takes in a save that has ended, and agrees with the other ranks on what is next."""
        saver = self._saver
        saver.collect()
        time_now, pause = self._store.new_time(), self._bearable_pause()
        vote = Vote(self._stop.asked, saver.due, saver.busy, time_now, saver.published, pause)
        agreed = self._ranks.agree(vote)
        self._pause = agreed.pause
        saver.agreed(agreed.published)
        if agreed.stop:
            self._stop.ask()
        return agreed

    def _bearable_pause(self) -> int:
        """How many steps fit into the time by which a stop or a save may come late."""
        if isinstance(self._ranks, Alone):
            return 0
        step, at = self._voted
        self._voted = self.step, self._clock()
        if self.step <= step:
            return 0
        each = max((self._clock() - at) / (self.step - step), 1e-6)
        return int(_LATE / each)

    def _stop_now(self, agreed: Vote) -> None:
        """Saves if that fits into the grace that is left, and ends the process with 143."""
        saver = self._saver
        saver.collect(max(self._stop.grace_left() - 1.0, 0.0))
        left, needed = self._stop.grace_left(), saver.expected_seconds()
        unsaved = self.step not in (self._progress.resumed_step, saver.saved_step)
        if not unsaved:
            log.info("Stopping at step %d, which is saved", self.step)
        elif self._ranks.all(not saver.busy and needed <= left):
            saver.begin(Name(self.step, agreed.time), wait=True)
            self._agree()
            log.info("Stopping at step %d; step %d is saved", self.step, saver.saved_step)
        else:
            log.warning(
                "Stopping at step %d without saving it: a save takes about %.1f s, and %.1f s are"
                " left; step %d is saved",
                self.step,
                needed,
                left,
                saver.saved_step,
            )
        raise Stopped


class Steps:
    """An iterator over a loop: a class, so that `break` and an exception can be told apart."""

    def __init__(self, loop: Loop, total: int | None) -> None:
        self._loop = loop
        self._total = total

    def __iter__(self) -> Steps:
        return self

    def __next__(self) -> int:
        return self._loop.next(self._total)
