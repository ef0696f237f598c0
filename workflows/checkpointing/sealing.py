"""Checkpoints that a framework writes itself, sealed with a manifest and published like ours.

Hugging Face's Trainer and Lightning know best what belongs into their checkpoints. What they lack
is everything else: when to save, digests, a name that appears only when all is there, the walk back
to the newest whole one, SIGTERM, progress. The callbacks ask a Seals object between two steps:

    seals.begin(step, total)            at the start, after resume_from()
    if seals.save_now(step): ...        let the framework write a folder
        seals.seal(folder, step)        digest, manifest, rename, prune
    seals.stop_if_asked(step)           SystemExit(143) once SIGTERM came and the save is done
    seals.end(step)                     complete.json

One process, or several on one machine of which rank 0 seals: a framework's checkpoint is one
folder, and on several machines the parts of it would lie on different disks.
"""

from __future__ import annotations

import hashlib
import logging
import math
import os
import shutil
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from . import fingerprint, progress
from . import manifest as manifests
from .checkpointer import show_messages
from .errors import CheckpointError, Stopped
from .interval import Interval
from .manifest import PIECE, Manifest
from .progress import Progress, ProgressWriter
from .settings import from_environment
from .signals import StopSignal
from .store import Name, Store, newest_whole

log = logging.getLogger(__package__)

_SAFETY = 1.5


