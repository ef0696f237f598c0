"""The Checkpointer: a training loop that can be killed at any moment, and goes on.

    with Checkpointer({"model": model, "optimizer": optimizer}) as checkpoints:
        for step in checkpoints.steps(10_000):
            checkpoints.report(loss=train_one(step))

Entering restores the objects in place from the newest whole checkpoint. Between two steps the
loop looks whether SIGTERM came or a save is due. Leaving normally (also by `break`) makes the
last checkpoint and complete.json; leaving by an exception makes neither.
"""

from __future__ import annotations

import logging
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from . import fingerprint
from .errors import Stopped, UnsupportedStateError
from .interval import Interval
from .loop import Loop, Steps
from .manifest import Manifest
from .progress import Progress
from .ranks import Alone, Ranks
from .reporting import Reporter
from .resuming import Inheritance, resume
from .saving import Saver
from .settings import from_environment
from .signals import StopSignal
from .snapshot import RANDOM
from .state import entry
from .store import Name, Store

log = logging.getLogger(__package__)


class Checkpointer:
    """Saves and restores the objects of one training; see the module for its use.

    Arguments not given come from the environment: SAGEMAKER_BASE_DIR, RELAY_CHECKPOINT_KEEP,
    RELAY_CHECKPOINT_SHORTEST and _LONGEST (seconds), RELAY_STOP_GRACE (seconds),
    RELAY_INTERRUPTION_PRIOR (see interval.Prior), RELAY_CHECKPOINT_ALLOW_CHANGES.

    state: name -> object. What has state_dict/load_state_dict, get_state/set_state or
        getstate/setstate is saved and restored through them; dict, list, set, deque, bytearray,
        array, numpy array and generator, torch tensor, and objects with attributes are restored
        in place: the object stays, its contents are replaced. A number or a text cannot change
        in place, so keep it in a dict: {"best": {"accuracy": 0.0}}.
    configuration: what the work depends on; by default the job's hyperparameters.
    asynchronous: False makes every save wait for the disk.
    clock: seconds, monotonic; for tests.
    """

    def __init__(
        self,
        state: Mapping[str, Any],
        *,
        folder: str | os.PathLike[str] | None = None,
        keep: int | None = None,
        shortest: float | None = None,
        longest: float | None = None,
        grace: float | None = None,
        configuration: Mapping[str, Any] | None = None,
        allow_changes: str | None = None,
        asynchronous: bool = True,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._settings = from_environment(
            folder=folder,
            keep=keep,
            shortest=shortest,
            longest=longest,
            grace=grace,
            allow_changes=allow_changes,
        )
        if RANDOM in state:
            raise UnsupportedStateError(f"the name {RANDOM!r} is taken: the random state is ours")
        self._entries = [entry(str(name), target) for name, target in state.items()]
        given = configuration
        if given is None:
            given = fingerprint.from_hyperparameters(self._settings.base)
        self._configuration = fingerprint.normal(given) if given is not None else None
        self._asynchronous = asynchronous
        self._clock = clock
        self._stop = StopSignal(self._settings.grace, clock)
        self._progress = Progress()

    @property
    def step(self) -> int:
        """How many steps are finished."""
        return self._progress.step

    @property
    def resumed(self) -> bool:
        """True where the objects come from a checkpoint."""
        return self._progress.resumed_step > 0

    @property
    def stopping(self) -> bool:
        """True once this process was asked to stop; steps() ends at the next boundary."""
        return self._stop.asked

    @property
    def saving(self) -> bool:
        """True while a save is in flight."""
        return self._saver.busy

    @property
    def complete(self) -> bool:
        """True where an earlier attempt finished the work: steps() yields nothing."""
        return self._loop.complete is not None

    def __enter__(self) -> Checkpointer:
        show_messages()
        settings = self._settings
        self._stop.install()
        try:
            self._ranks = _ranks(settings.folder)
            store = Store(
                settings.folder,
                keep=settings.keep,
                rank=None if isinstance(self._ranks, Alone) else self._ranks.rank,
                prunes=self._ranks.prunes,
            )
            store.prepare()
            self._take_over(store)
        except BaseException:
            self._stop.remove()
            raise
        self._reporter.show(now=True)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        ending = isinstance(error, Stopped)
        orderly = ending
        try:
            if error is None:
                self._loop.finish()
                orderly = True
        except Stopped:
            ending = orderly = True
            raise
        finally:
            left = max(self._stop.grace_left(), 0.0) if self._stop.asked else None
            self._saver.collect(left)
            self._reporter.close(complete=self._loop.complete is not None)
            self._stop.remove(ending=ending)
            if orderly and not self.saving:  # after other errors ranks are on their own
                self._ranks.close()

    def steps(self, total: int | None = None) -> Iterator[int]:
        """The numbers of the steps that are still to be done, up to total (None: endless).

        Called again with a larger total it goes on, so that a training can have phases. Raises
        Stopped (a SystemExit with code 143) between two steps once the process must stop.
        """
        return Steps(self._loop, total)

    def report(self, **metrics: Any) -> None:
        """Says how the step went: progress.json, and a metric line at most once a second."""
        self._reporter.metrics(self._progress.step + self._loop.running, metrics)

    def save(self, *, wait: bool = False) -> None:
        """Saves now, unless a save is still in flight and `wait` is not set.

        Call it between two steps only. On several ranks, every rank must call it.
        """
        self._loop.save(wait=wait)

    def _take_over(self, store: Store) -> None:
        """Restores what earlier attempts left, and makes what this one saves and speaks by."""
        settings = self._settings
        inherited = resume(store, self._ranks, self._entries, self._configuration, settings)
        self._progress.step = self._progress.resumed_step = inherited.step
        self._progress.interruptions = inherited.interruptions
        self._saver = self._saver_for(store, inherited)
        self._reporter = Reporter(
            settings.folder,
            self._progress,
            saver=self._saver,
            clock=self._clock,
            speaks=self._ranks.rank == 0,
        )
        self._loop = Loop(
            self._progress,
            inherited,
            saver=self._saver,
            ranks=self._ranks,
            store=store,
            stop=self._stop,
            reporter=self._reporter,
            clock=self._clock,
        )

    def _saver_for(self, store: Store, inherited: Inheritance) -> Saver:
        settings = self._settings
        interval = Interval(
            settings.shortest,
            settings.longest,
            settings.prior,
            seen=inherited.interruptions,
            exposure=inherited.exposure,
        )
        sharded = self._ranks.sharded(self._entries)

        def describe(name: Name) -> Manifest:
            expected = inherited.exposure + settings.prior.expected(self._saver.age())
            history = {"interruptions": inherited.interruptions, "exposure": expected}
            return Manifest(
                step=name.step,
                time=name.time,
                rank=self._ranks.rank,
                world_size=self._ranks.world_size,
                sharded=sharded,
                configuration=self._configuration,
                history=history,
            )

        saver = Saver(
            self._entries,
            store=store,
            ranks=self._ranks,
            interval=interval,
            describe=describe,
            asynchronous=self._asynchronous,
            clock=self._clock,
        )
        saver.saved_step = inherited.step
        return saver


def _ranks(folder: Path) -> Ranks:
    """Several ranks where torch.distributed was initialised before the Checkpointer is entered."""
    torch = sys.modules.get("torch")
    if torch is not None and torch.distributed.is_available() and torch.distributed.is_initialized():
        from .torch_distributed import TorchRanks

        return TorchRanks(folder)
    return Alone()


def show_messages() -> None:
    """Warnings about skipped checkpoints must be seen, also where nobody set logging up."""
    if not log.hasHandlers():
        handler = logging.StreamHandler()
        handler.setFormatter(logging.Formatter("checkpointing: %(levelname)s: %(message)s"))
        log.addHandler(handler)
        log.setLevel(logging.INFO)
