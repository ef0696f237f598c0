"""The code of a stage as SageMaker gets it: `launch.py` and `source.tar.gz` under a content-addressed prefix.

The archive holds the user's folder and, under the import path that scripts use, `workflows.checkpointing`.
For script mode both stand once more in `sourcedir.tar.gz`, which SageMaker's toolkit unpacks. Equal content
gives equal bytes (sorted members, fixed times and owners), so it gives the same key, too.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from workflows.errors import RelayError
from workflows.jobs.site import CODE

LARGEST = 200 * 1024 * 1024  # bytes of source; data belongs into `inputs`
CACHE_TAG = "CACHEDIR.TAG"  # marks folders that hold nothing of the user's (Cache Directory Tagging)
SKIPPED = {"__pycache__", "node_modules", "cdk.out"}
SOURCEDIR = "sourcedir.tar.gz"  # as SageMaker's SDK names it
_PACKAGE = Path(__file__).parents[1]


class SourceError(RelayError):
    """The folder of a stage cannot be packed."""


@dataclass(frozen=True)
class Source:
    """What is uploaded for a stage's code: file name -> content, under `PIPELINE/code/<digest>/`."""

    digest: str
    files: dict[str, bytes]

    def key_prefix(self, pipeline: str) -> str:
        """The S3 key prefix, with the `/` at its end: each pipeline's jobs read their own code only."""
        return f"{pipeline}/{CODE}{self.digest}/"

    def sourcedir(self) -> bytes:
        """Returns `sourcedir.tar.gz`, in which the toolkit sees the launcher and nothing of the user's.

        It would install a folder that holds a setup.py, and the requirements before the launcher does.
        """
        return _tar(self.files)


def pack(folder: Path, *dependencies: Path) -> Source:
    """The source of every stage in `folder`, and beside it each dependency, a file or a folder, by its name.

    Raises SourceError for links that leave a folder, for size, and for a dependency that is not there or
    whose name is taken.
    """
    members = dict(_members(folder.resolve()))
    for place in dependencies:
        members |= _dependency(place, {name.split("/")[0] for name in members})
    if "workflows" in {name.split("/")[0] for name in members}:
        raise SourceError(f"{folder}: holds `workflows`, the import path of Relay's own package: rename it")
    members.update(_library())
    archive = _tar(members)
    launcher = (_PACKAGE / "checkpointing" / "launch.py").read_bytes()
    digest = hashlib.sha256(hashlib.sha256(launcher).digest() + archive).hexdigest()[:32]
    return Source(digest, {"launch.py": launcher, "source.tar.gz": archive})


def _members(root: Path) -> Iterator[tuple[str, bytes]]:
    size = 0
    caches = {tag.parent for tag in root.rglob(CACHE_TAG)}  # a local world's folder is one, too
    for path in sorted(root.rglob("*")):
        relative = path.relative_to(root)
        if any(part.startswith(".") or part in SKIPPED for part in relative.parts) or path.is_dir():
            continue
        if caches.intersection(path.parents):
            continue
        if not path.resolve().is_relative_to(root):
            raise SourceError(f"{path}: points outside {root}: copy the file into the folder")
        data = path.read_bytes()
        size += len(data)
        if size > LARGEST:
            raise SourceError(f"{root}: more than {LARGEST >> 20} MiB of source: move data into `inputs`")
        yield relative.as_posix(), data


def _dependency(place: Path, taken: set[str]) -> dict[str, bytes]:
    if not place.exists():
        raise SourceError(f"{place}: no such file or folder, named in `dependencies`")
    name = place.resolve().name
    if name in taken:
        raise SourceError(f"{place}: `{name}` is there already, from `source` or an earlier dependency")
    if place.is_file():
        return {name: place.read_bytes()}
    return {f"{name}/{member}": data for member, data in _members(place.resolve())}


def _library() -> Iterator[tuple[str, bytes]]:
    yield "workflows/__init__.py", (_PACKAGE / "__init__.py").read_bytes()
    for path in sorted((_PACKAGE / "checkpointing").rglob("*.py")):
        yield f"workflows/{path.relative_to(_PACKAGE).as_posix()}", path.read_bytes()


def _tar(members: dict[str, bytes]) -> bytes:
    plain = io.BytesIO()
    with tarfile.open(fileobj=plain, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for name in sorted(members):
            info = tarfile.TarInfo(name)
            info.size, info.mode = len(members[name]), 0o644
            archive.addfile(info, io.BytesIO(members[name]))
    return gzip.compress(plain.getvalue(), mtime=0)
