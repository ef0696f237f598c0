"""The folder of checkpoints: unique names, publishing by rename, and what may be removed.

    partial-step-800-T/   being written; never read, removed at the next start
    step-800-T/           published: files, then manifest.json, then the rename
    step-800-T/rank-3/    the same for each rank of a distributed training

A rename proves nothing after the folder went through S3, which keeps no order and may cut files:
a checkpoint counts only when its manifest is there and every file in it matches.
"""

from __future__ import annotations

import contextlib
import logging
import os
import re
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from . import manifest as manifests
from .errors import DamagedError
from .manifest import Manifest

log = logging.getLogger(__package__)

AT_LEAST_KEPT = 2  # the newest one may be the very file that the sync agent is cutting
# The agent uploads and removes in no order: where saves follow each other faster than uploads, S3 may
# have lost all older checkpoints before one of the newer has arrived. After a minute one should have.
ARRIVED_AFTER = 60_000  # milliseconds
_NAME = re.compile(r"step-(\d+)-(\d+)")
_PARTIAL = "partial-"


@dataclass(frozen=True, order=True)
class Name:
    """A checkpoint's name: ordered by step as a number (99 < 100), then by time."""

    step: int
    time: int

    def __str__(self) -> str:
        return f"step-{self.step}-{self.time}"

    @classmethod
    def parse(cls, text: str) -> Name | None:
        """The name that a directory has, or None where it is not a checkpoint's."""
        found = _NAME.fullmatch(text)
        return cls(int(found[1]), int(found[2])) if found else None


class Store:
    """The checkpoint folder, as one process sees it; `rank` is None where there is only one."""

    def __init__(
        self,
        folder: Path,
        *,
        keep: int = 3,
        rank: int | None = None,
        prunes: bool = True,
        clock_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
    ) -> None:
        self.folder = folder
        self.keep = max(keep, AT_LEAST_KEPT)
        self.rank = rank
        self.good: set[Name] = set()  # read back whole at resume, or published by this process
        self._prunes = prunes
        self._clock_ms = clock_ms
        self._last_time = 0

    def names(self) -> list[Name]:
        """All published directories, newest first, whole or not."""
        try:
            found = [Name.parse(path.name) for path in self.folder.iterdir()]
        except OSError:
            return []
        return sorted((name for name in found if name), reverse=True)

    def prepare(self) -> None:
        """Makes the folder and removes what an earlier process left unfinished."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            for path in list(self.folder.iterdir()):
                if path.name.startswith(_PARTIAL) and self._prunes:
                    shutil.rmtree(path, ignore_errors=True)
            self._last_time = max((name.time for name in self.names()), default=0)
        except OSError as error:
            log.warning("The checkpoint folder %s cannot be prepared: %s", self.folder, error)

    def new_time(self) -> int:
        """A time for a name that this folder has never had: it only ever grows."""
        self._last_time = max(self._clock_ms(), self._last_time + 1)
        return self._last_time

    def place(self, name: Name) -> Path:
        """Where this rank's part of a published checkpoint lies."""
        whole = self.folder / str(name)
        return whole / f"rank-{self.rank}" if self.rank is not None else whole

    @contextlib.contextmanager
    def partial(self, name: Name) -> Iterator[Path]:
        """A new directory to write into; removed where the body fails."""
        suffix = f"-rank-{self.rank}" if self.rank is not None else ""
        path = self.folder / f"{_PARTIAL}{name}{suffix}"
        path.mkdir(parents=True)
        try:
            yield path
        except BaseException:
            shutil.rmtree(path, ignore_errors=True)
            raise

    def publish(self, partial: Path, name: Name) -> None:
        """Gives a finished directory its name, and brings the name to the disk."""
        place = self.place(name)
        _sync_directory(partial)
        if place.exists():  # os.rename would silently replace an empty directory
            raise FileExistsError(f"{place} exists: a checkpoint's name is never used twice")
        if self.rank is not None:
            place.parent.mkdir(exist_ok=True)
        partial.rename(place)
        if self.rank is not None:
            _sync_directory(place.parent)
        _sync_directory(self.folder)

    def prune(self, good: set[Name] | None = None, *, as_few_as_possible: bool = False) -> list[Name]:
        """Removes what is not needed any more; returns what was removed.

        Only whole checkpoints count as kept. Nothing is removed before the newest of those kept
        has been read back from the disk, and all of them have been found with their full sizes.
        Beside the newest ones two stay: the newest that has had time to arrive in S3, and the one
        that will be the next to have had it.
        """
        good = self.good if good is None else good
        if not self._prunes:
            return []
        keep = AT_LEAST_KEPT if as_few_as_possible else self.keep
        kept = self._still_whole(good, keep)
        if len(kept) < AT_LEAST_KEPT:
            return []
        enough = len(kept) >= keep
        arriving = set() if as_few_as_possible else self._arriving(good)
        removed = []
        for name in self.names():
            unknown = name not in good
            later = name.time > kept[0].time  # other ranks may still be writing their parts
            if name in kept or name in arriving or (unknown and (later or not enough)):
                continue
            if self._remove(name):
                removed.append(name)
        self.good -= set(removed)
        return removed

    def _arriving(self, good: set[Name]) -> set[Name]:
        latest = self._clock_ms() - ARRIVED_AFTER
        return {
            *sorted(name for name in good if name.time <= latest)[-1:],
            *sorted(name for name in good if name.time > latest)[:1],
        }

    def _still_whole(self, good: set[Name], keep: int) -> list[Name]:
        kept: list[Name] = []
        for name in sorted(good, reverse=True):
            try:
                found = manifests.read(self.place(name))
                for file in found.files:
                    manifests.check_size(self.place(name), found, file)
                if not kept:
                    manifests.verify(self.place(name), found)
            except DamagedError as damage:
                log.warning("%s/%s is not whole any more: %s", name, damage.file, damage.reason)
                self.good.discard(name)
                continue
            kept.append(name)
            if len(kept) == keep:
                break
        return kept

    def _remove(self, name: Name) -> bool:
        """Removes the manifest first: what a kill leaves behind must not look whole."""
        try:
            for path in (self.folder / str(name)).rglob(manifests.NAME):
                path.unlink()
            shutil.rmtree(self.folder / str(name))
        except OSError as error:
            log.warning("%s cannot be removed: %s", name, error)
            return False
        return True


def newest_whole(store: Store, read: Callable[[Path], Manifest]) -> tuple[Name, Manifest] | None:
    """Walks from the newest checkpoint to the oldest, to the first that `read` accepts.

    Each one skipped is a warning with its file and the reason.
    """
    for name in store.names():
        place = store.place(name)
        try:
            found = read(place)
            if found.step != name.step:
                raise DamagedError(manifests.NAME, f"says step {found.step}, not {name.step}")
        except DamagedError as damage:
            log.warning("Skipped checkpoint %s: %s: %s", name, damage.file, damage.reason)
            continue
        store.good.add(name)
        return name, found
    return None


def _sync_directory(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
