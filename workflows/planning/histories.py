"""When spot capacity was there: recorded histories, their files, and new ones drawn from them.

    {"metadata": {"gap_seconds": 195, "zone": "us-east-1a", ...}, "data": [0, 0, 1, 1, ...]}

A file is one zone's; `data` counts the instances that could be had at each tick. Some publications store 1
for "preempted" instead: `metadata.polarity` says so ("available", the default, or "preempted"), or the
caller does. `prices` (dollars an hour, one for each tick) may stand beside `data`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from workflows.errors import RelayError

Polarity = Literal["available", "preempted"]
POLARITIES: tuple[Polarity, ...] = get_args(Polarity)
BLOCK_SECONDS = 24 * 3600.0  # long enough to keep what a day does, short enough that a fortnight has several


class HistoryError(RelayError):
    """A history that cannot be used."""


@dataclass(frozen=True)
class History:
    """One pool's capacity: `counts` of instances that could be had, one for each `tick` (seconds).

    `prices`: dollars an hour for one instance, one for each tick, where they are known.
    """

    name: str
    counts: NDArray[np.int64]
    tick: float
    instance_type: str = ""
    prices: NDArray[np.float64] | None = None

    @property
    def seconds(self) -> float:
        """How long it was watched."""
        return len(self.counts) * self.tick

    def up(self, need: int = 1) -> NDArray[np.bool_]:
        """Says at which ticks `need` instances could be had at once."""
        return self.counts >= need


def read_history(path: Path, *, polarity: Polarity | None = None) -> History:
    """The history in a file; `polarity` goes before what the file says. Raises HistoryError."""
    try:
        content = json.loads(path.read_text("utf-8"))
    except OSError as error:
        raise HistoryError(f"{path}: cannot be read: {error.strerror}") from None
    except ValueError as error:
        raise HistoryError(f"{path}: not JSON: {error}") from None
    try:
        metadata, data = content["metadata"], content["data"]
        tick = float(metadata["gap_seconds"])
    except (KeyError, TypeError, ValueError):
        raise HistoryError(
            f'{path}: not a history; expected {{"metadata": {{"gap_seconds": s}}, "data": [counts]}}'
        ) from None
    meaning = polarity or metadata.get("polarity", "available")
    if meaning not in POLARITIES:
        raise HistoryError(f"{path}: metadata.polarity: found {meaning!r}, allowed: {', '.join(POLARITIES)}")
    counts = _numbers(path, "data", data)
    if not 0 < tick < float("inf"):
        raise HistoryError(f"{path}: metadata.gap_seconds: found {tick:g}, expected seconds above 0")
    if meaning == "preempted":
        if counts.max() > 1:
            raise HistoryError(f"{path}: data: `preempted` histories hold 0 and 1, found {counts.max():g}")
        counts = 1 - counts
    prices = _numbers(path, "prices", content["prices"]) if "prices" in content else None
    if prices is not None and len(prices) != len(counts):
        raise HistoryError(
            f"{path}: prices: found {len(prices)}, expected one for each of {len(counts)} ticks"
        )
    return History(
        name=str(metadata.get("zone", path.stem)),
        counts=counts.astype(np.int64),
        tick=tick,
        instance_type=str(metadata.get("instance_type", "")),
        prices=prices,
    )


def read_folder(folder: Path, *, polarity: Polarity | None = None) -> tuple[History, ...]:
    """All histories (*.json) of a folder, in the order of their names. Raises HistoryError."""
    if not folder.is_dir():
        raise HistoryError(f"{folder}: no such folder of histories")
    found = tuple(read_history(path, polarity=polarity) for path in sorted(folder.glob("*.json")))
    if not found:
        raise HistoryError(f"{folder}: holds no histories (*.json)")
    return found


def together(histories: Sequence[History]) -> tuple[History, ...]:
    """The part that all of them cover, on one tick, so that they can be read side by side.

    They are taken to begin at the same moment. A coarser history keeps its count for several ticks of a finer
    one.
    """
    tick = min(history.tick for history in histories)
    ticks = int(min(history.seconds for history in histories) / tick)
    return tuple(_cut(history, tick, ticks) for history in histories)


def resampled(
    histories: Sequence[History], seconds: float, rng: np.random.Generator, *, block: float = BLOCK_SECONDS
) -> tuple[History, ...]:
    """New histories of that length, made of blocks of the old ones (circular block bootstrap).

    All are cut at the same places: what happens in several zones at once goes on happening at once. A block
    keeps the time that it was drawn from, but not the time of day.
    """
    found = together(histories)
    tick, known = found[0].tick, len(found[0].counts)
    wanted, size = max(1, round(seconds / tick)), max(1, min(known, round(block / tick)))
    starts = rng.integers(0, known, size=-(-wanted // size))
    index = ((starts[:, None] + np.arange(size)[None, :]) % known).ravel()[:wanted]
    return tuple(_taken(history, index) for history in found)


def windows(known: int, wanted: int, count: int, rng: np.random.Generator) -> Iterable[int]:
    """Up to `count` different first ticks from which `wanted` ticks of `known` are left, in their order."""
    room = known - wanted + 1
    if room <= 0:
        return []
    return sorted(int(start) for start in rng.choice(room, size=min(count, room), replace=False))


def _numbers(path: Path, name: str, values: Any) -> NDArray[Any]:
    try:
        found = np.asarray(values, dtype=float)
    except (TypeError, ValueError):
        raise HistoryError(f"{path}: {name}: expected a list of numbers") from None
    if found.ndim != 1 or not len(found) or not np.isfinite(found).all() or found.min() < 0:
        raise HistoryError(f"{path}: {name}: expected a list of numbers, none below 0")
    return found


def _cut(history: History, tick: float, ticks: int) -> History:
    index = np.minimum((np.arange(ticks) * tick / history.tick + 1e-9).astype(int), len(history.counts) - 1)
    return replace(_taken(history, index), tick=tick)


def _taken(history: History, index: NDArray[Any]) -> History:
    prices = None if history.prices is None else history.prices[index]
    return replace(history, counts=history.counts[index], prices=prices)