class Seals:
    """Arguments as for Checkpointer; the rank is torch.distributed's where there is one."""

    def __init__(
        self,
        *,
        folder: str | os.PathLike[str] | None = None,
        keep: int | None = None,
        shortest: float | None = None,
        longest: float | None = None,
        configuration: Mapping[str, Any] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        show_messages()
        _refuse_several_machines()
        self._settings = from_environment(folder=folder, keep=keep, shortest=shortest, longest=longest)
        given = configuration
        if given is None:
            given = fingerprint.from_hyperparameters(self._settings.base)
        self._configuration = fingerprint.normal(given) if given is not None else None
        self._clock = clock
        self.leads = int(os.environ.get("RANK", "0")) == 0
        self._store = Store(self._settings.folder, keep=self._settings.keep, prunes=self.leads)
        self._store.prepare()
        self._stop = StopSignal(self._settings.grace, clock)
        self._interval = Interval(self._settings.shortest, self._settings.longest, self._settings.prior)
        self._progress = Progress()
        self._watcher: ProgressWriter | None = None
        self._group: Any = None
        self._began = self._last = clock()
        self._last_shown = -math.inf

    @property
    def stopping(self) -> bool:
        """True once the process was asked to stop."""
        return self._stop.asked

    def resume_from(self) -> Path | None:
        """The newest whole checkpoint's folder, verified; None to start from the beginning."""

        def read(place: Path) -> Manifest:
            found = manifests.read(place)
            manifests.verify(place, found)
            return found

        before = progress.read(self._settings.folder / progress.PROGRESS)
        if before is not None:
            self._progress.interruptions = int(before.get("interruptions") or 0) + 1
        newest = newest_whole(self._store, read)
        if newest is None:
            return None
        name, found = newest
        fingerprint.check(
            found.configuration,
            self._configuration,
            allow=self._settings.allow_changes,
            checkpoint=str(name),
        )
        step = found.step
        self._progress.step = self._progress.resumed_step = self._progress.saved_step = step
        self._interval.seen = self._progress.interruptions
        self._interval.exposure = float(found.history.get("exposure", 0.0))
        log.info("Resuming at step %d from %s", step, name)
        return self._store.place(name)

    def begin(self, step: int, total: int | None) -> None:
        """The training loop begins: SIGTERM is handled from now on."""
        self._stop.install()
        self._progress.step, self._progress.total = step, total
        self._began = self._last = self._clock()
        if self.leads and self._watcher is None:
            self._watcher = ProgressWriter(self._settings.folder)
        self.show(step, {}, now=True)

    def agree(self, value: bool) -> bool:
        """True where it is true on any rank; every rank must ask."""
        torch = sys.modules.get("torch")
        distributed = torch.distributed if torch and torch.distributed.is_available() else None
        if torch is None or distributed is None or not distributed.is_initialized():
            return value
        if self._group is None:
            self._group = distributed.new_group(backend="gloo")
        tensor = torch.tensor([int(value)])
        distributed.all_reduce(tensor, op=distributed.ReduceOp.MAX, group=self._group)
        return bool(tensor.item())

    def save_now(self, step: int) -> bool:
        """True where a save is due, or where the last one before the stop still fits."""
        if self.agree(self._stop.asked):
            self._stop.ask()
        return self.agree(self._due(step))

    def _due(self, step: int) -> bool:
        if self._stop.asked:
            needed = _SAFETY * (self._interval.stall or 0.0)
            return needed <= self._stop.grace_left() and step != self._progress.saved_step
        waited = self._clock() - self._last
        return waited >= self._interval.seconds(self._clock() - self._began)

    def seal(self, written: Path, step: int, *, stall_began: float | None = None) -> None:
        """Publishes a folder that the framework has written; it is moved, not copied."""
        began = self._clock() if stall_began is None else stall_began
        self._last = self._clock()
        if not self.leads:
            self._progress.saved_step = step
            return
        name = Name(step, self._store.new_time())
        try:
            with self._store.partial(name) as folder:
                self._fill(folder, written, name)
                self._store.publish(folder, name)
            self._store.good.add(name)
            self._store.prune()
        except OSError as error:
            log.error("The checkpoint of step %d failed (%s); training goes on", step, error)
            return
        stall = self._clock() - began
        self._interval.observe(stall=stall, latency=stall)
        self._progress.stall_seconds = self._progress.latency_seconds = stall
        self._progress.saved_step = step
        self.show(step, {}, now=True)

    def stop_if_asked(self, step: int) -> None:
        """Ends the process with exit code 143 once it was asked to stop.

        On several ranks none ends before rank 0 has sealed.
        """
        if self.agree(self._stop.asked):
            log.info("Stopping at step %d; step %d is saved", step, self._progress.saved_step)
            self._close(step)
            self._stop.remove(ending=True)
            raise Stopped

    def end(self, step: int) -> None:
        """The work is done."""
        self._close(step)
        if self.leads:
            try:
                path = self._settings.folder / progress.COMPLETE
                progress.write(path, self._now(step), sync=True)
            except OSError as error:
                log.error("complete.json cannot be written: %s", error)
        self._stop.remove()

    def show(self, step: int, metrics: Mapping[str, Any], *, now: bool = False) -> None:
        """Hands progress over to be written, a few times a second at most."""
        self._progress.metrics.update(metrics)
        since = self._clock() - self._last_shown
        if self._watcher is not None and (now or since >= progress.PAUSE):
            self._last_shown = self._clock()
            self._watcher.put(self._now(step))

    def clock(self) -> float:
        """Seconds; to hand seal() the moment at which the framework began to write."""
        return self._clock()

    def _fill(self, folder: Path, written: Path, name: Name) -> None:
        files: dict[str, list[Any]] = {}
        for path in sorted(written.iterdir()):
            if not path.is_file():
                raise CheckpointError(
                    f"{path.name} in {written} is not a plain file: checkpoints with folders in"
                    " them (DeepSpeed, sharded ones) cannot be sealed"
                )
            files[path.name] = _digest(path)
            shutil.move(path, folder / path.name)
        age = self._clock() - self._began
        exposure = self._interval.exposure + self._settings.prior.expected(age)
        history = {"interruptions": self._progress.interruptions, "exposure": exposure}
        manifest = Manifest(
            step=name.step,
            time=name.time,
            files=files,
            configuration=self._configuration,
            history=history,
        )
        manifests.write(folder, manifest)
        shutil.rmtree(written, ignore_errors=True)

    def _now(self, step: int) -> Progress:
        self._progress.step = step
        return self._progress.now(self._clock() - self._began)

    def _close(self, step: int) -> None:
        self.show(step, {}, now=True)
        if self._watcher is not None:
            self._watcher.close()
            self._watcher = None


def _digest(path: Path) -> list[Any]:
    """Size and digest of a file just written (so out of the page cache), brought to the disk."""
    hashed, size = hashlib.sha256(), 0
    with path.open("r+b", buffering=0) as file:
        while piece := file.read(PIECE):
            hashed.update(piece)
            size += len(piece)
        os.fsync(file.fileno())
    return [size, hashed.hexdigest()]


def _refuse_several_machines() -> None:
    world, local = os.environ.get("WORLD_SIZE", "1"), os.environ.get("LOCAL_WORLD_SIZE")
    if int(world) > int(local or world):
        raise CheckpointError(
            f"{world} ranks, {local} of them on this machine: a framework's own checkpoint cannot"
            " be sealed over several machines; use Checkpointer with torch.distributed"
        )
