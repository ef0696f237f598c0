"""One rank's snapshot as files, and back: index.json, objects.pickle, buffers-N.bin.

Buffers are cut into shards, so that a reader can hash several at once and a file stays well
below what the sync agent uploads in one part.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from . import manifest as manifests
from .errors import DamagedError
from .manifest import HashingFile, Manifest
from .snapshot import Snapshot, rebuild

INDEX, OBJECTS = "index.json", "objects.pickle"
SHARD = 256 << 20
_READERS = 4  # hashlib lets go of the interpreter's lock, so threads help


class Contents:
    """A verified checkpoint in memory; nothing was unpickled yet."""

    def __init__(self, index: Mapping[str, Any], objects: memoryview, bulk: memoryview) -> None:
        self._index = index
        self._objects = objects
        self._bulk = bulk

    def names(self) -> list[str]:
        """The names of the entries, in the order in which they were saved."""
        return [entry["name"] for entry in self._index["entries"]]

    def values(self, live: Mapping[str, Any], on_host: Collection[str]) -> dict[str, Any]:
        """The values of all entries; the tensors of those `on_host` are on the CPU."""
        return rebuild(self._index, self._objects, self._bulk, live, on_host)


def write(folder: Path, snapshot: Snapshot) -> dict[str, list[Any]]:
    """Writes a snapshot's files; returns sizes and digests for the manifest."""
    files = {INDEX: _write_file(folder / INDEX, [json.dumps(snapshot.index()).encode()])}
    files[OBJECTS] = _write_file(folder / OBJECTS, snapshot.streams)
    for number, start in enumerate(range(0, len(snapshot.bulk), SHARD)):
        name = f"buffers-{number:05}.bin"
        files[name] = _write_file(folder / name, [snapshot.bulk[start : start + SHARD]])
    return files


def read(folder: Path, manifest: Manifest) -> Contents:
    """Reads and verifies all files of write(); raises DamagedError and touches nothing."""
    ours = {INDEX, OBJECTS, *(name for name in manifest.files if name.startswith("buffers-"))}
    missing = ours - set(manifest.files)
    if missing:
        raise DamagedError(manifests.NAME, f"does not list {', '.join(sorted(missing))}")
    for name in ours:  # cheap, and finds what was cut before memory is taken for it
        manifests.check_size(folder, manifest, name)
    shards = sorted(ours - {INDEX, OBJECTS})
    bulk = memoryview(bytearray(sum(int(manifest.files[name][0]) for name in shards)))
    places = {}
    start = 0
    for name in shards:
        places[name] = bulk[start : start + int(manifest.files[name][0])]
        start += len(places[name])
    for name in (INDEX, OBJECTS):
        places[name] = memoryview(bytearray(int(manifest.files[name][0])))
    with ThreadPoolExecutor(min(_READERS, len(places))) as readers:
        tasks = [
            readers.submit(manifests.read_file, folder, manifest, name, place)
            for name, place in sorted(places.items())
        ]
        for task in tasks:
            task.result()
    return Contents(json.loads(bytes(places[INDEX])), places[OBJECTS], bulk)


def _write_file(path: Path, parts: list[Any]) -> list[Any]:
    file = HashingFile(path)
    try:
        for part in parts:
            file.write(part)
        return file.close()
    except BaseException:
        file.abandon()
        raise
