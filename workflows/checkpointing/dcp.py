"""torch.distributed.checkpoint (DCP) as this package uses it, and what its versions lack.

    up to 2.2    the file system cannot be replaced, which is how files are hashed while written
    2.3          a learning rate that a schedule has changed is not restored, without a word
    up to 2.6    ending a process group may wait for ever (see TorchRanks.close)
    up to 2.8    no stager that keeps its buffers from save to save
    2.11         its DefaultStager works once: it closes itself, and the next copy fails (KeyError)

So below 2.4 a Checkpointer with several ranks is refused when it is entered, and no stager of torch
is used. DCP asks its planner twice: what there is to be written and, when it writes, for each
tensor. Planners are made to be derived from, in all versions alike: ours answers with a plan that
was made, and with tensors that were copied, when the save was asked for.

Tried with 2.4.1, 2.6.0, 2.8.0, 2.9.1, 2.10.0, 2.11.0, 2.12.1, 2.13.0 and 2.14.1.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from . import devices
from .errors import CheckpointError
from .host_buffer import HostBuffer
from .manifest import HashingFile
from .snapshot import ALIGNMENT

LEAST = (2, 4)


def require(version: str) -> None:
    """Raises CheckpointError where this torch cannot save and restore what several ranks hold."""
    if tuple(int(part) for part in version.split(".")[:2]) < LEAST:
        raise CheckpointError(
            f"this is torch {version}, which cannot save and restore what several ranks hold: needed"
            f" is {LEAST[0]}.{LEAST[1]} or newer. Choose a newer image for the training, or train in"
            " one process, without init_process_group()"
        )


try:
    import torch

    require(torch.__version__)
    from torch.distributed.checkpoint import state_dict as states
    from torch.distributed.checkpoint import state_dict_loader, state_dict_saver
    from torch.distributed.checkpoint.api import CheckpointException
    from torch.distributed.checkpoint.default_planner import DefaultSavePlanner
    from torch.distributed.checkpoint.filesystem import FileSystem, FileSystemReader, FileSystemWriter
except ImportError as error:
    raise CheckpointError(
        f"checkpoints of several ranks need torch.distributed.checkpoint ({error}): choose an image with"
        " another torch, or train in one process, without init_process_group()"
    ) from error

__all__ = ["LEAST", "METADATA", "Staged", "load", "require", "save", "states"]

# DCP calls it `.metadata`; dot-files are left out by some copy tools, so it gets a plain name.
METADATA = "dcp.metadata"
_WRITTEN_BY = re.compile(r"__(\d+)_")


class Staged(DefaultSavePlanner):
    """The plan of one rank's part of a save, and copies in kept host memory of what it writes."""

    def __init__(self, state: dict[str, Any], host: HostBuffer, *, coordinates: bool) -> None:
        super().__init__()
        super().set_up_planner(state_dict=state, is_coordinator=coordinates)
        self._planned = super().create_local_plan()
        found = {}
        for item in self._planned.items:
            found[item.index] = super().resolve_data(item)
        self._copies = _copied(found, host)
        self.state_dict = {}  # the training's own tensors are not needed any more

    def set_up_planner(self, state_dict: Any, storage_meta: Any = None, is_coordinator: bool = False) -> None:
        """Nothing is left to do; the state that save() is given is empty."""

    def create_local_plan(self) -> Any:
        """The plan made when the save was asked for."""
        return self._planned

    def resolve_data(self, write_item: Any) -> Any:
        """The copy made when the save was asked for."""
        return self._copies[write_item.index]


def save(staged: Staged, folder: Path, digests: dict[str, list[Any]], group: Any) -> None:
    """Writes this rank's part, every rank together; what was written is noted in `digests`."""
    # sync_files would fall back to os.sync(), which waits for every disk: ours syncs itself.
    # What is written is on the host already; copying ahead would begin on GPU 0, the current one
    # of a new thread, on every rank.
    writer = FileSystemWriter(folder, sync_files=False, per_thread_copy_ahead=0)
    writer.fs = _Hashing(digests)
    with _ordinary_errors():
        state_dict_saver.save({}, storage_writer=writer, planner=staged, process_group=group)


