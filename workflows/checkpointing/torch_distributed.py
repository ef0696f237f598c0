"""Several ranks: DDP and FSDP through torch.distributed.checkpoint (DCP).

    step-800-T/rank-0/   dcp.metadata, __0_0.distcp, index.json, objects.pickle, manifest.json
    step-800-T/rank-1/                 __1_0.distcp, index.json, objects.pickle, manifest.json

Modules and optimizers go through DCP, which writes each tensor once over all ranks and can load
them at another number of ranks. Everything else, random state included, each rank saves for
itself; at another number of ranks, rank r takes over from rank r modulo the old number.

There is no barrier when saving. Which checkpoint is whole on every rank is found when resuming:
the candidates are looked at from the newest to the oldest, and each machine reads all of its
files (the ranks on a machine share that work).

Between two steps the ranks agree by one all-reduce of six numbers. It takes 0.1 to 1 ms on one
machine, so where steps are shorter than 10 ms they agree on how many of them to leave out.
"""

from __future__ import annotations

import contextlib
import logging
import socket
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from . import dcp, devices, files
from . import manifest as manifests
from .errors import CheckpointError, DamagedError, RestoreError, UnsupportedStateError
from .host_buffer import HostBuffer
from .manifest import Manifest
from .ranks import Vote, copied, references
from .snapshot import RANDOM, take
from .state import Entry
from .store import Name, Store

log = logging.getLogger(__package__)

_LAST_VOTE = 0.1  # seconds; the moment takes less than a thousandth of that


class TorchRanks:
    """All processes of torch.distributed's default group."""

    def __init__(self, folder: Path) -> None:
        import torch.distributed as distributed

        self._distributed = distributed
        self.rank: int = distributed.get_rank()
        self.world_size: int = distributed.get_world_size()
        # Groups of their own: a save's collectives run in the writer's thread, and must neither
        # mix with those of the training nor with the votes.
        self._votes = distributed.new_group(backend="gloo")
        self._saves = distributed.new_group(backend="gloo")
        peers = self._peers(folder)
        self.prunes = peers[0] == self.rank
        self._share = (peers.index(self.rank), len(peers))
        self._host, self._shards_host = HostBuffer(), HostBuffer()

    def agree(self, vote: Vote) -> Vote:
        """One all-reduce: stop if any rank must, save when rank 0 is due and no rank is busy."""
        import torch

        due, pause = (vote.due, vote.pause) if self.rank == 0 else (False, 0)
        numbers = [vote.stop, due, vote.busy, vote.time, -vote.published, pause]
        tensor = torch.tensor([int(number) for number in numbers], dtype=torch.int64, device="cpu")
        self._distributed.all_reduce(tensor, op=self._distributed.ReduceOp.MAX, group=self._votes)
        stop, due, busy, time, published, pause = tensor.tolist()
        return Vote(bool(stop), bool(due), bool(busy), time, -published, pause)

    def all(self, value: bool) -> bool:
        """True where it is true on every rank."""
        return all(self._gather(value))

    def ready(self, value: bool) -> bool:
        """True where it is true on every rank; for the writer's thread, with its own group."""
        gathered: list[Any] = [None] * self.world_size
        self._distributed.all_gather_object(gathered, value, group=self._saves)
        return all(gathered)

    def find(self, store: Store) -> Distributed | None:
        """The newest checkpoint that every rank finds whole."""
        names = {Name(*name) for got in self._gather(_pairs(store.names())) for name in got}
        for name in sorted(names, reverse=True):
            found, damage = self._look(store, name)
            if damage:
                log.warning("Skipped checkpoint %s: %s", name, damage)
            elsewhere = [text for text in self._gather(damage) if text]
            if found is None or elsewhere:
                if not damage:
                    log.warning("Skipped checkpoint %s: on another rank: %s", name, elsewhere[0])
                continue
            store.good.add(name)
            return found
        return None

    def sharded(self, entries: Sequence[Entry]) -> list[str]:
        """The names of the entries that DCP saves: modules and optimizers."""
        others = {entry.name for entry in _Shards(entries).others}
        return [entry.name for entry in entries if entry.name not in others]

    def take(
        self, entries: Sequence[Entry], random: Callable[[], Any]
    ) -> Callable[[Path], dict[str, list[Any]]]:
        """Stages the sharded state and copies the rest; the function returned writes both."""
        shards = _Shards(entries)
        devices.settle()
        state = shards.state()
        staged = dcp.Staged(state, self._shards_host, coordinates=self.rank == 0) if state else None
        values = {entry.name: entry.read for entry in shards.others}
        snapshot = take({**values, RANDOM: random}, self._host, references(shards.others))

        def write(folder: Path) -> dict[str, list[Any]]:
            digests: dict[str, list[Any]] = {}
            if staged is not None:
                dcp.save(staged, folder, digests, self._saves)
            return {**digests, **files.write(folder, snapshot)}

        return write

    def close(self) -> None:
        """Ends the groups: threads of theirs that outlive Python abort the process."""
        # A group's end waits for its threads and, in torch 2.4 to 2.6, holds the interpreter's lock
        # meanwhile. A thread that has just finished a vote wants that lock too, for a moment.
        time.sleep(_LAST_VOTE)
        for group in (self._votes, self._saves):
            self._distributed.destroy_process_group(group)
        self._votes = self._saves = None

    def _look(self, store: Store, name: Name) -> tuple[Distributed | None, str]:
        """Reads this rank's share of a checkpoint's files; what is wrong with it, if anything."""
        whole = store.folder / str(name)
        try:
            if (whole / manifests.NAME).exists():
                raise CheckpointError(
                    f"{name} was made without torch.distributed: call init_process_group() also"
                    " where there is only one process, so that both make the same kind"
                )
            parts = _manifests(whole, name)
            work = [(rank, file) for rank, part in enumerate(parts) for file in part.files]
            for rank, file in work[self._share[0] :: self._share[1]]:
                _verify(whole, rank, parts[rank], file)
            mine = self.rank % len(parts)
            contents = _own(whole, mine, parts[mine])
        except DamagedError as damage:
            return None, f"{damage.file}: {damage.reason}"
        if len(parts) != self.world_size:
            log.warning(
                "%s was made by %d ranks and there are %d: the result will not be the undisturbed"
                " run's bit for bit",
                name,
                len(parts),
                self.world_size,
            )
        return Distributed(name, parts[mine], contents, whole, self._votes), ""

    def _gather(self, value: Any) -> list[Any]:
        gathered: list[Any] = [None] * self.world_size
        self._distributed.all_gather_object(gathered, value, group=self._votes)
        return gathered

    def _peers(self, folder: Path) -> list[int]:
        """The ranks that see this very folder: one of them prunes, all share the reading."""
        with contextlib.suppress(OSError):
            folder.mkdir(parents=True, exist_ok=True)
        try:
            status = folder.stat()
            here: tuple[Any, ...] = (socket.gethostname(), status.st_dev, status.st_ino)
        except OSError:
            here = (socket.gethostname(), self.rank)
        return [rank for rank, other in enumerate(self._gather(here)) if other == here]


