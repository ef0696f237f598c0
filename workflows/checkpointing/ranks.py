"""What several processes of one training must agree on; alone, one agrees with oneself."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from . import files
from . import manifest as manifests
from .errors import CheckpointError
from .host_buffer import HostBuffer
from .manifest import Manifest
from .snapshot import RANDOM, take
from .state import Entry
from .store import Name, Store, newest_whole


@dataclass(frozen=True)
class Vote:
    """One rank's view between two steps.

    `time` is for the next checkpoint's name, `published` the time in the newest one's name, and
    `pause` the number of steps that may be done before the ranks ask each other again.
    """

    stop: bool
    due: bool
    busy: bool
    time: int
    published: int
    pause: int = 0


class Found(Protocol):
    """A whole checkpoint that was read, and touched nothing yet."""

    name: Name
    manifest: Manifest

    def names(self) -> list[str]:
        """The entries that it has."""

    def restore(self, entries: Sequence[Entry]) -> Any:
        """Builds all values, then puts them back; returns the random state."""


class Ranks(Protocol):
    """How the processes of a training save and resume as one."""

    rank: int
    world_size: int
    prunes: bool

    def agree(self, vote: Vote) -> Vote:
        """The same answer on every rank: stop if any must, save when rank 0 is due."""

    def all(self, value: bool) -> bool:
        """True where it is true on every rank; every rank must ask."""

    def ready(self, value: bool) -> bool:
        """The same as `all`, asked by the writer's thread before it writes."""

    def find(self, store: Store) -> Found | None:
        """The newest checkpoint that is whole on every rank."""

    def sharded(self, entries: Sequence[Entry]) -> list[str]:
        """The names of the entries that are saved once over all ranks."""

    def take(
        self, entries: Sequence[Entry], random: Callable[[], Any]
    ) -> Callable[[Path], dict[str, list[Any]]]:
        """Copies the state now; the function returned writes it, later, in another thread."""

    def close(self) -> None:
        """Lets go of what was made for agreeing and saving; every rank must call it."""


class Alone:
    """A training of one process."""

    rank = 0
    world_size = 1
    prunes = True

    def __init__(self) -> None:
        self._host = HostBuffer()

    def agree(self, vote: Vote) -> Vote:
        """One's own vote."""
        return vote

    def all(self, value: bool) -> bool:
        """One's own view."""
        return value

    def ready(self, value: bool) -> bool:
        """One's own view."""
        return value

    def find(self, store: Store) -> Found | None:
        """The newest whole checkpoint, in memory."""
        contents: list[files.Contents] = []

        def read(place: Path) -> Manifest:
            if (place / "rank-0").is_dir():
                raise CheckpointError(
                    f"{place.name} was made by a training with torch.distributed: call"
                    " init_process_group() before the Checkpointer is entered"
                )
            found = manifests.read(place)
            contents[:] = [files.read(place, found)]
            return found

        newest = newest_whole(store, read)
        return InMemory(*newest, contents[0]) if newest else None

    def sharded(self, entries: Sequence[Entry]) -> list[str]:
        """None: there is one rank."""
        return []

    def take(
        self, entries: Sequence[Entry], random: Callable[[], Any]
    ) -> Callable[[Path], dict[str, list[Any]]]:
        """Copies all entries into the host buffer."""
        values = {entry.name: entry.read for entry in entries}
        snapshot = take({**values, RANDOM: random}, self._host, references(entries))
        return lambda folder: files.write(folder, snapshot)

    def close(self) -> None:
        """Nothing to let go of."""


class InMemory:
    """A checkpoint that was read into memory and verified."""

    def __init__(self, name: Name, manifest: Manifest, contents: files.Contents) -> None:
        self.name = name
        self.manifest = manifest
        self._contents = contents

    def names(self) -> list[str]:
        """The entries that it has, without the random state."""
        return [name for name in self._contents.names() if name != RANDOM]

    def restore(self, entries: Sequence[Entry]) -> Any:
        """Builds every value before the first object is touched."""
        live: Mapping[str, Any] = {e.name: e.target for e in entries if e.referable}
        values = self._contents.values(live, copied(entries))
        for entry in entries:
            if entry.name in values:
                entry.restore(values[entry.name])
        return values.get(RANDOM)


def references(entries: Sequence[Entry]) -> dict[int, str]:
    """The objects that are saved once, and referred to where another entry holds them."""
    return {id(entry.target): entry.name for entry in entries if entry.referable}


def copied(entries: Sequence[Entry]) -> set[str]:
    """The entries that copy what they are given: a second model on the GPU might not fit there."""
    return {entry.name for entry in entries if entry.copies}