def load(state: dict[str, Any], folder: Path, group: Any) -> None:
    """Loads into the tensors of a state, every rank together; `folder` has the parts of all."""
    reader = FileSystemReader(folder)
    reader.fs = _Parts()
    with _ordinary_errors():
        state_dict_loader.load(state, storage_reader=reader, process_group=group)


def _copied(found: Mapping[Any, Any], host: HostBuffer) -> dict[Any, Any]:
    """Host copies of the tensors among the values; what is the same memory is copied once."""
    copies: dict[Any, Any] = {}
    pieces: dict[tuple[Any, ...], list[Any]] = {}  # the names of one piece of memory
    for index, value in found.items():
        if not isinstance(value, torch.Tensor):
            copies[index] = value  # pickled by DCP, just now
        elif not _plain(value):
            copies[index] = value.detach().to("cpu", copy=True)
        else:
            key = (value.device, value.data_ptr(), value.dtype, value.shape, value.stride())
            pieces.setdefault(key, []).append(index)
    sources = [found[names[0]].detach() for names in pieces.values()]
    for names, copy in zip(pieces.values(), _into(host, sources), strict=True):
        copies.update(dict.fromkeys(names, copy))
    return copies


def _plain(tensor: Any) -> bool:
    """Whether its bytes are all there is to it."""
    strided = tensor.layout is torch.strided and not tensor.is_quantized
    return strided and tensor.numel() > 0 and type(tensor) in (torch.Tensor, torch.nn.Parameter)


def _into(host: HostBuffer, sources: Sequence[Any]) -> list[Any]:
    """Copies in one buffer, each of which is a storage of its own to torch: DCP clones mere views."""
    starts, size = [], 0
    for source in sources:
        starts.append(size)
        size += -(-source.numel() * source.element_size() // ALIGNMENT) * ALIGNMENT
    gpus = {source.device for source in sources if source.is_cuda}
    host.reserve(size, pinned=bool(gpus))
    devices.settle(gpus)
    copies = []
    for start, source in zip(starts, sources, strict=True):
        piece = host.view[start : start + source.numel() * source.element_size()]
        copies.append(torch.frombuffer(piece, dtype=source.dtype).view(source.shape))
        copies[-1].copy_(source, non_blocking=source.is_cuda)
    devices.settle(gpus)
    return copies


class _Hashing(FileSystem):
    """Writes with our names, and hashes on the way."""

    def __init__(self, digests: dict[str, list[Any]]) -> None:
        super().__init__()
        self._digests = digests

    @contextlib.contextmanager
    def create_stream(self, path: str | os.PathLike[str], mode: str) -> Iterator[Any]:
        """A new file, whose size and digest are noted once it is whole."""
        file = HashingFile(Path(path))
        try:
            yield file
        except BaseException:
            file.abandon()
            raise
        self._digests[Path(path).name] = file.close()

    def concat_path(self, path: str | os.PathLike[str], suffix: str) -> Path:
        """Where a file lies."""
        return Path(path) / _our_name(suffix)

    def rename(self, path: str | os.PathLike[str], new_path: str | os.PathLike[str]) -> None:
        """The metadata is written under another name first."""
        super().rename(path, new_path)
        self._digests[Path(new_path).name] = self._digests.pop(Path(path).name)


class _Parts(FileSystem):
    """Reads the files that all ranks have written, each in its rank's folder."""

    def concat_path(self, path: str | os.PathLike[str], suffix: str) -> Path:
        """Where a file lies: what names no rank was written by rank 0."""
        written_by = _WRITTEN_BY.match(suffix)
        return Path(path) / f"rank-{written_by[1] if written_by else 0}" / _our_name(suffix)


def _our_name(name: str) -> str:
    return name.replace(".metadata", METADATA)


@contextlib.contextmanager
def _ordinary_errors() -> Iterator[None]:
    """DCP's CheckpointException is a BaseException: one full disk would end the training."""
    try:
        yield
    except CheckpointException as error:
        causes = [f"rank {rank}: {wrapped[0]}" for rank, wrapped in error.failures.items()]
        raise CheckpointError("; ".join(causes)) from error
