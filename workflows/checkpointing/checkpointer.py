"""The Checkpointer: a training loop that can be killed at any moment, and goes on.

    with Checkpointer({"model": model, "optimizer": optimizer}) as checkpoints:
        for step in checkpoints.steps(10_000):
            checkpoints.report(loss=train_one(step))

Entering restores the objects in place from the newest whole checkpoint. Between two steps the
loop looks whether SIGTERM came or a save is due. Leaving normally (also by `break`) makes the
last checkpoint and complete.json; leaving by an exception makes neither.
"""

from __future__ import annotations

import copy
import logging
import math
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from types import TracebackType
from typing import Any

from . import fingerprint, progress, random_state
from . import manifest as manifests
from .errors import CheckpointError, RestoreError, Stopped, UnsupportedStateError
from .interval import Interval
from .manifest import Manifest
from .progress import Progress, ProgressWriter
from .ranks import Alone, Found, Ranks, Vote
from .settings import from_environment
from .signals import StopSignal
from .snapshot import RANDOM
from .state import entry
from .store import Name, Store
from .writer import Outcome, Writer

log = logging.getLogger(__package__)

_SAFETY = 1.5  # a save at the stop is begun if 1.5 times its usual duration is left
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
        self._interval = Interval(self._settings.shortest, self._settings.longest, self._settings.prior)
        self._stop = StopSignal(self._settings.grace, clock)
        self._writer = Writer()
        self._progress = Progress()
        self._random: Any = None
        self._running = False
        self._exhausted = False
        self._complete: dict[str, Any] | None = None
        self._failures = 0
        self._published = 0
        self._last_line = -math.inf
        self._past_exposure = 0.0

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
    def complete(self) -> bool:
        """True where an earlier attempt finished the work: steps() yields nothing."""
        return self._complete is not None

    def __enter__(self) -> Checkpointer:
        _show_messages()
        self._ranks = _ranks()
        self._store = Store(
            self._settings.folder,
            keep=self._settings.keep,
            rank=self._ranks.rank,
            world_size=self._ranks.world_size,
            prunes=self._ranks.prunes,
        )
        self._stop.install()
        try:
            self._store.prepare()
            self._resume()
        except BaseException:
            self._stop.remove()
            raise
        self._began = self._last_save = self._clock()
        self._wait = self._interval.seconds(self._age())
        self._watcher = ProgressWriter(self._settings.folder) if self._ranks.rank == 0 else None
        self._show_progress()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            if error is None:
                self._finish()
        finally:
            left = None if not self._stop.asked else max(self._stop.grace_left(), 0.0)
            self._take_in(self._writer.collect(left))
            self._show_progress()
            if self._watcher is not None:
                self._watcher.close()
                if self._complete is not None:
                    self._write_complete()
            self._stop.remove()

    def steps(self, total: int | None = None) -> Iterator[int]:
        """The numbers of the steps that are still to be done, up to total (None: endless).

        Called again with a larger total it goes on, so that a training can have phases. Raises
        Stopped (a SystemExit with code 143) between two steps once the process must stop.
        """
        return _Steps(self, total)

    def report(self, **metrics: Any) -> None:
        """Says how the step went: progress.json, and a metric line at most once a second."""
        self._progress.metrics.update(metrics)
        self._show_progress()
        now = self._clock()
        if now - self._last_line >= _LINE_PAUSE:
            self._last_line = now
            self._print_line(self._progress.step + self._running)

    def save(self, *, wait: bool = False) -> None:
        """Saves now, unless a save is still in flight and `wait` is not set.

        Call it between two steps only. On several ranks, every rank must call it.
        """
        self._take_in(self._writer.collect(None if wait else 0.0))
        if self._writer.busy:
            return
        agreed = self._ranks.agree(self._vote())
        self._begin_save(Name(self.step, agreed.time), background=self._asynchronous and not wait)
        if wait:
            self._take_in(self._writer.collect(None))

    # The loop: called by _Steps.

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
        if self._stop.asked and self._ranks.world_size == 1:
            self._stop_now()  # asked before the first step of this attempt
        self._exhausted = False
        self._running = True
        return self.step

    def _outlived(self, total: int | None) -> bool:
        """A finished training whose total was raised goes on."""
        assert self._complete is not None
        before = self._complete.get("total")
        return (
            total is not None and before is not None and before < total and (self._complete["step"] == before)
        )

    def _boundary(self, total: int | None) -> None:
        self._take_in(self._writer.collect())
        agreed = self._ranks.agree(self._vote())
        self._store_agreed(agreed)
        done = total is not None and self.step >= total
        if done:
            # What follows the loop may change the objects: the last checkpoint is made before.
            self._save_at(agreed, wait=False)
        elif agreed.stop:
            self._stop_now(agreed)
        elif agreed.due and not self._writer.busy:
            self._save_at(agreed, wait=False)
        self._show_progress()

    def _vote(self) -> Vote:
        waited = self._clock() - self._last_save
        due = waited >= self._wait and not self._writer.busy
        return Vote(self._stop.asked, due, self._store.new_name(self.step).time, self._published)

    def _save_at(self, agreed: Vote, *, wait: bool) -> None:
        if self._writer.busy:
            self._take_in(self._writer.collect(None))
        self._begin_save(Name(self.step, agreed.time), background=self._asynchronous and not wait)
        if wait or not self._asynchronous:
            self._take_in(self._writer.collect(None))

    def _stop_now(self, agreed: Vote | None = None) -> None:
        """Saves if it fits into the grace that is left, and ends the process with 143."""
        left = self._stop.grace_left()
        self._take_in(self._writer.collect(max(left, 0.0)))
        left = self._stop.grace_left()
        needed = _SAFETY * ((self._interval.latency or 0.0) + (self._interval.stall or 0.0))
        if self._progress.saved_step == self.step and self.step > 0:
            log.info("Stopping at step %d, which is saved", self.step)
        elif self.step == self._progress.resumed_step:
            log.info("Stopping at step %d, where this attempt began", self.step)
        elif self._writer.busy or needed > left:
            log.warning(
                "Stopping at step %d without saving it: a save takes about %.1f s, and"
                " %.1f s are left; step %d is saved",
                self.step,
                needed,
                left,
                self._progress.saved_step,
            )
        else:
            self._save_at(agreed or self._ranks.agree(self._vote()), wait=True)
            log.info("Stopping at step %d; step %d is saved", self.step, self._progress.saved_step)
        raise Stopped

    # Saving.

    def _begin_save(self, name: Name, *, background: bool) -> None:
        began = self._clock()
        try:
            write = self._ranks.take(self._entries, random_state.capture)
        except (OSError, MemoryError) as error:
            log.error(
                "The state of step %d cannot be copied: %s: %s; training goes on",
                name.step,
                type(error).__name__,
                error,
            )
            self._take_in(Outcome(name.step, 0.0, error))
            return
        manifest = Manifest(
            step=name.step,
            time=name.time,
            rank=self._ranks.rank,
            world_size=self._ranks.world_size,
            configuration=self._configuration,
            history=self._history(),
        )
        store, settings_good = self._store, frozenset(self._store.good)

        def job() -> None:
            with store.partial(name) as folder:
                manifest.files = write(folder)
                manifests.write(folder, manifest)
                store.publish(folder, name)
            if self._ranks.world_size == 1:
                store.good.add(name)
                store.prune()
            elif settings_good:
                store.prune(set(settings_good))

        self._last_save = began
        self._wait = math.inf  # until this one has ended
        self._in_flight = name
        self._writer.start(name.step, job, background=background)
        stall = self._clock() - began
        self._interval.observe(stall=stall)
        self._progress.stall_seconds = stall

    def _history(self) -> dict[str, Any]:
        exposure = self._past_exposure + self._settings.prior.expected(self._age())
        return {"interruptions": self._progress.interruptions, "exposure": exposure}

    def _take_in(self, outcome: Outcome | None) -> None:
        if outcome is None:
            return
        if outcome.error is not None:
            # Due at once; if that fails too, pauses of 1, 2, 4 ... s keep a full disk from
            # costing a copy of the state at every step.
            self._wait = 0.0
            if self._failures:
                pause = min(2.0 ** (self._failures - 1), self._settings.shortest)
                self._wait = self._clock() - self._last_save + pause
            self._failures += 1
            return
        self._failures = 0
        self._interval.observe(latency=outcome.seconds)
        self._progress.latency_seconds = outcome.seconds
        self._progress.saved_step = outcome.step
        self._published = self._in_flight.time
        self._wait = self._interval.seconds(self._age())

    def _store_agreed(self, agreed: Vote) -> None:
        """On several ranks a checkpoint is good once every rank has published its part."""
        if self._ranks.world_size > 1 and agreed.published:
            self._store.good |= {n for n in self._store.names() if n.time == agreed.published}

    def _finish(self) -> None:
        """The end of a with-block that no exception ended."""
        if self._complete is not None:
            return
        if self._running:  # left by `break`: the step it happened in is done
            self._running = False
            self._progress.step += 1
        if not self._exhausted and self._stop.asked:
            self._stop_now()
        self._take_in(self._writer.collect(None))
        if self._progress.saved_step != self.step or self.step == 0:
            self._save_at(self._ranks.agree(self._vote()), wait=True)
        self._print_line(self.step)
        self._show_progress()
        self._complete = vars(self._progress)

    def _write_complete(self) -> None:
        path = self._settings.folder / progress.COMPLETE
        if path.exists():
            return
        try:
            progress.write(path, self._now(), sync=True)
        except OSError as error:
            log.error("complete.json cannot be written: %s; the work will be taken for unfinished", error)

    # Resuming.

    def _resume(self) -> None:
        folder = self._settings.folder
        before = progress.read(folder / progress.PROGRESS)
        complete = progress.read(folder / progress.COMPLETE)
        found = self._ranks.find(self._store)
        if found is not None:
            self._restore(found)
        elif self._store.names():
            log.error("No checkpoint in %s is whole: starting from step 0", folder)
        if complete is not None and found is not None and complete["step"] == self.step:
            self._complete = complete
            log.info("The work was finished at step %d: nothing to do", self.step)
        elif complete is not None:
            log.warning(
                "complete.json says step %s, and the newest whole checkpoint is of step"
                " %d: the steps between are done again",
                complete["step"],
                self.step,
            )
            (folder / progress.COMPLETE).unlink(missing_ok=True)
        self._count_interruptions(found, before)

    def _restore(self, found: Found) -> None:
        allowed = fingerprint.check(
            found.manifest.configuration,
            self._configuration,
            allow=self._settings.allow_changes,
            checkpoint=str(found.name),
        )
        if allowed:
            log.warning("Resuming %s with a changed configuration: %s", found.name, "; ".join(allowed))
        saved, now = set(found.names()), {entry.name for entry in self._entries}
        if saved != now:
            raise RestoreError(
                f"{found.name} holds {sorted(saved)}, and the state has {sorted(now)}: both must"
                " name the same objects"
            )
        self._random = found.restore(self._entries)
        self._progress.step = self._progress.resumed_step = found.manifest.step
        self._progress.saved_step = found.manifest.step
        log.info("Resumed at step %d from %s", found.manifest.step, found.name)

    def _count_interruptions(self, found: Found | None, before: dict[str, Any] | None) -> None:
        history = found.manifest.history if found else {}
        counts = [int(history.get("interruptions", 0))] if found else []
        counts += [int(before.get("interruptions") or 0)] if before else []
        self._past_exposure = float(history.get("exposure", 0.0))
        if self._complete is not None:
            self._progress.interruptions = max(counts, default=0)
        elif counts:
            self._progress.interruptions = max(counts) + 1
        self._interval.seen = self._progress.interruptions
        self._interval.exposure = self._past_exposure

    # Showing.

    def _age(self) -> float:
        """Seconds since this attempt began, which stands for the age of its instance."""
        return self._clock() - getattr(self, "_began", self._clock())

    def _now(self) -> Progress:
        now = copy.copy(self._progress)
        now.metrics = dict(now.metrics)
        now.time = time.time()
        if now.total:
            now.fraction = min(now.step / now.total, 1.0)
            done = now.step - now.resumed_step
            if done > 0:
                now.seconds_left = max(now.total - now.step, 0) * self._age() / done
        return now

    def _show_progress(self) -> None:
        if self._watcher is not None:
            self._watcher.put(self._now())

    def _print_line(self, step: int) -> None:
        if self._ranks.rank == 0 and self._progress.metrics:
            values = " ".join(f"{name}={value}" for name, value in self._progress.metrics.items())
            print(f"step={step} total={self._progress.total} {values}", flush=True)


class _Steps:
    """The iterator of steps(): a class, so that `break` and an exception can be told apart."""

    def __init__(self, checkpointer: Checkpointer, total: int | None) -> None:
        self._checkpointer = checkpointer
        self._total = total

    def __iter__(self) -> _Steps:
        return self

    def __next__(self) -> int:
        return self._checkpointer._next(self._total)


def _ranks() -> Ranks:
    """Several ranks where torch.distributed was initialised before the Checkpointer is entered."""
    torch = sys.modules.get("torch")
    if torch is not None and torch.distributed.is_available():
        distributed = torch.distributed
        if distributed.is_initialized() and distributed.get_world_size() > 1:
            raise CheckpointError("several ranks are not supported yet")
    return Alone()


def _show_messages() -> None:
    """Warnings about skipped checkpoints must be seen, also where nobody set logging up."""
    if not log.hasHandlers():
        handler = logging.StreamHandler()
        handler.setFormatter(logging.Formatter("checkpointing: %(levelname)s: %(message)s"))
        log.addHandler(handler)
        log.setLevel(logging.INFO)
