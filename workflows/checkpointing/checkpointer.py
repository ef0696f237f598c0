"""The Checkpointer: a training loop that can be killed at any moment, and goes on.

    with Checkpointer({"model": model, "optimizer": optimizer}) as checkpoints:
        for step in checkpoints.steps(10_000):
            checkpoints.report(loss=train_one(step))

Entering restores the objects in place from the newest whole checkpoint. Between two steps the
loop looks whether SIGTERM came or a save is due. Leaving normally (also by `break`) makes the
last checkpoint and complete.json; leaving by an exception makes neither.
"""

from __future__ import annotations

import contextlib
import logging
import math
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from . import fingerprint, progress, random_state
from .errors import Stopped, UnsupportedStateError
from .interval import Interval
from .manifest import Manifest
from .progress import Progress, ProgressWriter
from .ranks import Alone, Ranks, Vote
from .resuming import resume
from .saving import Saver
from .settings import from_environment
from .signals import StopSignal
from .snapshot import RANDOM
from .state import entry
from .store import Name, Store

log = logging.getLogger(__package__)

_LATE = 0.01  # seconds by which several ranks may notice a stop late, to ask each other less often
_LINE_PAUSE = 1.0  # seconds between two metric lines: every line is billed by CloudWatch


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
        self._random: Any = None
        self._running = False  # a step was handed out and is being worked on
        self._exhausted = False  # the loop came to its end by itself
        self._complete: dict[str, Any] | None = None
        self._pause = 0  # steps until the ranks ask each other again
        self._voted = (0, 0.0)  # when they last did: step and clock
        self._last_line = self._last_shown = -math.inf

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
        return self._complete is not None

    def __enter__(self) -> Checkpointer:
        show_messages()
        settings = self._settings
        self._stop.install()
        try:
            self._ranks = _ranks(settings.folder)
            self._store = Store(
                settings.folder,
                keep=settings.keep,
                rank=None if isinstance(self._ranks, Alone) else self._ranks.rank,
                prunes=self._ranks.prunes,
            )
            self._store.prepare()
            self._take_over()
        except BaseException:
            self._stop.remove()
            raise
        self._watcher = ProgressWriter(settings.folder) if self._ranks.rank == 0 else None
        self._show_progress(now=True)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        ending = isinstance(error, Stopped)
        try:
            if error is None and self._complete is None:
                self._finish()
        except Stopped:
            ending = True
            raise
        finally:
            left = max(self._stop.grace_left(), 0.0) if self._stop.asked else None
            self._saver.collect(left)
            self._show_progress(now=True)
            if self._watcher is not None:
                self._watcher.close()
                if self._complete is not None:
                    self._write_complete()
            self._stop.remove(ending=ending)
        if (error is None or ending) and not self.saving:  # after other errors ranks are on their own
            self._ranks.close()

    def steps(self, total: int | None = None) -> Iterator[int]:
        """The numbers of the steps that are still to be done, up to total (None: endless).

        Called again with a larger total it goes on, so that a training can have phases. Raises
        Stopped (a SystemExit with code 143) between two steps once the process must stop.
        """
        return _Steps(self, total)

    def report(self, **metrics: Any) -> None:
        """Says how the step went: progress.json, and a metric line at most once a second."""
        self._progress.metrics.update(metrics)
        now = self._clock()
        if now - self._last_line >= _LINE_PAUSE:
            self._last_line = now
            self._print_line(self._progress.step + self._running)
        self._show_progress()

    def save(self, *, wait: bool = False) -> None:
        """Saves now, unless a save is still in flight and `wait` is not set.

        Call it between two steps only. On several ranks, every rank must call it.
        """
        agreed = self._agree()
        if wait or not agreed.busy:
            self._saver.begin(Name(self.step, agreed.time), wait=wait)

    # The loop.

    def _next(self, total: int | None) -> int:
        if self._random is not None:
            # Here and not at the start: what the script draws before its loop, it draws again.
            state, self._random = self._random, None
            random_state.restore(state)
        if total is not None:
            self._progress.total = max(total, self._progress.total or 0)
        if self._running:
            self._running = False
            self._progress.step += 1
            self._boundary(total)
        if self._complete is not None and self._outlived(total):
            self._complete = None
        if self._complete is not None or (total is not None and self.step >= total):
            self._exhausted = True
            raise StopIteration
        if self._stop.asked and isinstance(self._ranks, Alone):
            self._stop_now(self._agree())  # asked before the first step of this attempt
        self._exhausted = False
        self._running = True
        return self.step

    def _outlived(self, total: int | None) -> bool:
        """A finished training whose total was raised goes on."""
        before = self._complete.get("total") if self._complete else None
        if self._complete is None or total is None or before is None or before >= total:
            return False
        if self._complete["step"] != before:
            return False  # it ended early by its own decision
        with contextlib.suppress(OSError):
            (self._settings.folder / progress.COMPLETE).unlink(missing_ok=True)
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
        self._show_progress(now=self._saver.saved_step != saved)

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

    def _finish(self) -> None:
        """The end of a with-block that no exception ended."""
        if self._running:  # left by `break`: the step it happened in is done
            self._running = False
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
        self._print_line(self.step)
        self._complete = {"step": self.step}

    # What was, and what is.

    def _take_over(self) -> None:
        settings = self._settings
        inherited = resume(self._store, self._ranks, self._entries, self._configuration, settings)
        self._random = inherited.random
        self._complete = inherited.complete
        self._progress.step = self._progress.resumed_step = inherited.step
        self._progress.interruptions = inherited.interruptions
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

        self._saver = Saver(
            self._entries,
            store=self._store,
            ranks=self._ranks,
            interval=interval,
            describe=describe,
            asynchronous=self._asynchronous,
            clock=self._clock,
        )
        self._saver.saved_step = inherited.step

    def _now(self) -> Progress:
        self._progress.saved_step = self._saver.saved_step
        self._progress.stall_seconds = self._saver.stall
        self._progress.latency_seconds = self._saver.latency
        return self._progress.now(self._saver.age())

    def _show_progress(self, *, now: bool = False) -> None:
        """Hands progress to its writer: at most a few times a second, unless something happened."""
        time_now = self._clock()
        if self._watcher is not None and (now or time_now - self._last_shown >= progress.PAUSE):
            self._last_shown = time_now
            self._watcher.put(self._now())

    def _print_line(self, step: int) -> None:
        if self._ranks.rank == 0 and self._progress.metrics:
            metrics = progress.numbers(self._progress.metrics)
            values = " ".join(f"{name}={value}" for name, value in metrics.items())
            print(f"step={step} total={self._progress.total} {values}", flush=True)

    def _write_complete(self) -> None:
        path = self._settings.folder / progress.COMPLETE
        if path.exists():
            return
        try:
            progress.write(path, self._now(), sync=True)
        except OSError as error:
            log.error("complete.json cannot be written (%s): the work will be taken for unfinished", error)


class _Steps:
    """The iterator of steps(): a class, so that `break` and an exception can be told apart."""

    def __init__(self, checkpointer: Checkpointer, total: int | None) -> None:
        self._checkpointer = checkpointer
        self._total = total

    def __iter__(self) -> _Steps:
        return self

    def __next__(self) -> int:
        return self._checkpointer._next(self._total)


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
