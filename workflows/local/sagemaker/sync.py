"""The agent that keeps the checkpoint folder of each instance and its S3 prefix alike.

It does what AWS documents of the folder (AWS.md 4.1 to 4.3). No order is promised and files have been seen
cut (AWS.md 4.4), so the order here is shuffled, a file is read while it may be being written, and an
interruption tears the file that was on its way.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import random
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from workflows.local.sagemaker.transfer import TRANSFER_ERRORS, TransferError, download, worded
from workflows.local.sagemaker.workload import s3_location

if TYPE_CHECKING:
    from workflows.local.objects import Objects

log = logging.getLogger(__name__)

TICK = 0.1
"""Seconds of real time between two looks at progress.json; files are synced at every second one."""

SMALLEST_TORN = 4096
"""Bytes. A file is torn when it is read while being written; one that is written at once, or renamed
into place like progress.json, and sent in one request is there whole or not at all."""

AGENT_FILES = (".sagemaker-uploading", ".sagemaker-uploaded", ".sagemaker-ignore")

Fingerprint = tuple[int, int, int]


class CheckpointSync:
    """One job's agents, all in one thread; `on_progress` gets each new reported fraction."""

    def __init__(
        self,
        objects: Objects,
        uri: str,
        folders: Sequence[Path],
        rng: random.Random,
        on_progress: Callable[[float], None],
        *,
        resend: bool = False,
    ) -> None:
        """`resend`: that what was restored is sent again at the start, from each instance (AWS.md 4.12)."""
        self._objects = objects
        self._uri = uri
        self._bucket, prefix = s3_location(uri)
        self._prefix = prefix if not prefix or prefix.endswith("/") else prefix + "/"
        self._known: dict[Path, dict[str, Fingerprint]] = {folder: {} for folder in folders}
        self._progress: dict[Path, Fingerprint] = {}
        self._rng = rng
        self._on_progress = on_progress
        self._resend = resend
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def restore(self) -> None:
        """Write the whole prefix onto every instance; raises TransferError."""
        for folder in self._known:
            download(self._objects, self._uri, folder, empty=True)
            found = _look(folder)
            self._known[folder] = {} if self._resend else found
            if "progress.json" in found:
                self._progress[folder] = found["progress.json"]

    def start(self) -> None:
        """Begin to sync."""
        self._thread = threading.Thread(target=self._run, name="relay-sync", daemon=True)
        self._thread.start()

    def hold(self) -> None:
        """Send nothing more until `finish`; returns at once."""
        self._stop.set()

    def last_look(self) -> None:
        """The containers have ended: no more syncs, and the last progress is told."""
        self._halt()
        self._report_progress()

    def finish(self) -> None:
        """The orderly end: everything that is there goes to S3; raises TransferError."""
        self.last_look()
        for folder in self._known:
            for key, change in self._changes(folder):
                try:
                    self._apply(folder, key, change)
                except TRANSFER_ERRORS as error:
                    reason = f"ClientError: Artifact upload failed:{worded(error)}"
                    raise TransferError(reason) from error

    def cut_short(self) -> None:
        """The instances are gone: some of what was pending arrives, and one file may be torn."""
        self._halt()
        for folder in self._known:
            changes = self._changes(folder)
            arrived = self._rng.randint(0, len(changes))
            with contextlib.suppress(*TRANSFER_ERRORS):
                for key, change in changes[:arrived]:
                    self._apply(folder, key, change)
                if arrived < len(changes) and self._rng.random() < 0.5:
                    self._tear(folder, changes[arrived][0])

    def stop(self) -> None:
        """Sync nothing more."""
        self._halt()

    def _halt(self) -> None:
        self._stop.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None

    def _run(self) -> None:
        ticks = 0
        while not self._stop.wait(TICK):
            ticks += 1
            self._report_progress()
            if ticks % 2:
                continue
            for folder in self._known:
                for key, change in self._changes(folder):
                    if self._stop.is_set():
                        return
                    try:
                        self._apply(folder, key, change)
                    except TRANSFER_ERRORS as error:
                        # Real agents try again as well; the final sync reports what stays wrong.
                        log.warning("checkpoint %s is not in S3 yet: %s", key, worded(error))

    def _changes(self, folder: Path) -> list[tuple[str, Fingerprint | None]]:
        """What differs from what S3 was given, in no order; None for a deleted file."""
        now, known = _look(folder), self._known[folder]
        changes: list[tuple[str, Fingerprint | None]] = [
            (name, mark) for name, mark in now.items() if known.get(name) != mark
        ]
        changes += [(name, None) for name in known if name not in now]
        changes.sort(key=lambda change: change[0])
        self._rng.shuffle(changes)
        return changes

    def _apply(self, folder: Path, name: str, mark: Fingerprint | None) -> None:
        if mark is None:
            self._objects.delete(self._bucket, self._prefix + name)
            self._known[folder].pop(name, None)
            return
        try:
            data = (folder / name).read_bytes()
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
            return  # gone or replaced since it was looked at; the next look finds out
        self._objects.put(self._bucket, self._prefix + name, data)
        self._known[folder][name] = mark

    def _tear(self, folder: Path, name: str) -> None:
        with contextlib.suppress(OSError):
            data = (folder / name).read_bytes()
            if len(data) >= SMALLEST_TORN:
                cut = data[: self._rng.randrange(len(data))]
                self._objects.put(self._bucket, self._prefix + name, cut)

    def _report_progress(self) -> None:
        for folder in self._known:
            path = folder / "progress.json"
            with contextlib.suppress(OSError, ValueError, TypeError, AttributeError):
                mark = _mark(path.stat())
                if self._progress.get(folder) == mark:
                    continue
                fraction = json.loads(path.read_bytes()).get("fraction")
                self._progress[folder] = mark
                if fraction is not None:
                    self._on_progress(float(fraction))


def _look(folder: Path) -> dict[str, Fingerprint]:
    found = {}
    for place, _, names in os.walk(folder):
        for name in names:
            path = Path(place, name)
            with contextlib.suppress(OSError):
                if name not in AGENT_FILES and path.is_file() and not path.is_symlink():
                    found[path.relative_to(folder).as_posix()] = _mark(path.stat())
    return found


def _mark(status: os.stat_result) -> Fingerprint:
    return (status.st_mtime_ns, status.st_size, status.st_ino)
