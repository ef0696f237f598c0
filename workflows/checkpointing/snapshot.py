"""A copy of the state, taken between two steps, that the training may overtake.

Pickle protocol 5 separates structure from bulk: the structure goes through a pickle stream, and
the memory of arrays and tensors is copied, as it lies, into one host buffer that is used again
for every save. Tensors that share memory share it again after a restore.
"""

from __future__ import annotations

import io
import pickle
import sys
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from . import devices
from .errors import CheckpointError, RestoreError, UnsupportedStateError
from .host_buffer import HostBuffer

ALIGNMENT = 64  # a cache line, and more than any element type needs
RANDOM = "<random state>"  # the entry that is ours; a user's names are anything else


@dataclass
class Snapshot:
    """Pickle streams one after the other, and the addresses of the bulk inside `bulk`."""

    entries: list[dict[str, Any]]  # name, bytes of its stream, buffers given to its unpickler
    streams: list[bytes]
    table: list[tuple[int, int]]  # address and length of every buffer
    bulk: memoryview

    def index(self) -> dict[str, Any]:
        """What a reader needs besides the bytes, as JSON."""
        return {"entries": self.entries, "table": self.table, "bulk": len(self.bulk)}


class _Bulk:
    """The buffers met while pickling, each memory only once."""

    def __init__(self) -> None:
        self.sources: list[Any] = []  # memoryview or one-dimensional uint8 tensor
        self.table: list[tuple[int, int]] = []
        self.size = 0
        self.devices: set[Any] = set()  # the GPUs that some of it lies on
        self._storages: dict[tuple[Any, ...], int] = {}

    def add(self, source: Any, length: int) -> int:
        self.sources.append(source)
        self.table.append((self.size, length))
        self.size += -(-length // ALIGNMENT) * ALIGNMENT
        return len(self.table) - 1

    def add_storage(self, tensor: Any) -> int:
        import torch

        storage = tensor.untyped_storage()
        key = (str(tensor.device), storage.data_ptr(), storage.nbytes())
        if key not in self._storages or storage.nbytes() == 0:
            flat = torch.empty(0, dtype=torch.uint8, device=tensor.device).set_(storage)
            if tensor.device.type == "cuda":
                self.devices.add(tensor.device)
            self._storages[key] = self.add(flat, storage.nbytes())
        return self._storages[key]

    def copy_into(self, host: HostBuffer) -> memoryview:
        host.reserve(self.size, pinned=bool(self.devices))
        devices.settle(self.devices)
        for source, (address, length) in zip(self.sources, self.table, strict=True):
            if isinstance(source, memoryview):
                host.view[address : address + length] = source
            elif length:
                host.tensor[address : address + length].copy_(source, non_blocking=True)
        devices.settle(self.devices)  # each GPU copies on a stream of its own
        return host.view[: self.size]


class _Pickler(pickle.Pickler):
    def __init__(self, file: io.BytesIO, bulk: _Bulk, live: Mapping[int, str]) -> None:
        self.out_of_band: list[int] = []
        self._bulk = bulk
        self._live = live
        super().__init__(file, protocol=5, buffer_callback=self._keep)

    def _keep(self, buffer: pickle.PickleBuffer) -> bool:
        raw = buffer.raw()
        self.out_of_band.append(self._bulk.add(raw, raw.nbytes))
        return False

    def reducer_override(self, obj: Any) -> Any:
        if id(obj) in self._live:
            return _live, (self._live[id(obj)],)
        return _reduce_tensor(obj, self._bulk)


def _reduce_tensor(obj: Any, bulk: _Bulk) -> Any:
    torch = sys.modules.get("torch")
    if torch is None or type(obj) not in (torch.Tensor, torch.nn.Parameter):
        return NotImplemented
    plain = obj.layout is torch.strided and obj.device.type in ("cpu", "cuda")
    if not plain or obj.is_quantized or obj.is_conj() or obj.is_neg():
        return NotImplemented  # torch's own pickling: slower, and right
    where = bulk.add_storage(obj.detach())
    shape = (obj.storage_offset(), tuple(obj.shape), tuple(obj.stride()))
    kind = (str(obj.dtype).removeprefix("torch."), devices.place(obj.device))
    return _tensor, (where, *kind, *shape, type(obj) is torch.nn.Parameter, obj.requires_grad)


def _live(name: str) -> Any:
    raise CheckpointError(f"a reference to {name!r} is resolved by the unpickler")


def _tensor(*description: Any) -> Any:
    raise CheckpointError(f"a tensor {description} is resolved by the unpickler")


class _Unpickler(pickle.Unpickler):
    def __init__(self, stream: bytes, buffers: list[bytearray], live: Mapping[str, Any], bulk: _Read) -> None:
        super().__init__(io.BytesIO(stream), buffers=buffers)
        self._objects = live
        self._bulk = bulk

    def find_class(self, module: str, name: str) -> Any:
        if module == __name__ and name == "_live":
            return self._objects.__getitem__
        if module == __name__ and name == "_tensor":
            return self._bulk.tensor
        return super().find_class(module, name)


class _Read:
    """The bulk of a checkpoint in memory; hands out copies, so that it can be let go of."""

    def __init__(self, bulk: memoryview, table: Sequence[Sequence[int]]) -> None:
        self.on_host = False  # whether tensors are built on the CPU, wherever they were
        self._bulk = bulk
        self._table = table
        self._storages: dict[tuple[int, str], Any] = {}

    def piece(self, which: int) -> memoryview:
        address, length = self._table[which]
        return self._bulk[address : address + length]

    def tensor(
        self,
        which: int,
        dtype: str,
        device: str,
        offset: int,
        shape: tuple[int, ...],
        stride: tuple[int, ...],
        parameter: bool,
        requires_grad: bool,
    ) -> Any:
        import torch

        kind = getattr(torch, dtype)
        storage = self._storage(which, "cpu" if self.on_host else devices.available(device))
        result = torch.empty(0, dtype=kind, device=storage.device)
        result = result.set_(storage, offset, shape, stride)
        if parameter:
            return torch.nn.Parameter(result, requires_grad=requires_grad)
        return result.requires_grad_(requires_grad)

    def _storage(self, which: int, device: str) -> Any:
        import torch

        key = (which, device)
        if key not in self._storages:
            piece = self.piece(which)
            memory = torch.empty(len(piece), dtype=torch.uint8, device="cpu")
            if len(piece):
                memory.copy_(torch.frombuffer(piece, dtype=torch.uint8))
            self._storages[key] = memory.to(device).untyped_storage()
        return self._storages[key]


def take(values: Mapping[str, Callable[[], Any]], host: HostBuffer, live: Mapping[int, str]) -> Snapshot:
    """Copies what the callables return; raises UnsupportedStateError where it cannot be pickled."""
    bulk = _Bulk()
    entries: list[dict[str, Any]] = []
    streams: list[bytes] = []
    devices.settle()  # a state_dict() may read numbers from the GPU
    for name, value in values.items():
        file = io.BytesIO()
        pickler = _Pickler(file, bulk, live)
        try:
            pickler.dump(value())
        except (pickle.PicklingError, TypeError, AttributeError, RecursionError) as error:
            raise UnsupportedStateError(f"{name!r} cannot be saved: {error}") from error
        streams.append(file.getvalue())
        entries.append({"name": name, "bytes": len(streams[-1]), "buffers": pickler.out_of_band})
    return Snapshot(entries, streams, bulk.table, bulk.copy_into(host))


def rebuild(
    index: Mapping[str, Any],
    streams: memoryview,
    bulk: memoryview,
    live: Mapping[str, Any],
    on_host: Collection[str] = (),
) -> dict[str, Any]:
    """The values of all entries, those `on_host` without a GPU's memory; raises RestoreError."""
    read = _Read(bulk, index["table"])
    values: dict[str, Any] = {}
    start = 0
    for entry in index["entries"]:
        stream = bytes(streams[start : start + entry["bytes"]])
        start += entry["bytes"]
        buffers = [bytearray(read.piece(which)) for which in entry["buffers"]]
        read.on_host = entry["name"] in on_host
        try:
            values[entry["name"]] = _Unpickler(stream, buffers, live, read).load()
        except Exception as error:
            raise RestoreError(
                f"{entry['name']!r} cannot be rebuilt from the checkpoint"
                f" ({type(error).__name__}: {error}); does the code still define its classes?"
            ) from error
    return values
