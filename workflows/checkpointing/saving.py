"""Saves in flight: begun between two steps, finished by the writer, taken in between two others."""

from __future__ import annotations

import contextlib
import errno
import logging
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from . import manifest as manifests
from . import random_state
from .errors import CheckpointError, UnsupportedStateError
from .interval import Interval
from .manifest import Manifest
from .ranks import Alone, Ranks
from .state import Entry
from .store import Name, Store
from .writer import Outcome, Writer

log = logging.getLogger(__package__)

_SAFETY = 1.5  # a save at the stop is begun if 1.5 times its usual duration is left


class Saver:
    """One save at a time: when the next is due, what the last ones cost, which step is safe."""

    def __init__(
        self,
        entries: Sequence[Entry],
        *,
        store: Store,
        ranks: Ranks,
        interval: Interval,
        describe: Callable[[Name], Manifest],
        asynchronous: bool,
        clock: Callable[[], float],
    ) -> None:
        self._entries = entries
        self._store = store
        self._ranks = ranks
        self._interval = interval
        self._describe = describe
        self._asynchronous = asynchronous
        self._clock = clock
        self._writer = Writer()
        self._in_flight: Name | None = None
        self._published: Name | None = None
        self._failures = 0
        self._began = self._last = clock()
        self._wait = interval.seconds(0.0)
        self.saved_step = 0
        self.stall: float | None = None
        self.latency: float | None = None

    @property
    def busy(self) -> bool:
        """True while a save is in flight."""
        return self._writer.busy

    @property
    def due(self) -> bool:
        """True once it pays to save again."""
        return self._clock() - self._last >= self._wait and not self.busy

    @property
    def published(self) -> int:
        """The time in the name of this process's newest checkpoint; 0 for none."""
        return self._published.time if self._published else 0

    def age(self) -> float:
        """Seconds since this attempt began, which stands for the age of its instance."""
        return self._clock() - self._began

    def expected_seconds(self) -> float:
        """How long a save takes that is waited for, with some reserve."""
        return _SAFETY * ((self._interval.latency or 0.0) + (self._interval.stall or 0.0))

    def begin(self, name: Name, *, wait: bool = False) -> None:
        """Copies the state and hands it to the writer; with `wait`, until it is on the disk.

        Whatever fails, fails this save and not the training, on all ranks alike. Only a state that
        cannot be saved at all (UnsupportedStateError before any save succeeded) ends it: at once, and
        not after days without a checkpoint.
        """
        self.collect(None)
        self._last = began = self._clock()
        self._wait = math.inf  # until this one has ended
        self._in_flight = name
        write: Callable[[Path], dict[str, list[Any]]] | None = None
        problem: Exception | None = None
        try:
            write = self._ranks.take(self._entries, random_state.capture)
        except Exception as error:
            problem = error  # the writer reports it, to the other ranks too
        if isinstance(problem, UnsupportedStateError) and self._published is None:
            self._ranks.ready(False)  # the others are not left waiting
            raise problem
        background = self._asynchronous and not wait
        job = self._job(name, self._describe(name), write, problem)
        self._writer.start(name.step, job, background=background)
        if not wait:  # a save that is waited for says nothing about what the next ones cost
            self.stall = self._clock() - began
            self._interval.observe(stall=self.stall)
        if not background:
            self.collect(None)

    def collect(self, timeout: float | None = 0.0) -> None:
        """Takes in the save that has ended, waiting for it as long as said (None: to its end)."""
        outcome = self._writer.collect(timeout)
        if outcome is not None:
            self._note(outcome)

    def agreed(self, published: int) -> None:
        """Several ranks: a checkpoint is safe once every rank has published its part."""
        name = self._published
        if name is not None and name.time == published:
            self._store.good.add(name)
            self.saved_step = name.step

    def tidy(self) -> None:
        """Prunes once more at the end, now that the last checkpoint is known to be safe."""
        if not self.busy:
            self._store.prune()

    def _note(self, outcome: Outcome) -> None:
        if outcome.error is not None:
            # Due at once; if that fails too, pauses of 1, 2, 4 ... s keep a full disk from
            # costing a copy of the state at every step.
            pause = min(2.0 ** (self._failures - 1), self._interval.shortest)
            self._wait = self._clock() - self._last + pause if self._failures else 0.0
            self._failures += 1
            return
        self._failures = 0
        self.latency = outcome.seconds
        self._interval.observe(latency=outcome.seconds)
        self._wait = self._interval.seconds(self.age())
        self._published = self._in_flight
        if isinstance(self._ranks, Alone):
            self.saved_step = outcome.step

    def _job(
        self,
        name: Name,
        manifest: Manifest,
        write: Callable[[Path], dict[str, list[Any]]] | None,
        problem: Exception | None,
    ) -> Callable[[], None]:
        """What the writer's thread does. On several ranks it cannot know whether the others have
        published too, so there it prunes by what was agreed before."""
        store, ranks, alone = self._store, self._ranks, isinstance(self._ranks, Alone)
        agreed = None if alone else set(store.good)

        def save() -> None:
            with contextlib.ExitStack() as stack:
                folder, trouble = None, problem
                try:
                    folder = stack.enter_context(store.partial(name))
                except OSError as error:
                    trouble = trouble or error
                # A rank that cannot write must say so before the others wait for it in a collective.
                together = ranks.ready(trouble is None)
                if trouble is not None:
                    raise trouble
                if not together or folder is None or write is None:
                    raise CheckpointError("another rank cannot write")
                manifest.files = write(folder)
                manifests.write(folder, manifest)
                store.publish(folder, name)

        def job() -> None:
            try:
                save()
            except OSError as error:
                if error.errno in (errno.ENOSPC, errno.EDQUOT):
                    store.prune(agreed, as_few_as_possible=True)
                raise
            if alone:
                store.good.add(name)
            with contextlib.suppress(OSError):
                store.prune(agreed)

        return job