class Distributed:
    """A checkpoint that is whole on every rank; nothing was loaded from it yet."""

    def __init__(
        self, name: Name, manifest: Manifest, contents: files.Contents, folder: Path, group: Any
    ) -> None:
        self.name = name
        self.manifest = manifest
        self._contents = contents
        self._folder = folder
        self._group = group

    def names(self) -> list[str]:
        """The entries that it has: this rank's own, and the sharded ones."""
        own = [name for name in self._contents.names() if name != RANDOM]
        return own + self.manifest.sharded

    def restore(self, entries: Sequence[Entry]) -> Any:
        """Builds this rank's own values, loads the sharded ones, then puts all back."""
        shards = _Shards(entries)
        live = {entry.name: entry.target for entry in shards.others if entry.referable}
        values = self._contents.values(live, copied(shards.others))
        state = shards.state()
        if state:
            try:
                dcp.load(state, self._folder, self._group)
                shards.restore(state)
            except Exception as error:
                raise RestoreError(
                    f"{self.name} cannot be loaded into {', '.join(state)} ({type(error).__name__}: {error})"
                ) from error
        for entry in shards.others:
            entry.restore(values[entry.name])
        return values.get(RANDOM)


class _Shards:
    """The modules and optimizers of a state, each optimizer with the module it belongs to."""

    def __init__(self, entries: Sequence[Entry]) -> None:
        import torch

        self._modules = [e for e in entries if isinstance(e.target, torch.nn.Module)]
        optimizers = [e for e in entries if isinstance(e.target, torch.optim.Optimizer)]
        self._optimizers = [(entry, self._module_of(entry)) for entry in optimizers]
        sharded = {entry.name for entry in [*self._modules, *optimizers]}
        self.others = [entry for entry in entries if entry.name not in sharded]

    def state(self) -> dict[str, Any]:
        found: dict[str, Any] = {
            entry.name: dcp.states.get_model_state_dict(entry.target) for entry in self._modules
        }
        for entry, module in self._optimizers:
            found[entry.name] = dcp.states.get_optimizer_state_dict(module, entry.target)
        return found

    def restore(self, state: dict[str, Any]) -> None:
        for entry in self._modules:
            dcp.states.set_model_state_dict(entry.target, state[entry.name])
        for entry, module in self._optimizers:
            dcp.states.set_optimizer_state_dict(module, entry.target, state[entry.name])

    def _module_of(self, optimizer: Entry) -> Any:
        wanted = {id(p) for group in optimizer.target.param_groups for p in group["params"]}
        for module in self._modules:
            if wanted <= {id(parameter) for parameter in module.target.parameters()}:
                return module.target
        raise UnsupportedStateError(
            f"{optimizer.name!r} optimises parameters of no single module in the state: on several"
            " ranks, put the module that holds all of them into the state too"
        )


def _pairs(names: Sequence[Name]) -> list[tuple[int, int]]:
    return [(name.step, name.time) for name in names]


def _manifests(whole: Path, name: Name) -> list[Manifest]:
    """The manifests of all ranks; raises DamagedError where one is missing or does not fit."""
    parts: list[Manifest] = []
    count = 1
    while len(parts) < count:
        rank = len(parts)
        try:
            part = manifests.read(whole / f"rank-{rank}")
        except DamagedError as damage:
            raise DamagedError(f"rank-{rank}/{damage.file}", damage.reason) from None
        if (part.step, part.time, part.rank) != (name.step, name.time, rank):
            raise DamagedError(f"rank-{rank}/{manifests.NAME}", "belongs to another checkpoint")
        count = part.world_size
        parts.append(part)
    return parts


def _verify(whole: Path, rank: int, part: Manifest, file: str) -> None:
    try:
        manifests.verify(whole / f"rank-{rank}", part, [file])
    except DamagedError as damage:
        raise DamagedError(f"rank-{rank}/{damage.file}", damage.reason) from None


def _own(whole: Path, rank: int, part: Manifest) -> files.Contents:
    try:
        return files.read(whole / f"rank-{rank}", part)
    except DamagedError as damage:
        raise DamagedError(f"rank-{rank}/{damage.file}", damage.reason) from None
