"""The list of files that makes a checkpoint whole: sizes, digests, and what the files mean.

SHA-256 from hashlib: 1.7 GB/s on a processor with SHA instructions (blake2b: 0.6 GB/s on the
same one), so hashing costs less than writing does.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from .errors import DamagedError

FORMAT = 1
NAME = "manifest.json"
PIECE = 4 << 20  # bytes hashed and written at once: large enough that Python's part is noise
# What "unreadable" can mean: a device error, a vanished file, a folder in the place of a file.
Json = dict[str, Any]


@dataclass
class Manifest:
    """What one rank wrote at one step. `files` maps a name to [bytes, sha256]."""

    step: int
    time: int
    rank: int = 0
    world_size: int = 1
    files: dict[str, list[Any]] = field(default_factory=dict)
    sharded: list[str] = field(default_factory=list)  # entries that DCP wrote, over all ranks
    configuration: Json | None = None
    history: Json = field(default_factory=dict)
    format: int = FORMAT

    def to_bytes(self) -> bytes:
        """The manifest as JSON with a digest of itself, since nothing else vouches for it."""
        content = asdict(self)
        content["digest"] = _digest(content)
        return json.dumps(content).encode()

    def bytes_in_all(self) -> int:
        """How many bytes the files have together."""
        return sum(int(size) for size, _ in self.files.values())


class HashingFile:
    """A new file that is hashed while it is written, and on the disk once it is closed."""

    def __init__(self, path: Path) -> None:
        self.name = path.name
        self._file = path.open("xb", buffering=0)
        self._hash = hashlib.sha256()
        self.size = 0

    def write(self, data: bytes | bytearray | memoryview) -> int:
        """Writes all of data, in pieces; returns its length."""
        view = memoryview(data).cast("B")
        for start in range(0, len(view), PIECE):
            piece = view[start : start + PIECE]
            self._hash.update(piece)
            written = 0
            while written < len(piece):  # a raw write may take less than it was given
                written += self._file.write(piece[written:])
        self.size += len(view)
        return len(view)

    def tell(self) -> int:
        """How many bytes were written."""
        return self.size

    def flush(self) -> None:
        """Nothing is held back; here for those who write to any file object."""

    def close(self) -> list[Any]:
        """Brings the file to the disk; returns its size and digest. May be called again."""
        if not self._file.closed:
            os.fsync(self._file.fileno())
            self._file.close()
        return [self.size, self._hash.hexdigest()]

    def abandon(self) -> None:
        """Closes the file as it is."""
        self._file.close()


def write(folder: Path, manifest: Manifest) -> None:
    """Writes the manifest, which must come after all files that it lists."""
    file = HashingFile(folder / NAME)
    try:
        file.write(manifest.to_bytes())
    finally:
        file.close()


def read(folder: Path) -> Manifest:
    """The manifest of one folder; raises DamagedError where it is missing, cut or changed."""
    try:
        content = json.loads((folder / NAME).read_bytes())
        digest = content.pop("digest")
        version = content["format"]
    except FileNotFoundError:
        raise DamagedError(NAME, "missing, so the checkpoint was never finished") from None
    except OSError as error:
        raise DamagedError(NAME, f"cannot be read: {error}") from None
    except (ValueError, KeyError, AttributeError, TypeError):
        raise DamagedError(NAME, "cut or not a manifest") from None
    if digest != _digest(content):
        raise DamagedError(NAME, "changed after it was written (its own digest does not match)")
    if version != FORMAT:
        raise DamagedError(NAME, f"has format {version}, and this library reads format {FORMAT}")
    return Manifest(**content)


def verify(folder: Path, manifest: Manifest, names: Iterable[str] | None = None) -> None:
    """Reads files (all by default) and compares them; raises DamagedError at the first bad one."""
    buffer = bytearray(PIECE)
    for name in manifest.files if names is None else names:
        read_file(folder, manifest, name, _Scratch(buffer))


class _Scratch:
    """A place to read a file into whose content is not wanted, only its digest."""

    def __init__(self, buffer: bytearray) -> None:
        self._view = memoryview(buffer)

    def __getitem__(self, where: slice) -> memoryview:
        return self._view[: where.stop - where.start]


def read_file(folder: Path, manifest: Manifest, name: str, target: memoryview | _Scratch) -> None:
    """Reads one file into target and compares it with the manifest; raises DamagedError."""
    size, digest = int(manifest.files[name][0]), manifest.files[name][1]
    check_size(folder, manifest, name)
    found, hashed = 0, hashlib.sha256()
    try:
        with (folder / name).open("rb", buffering=0) as file:
            while found < size:
                piece = target[found : min(found + PIECE, size)]
                count = file.readinto(piece)
                if not count:
                    break
                hashed.update(piece[:count])
                found += count
    except OSError as error:
        raise DamagedError(name, f"cannot be read: {error}") from None
    if found != size:
        raise DamagedError(name, f"cut: {found} of {size} bytes could be read")
    if hashed.hexdigest() != digest:
        raise DamagedError(name, f"changed: {size} bytes, but their SHA-256 does not match")


def check_size(folder: Path, manifest: Manifest, name: str) -> None:
    """Raises DamagedError where a file is missing or has another size; reads nothing."""
    size = int(manifest.files[name][0])
    if Path(name).name != name:
        raise DamagedError(NAME, f"lists {name!r}, which is not a plain file name")
    try:
        found = (folder / name).stat().st_size
    except FileNotFoundError:
        raise DamagedError(name, "missing") from None
    except OSError as error:
        raise DamagedError(name, f"cannot be read: {error}") from None
    if found != size:
        raise DamagedError(
            name,
            f"cut: {found} bytes of {size}" if found < size else f"{found} bytes where {size} were written",
        )


def _digest(content: Json) -> str:
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()
