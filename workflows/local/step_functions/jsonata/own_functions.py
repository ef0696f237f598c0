"""Functions that Step Functions adds to JSONata, or ties to the world's clock and its seed."""

from __future__ import annotations

import hashlib
import random
import uuid
from collections.abc import Callable
from datetime import datetime
from functools import cache, cached_property
from typing import Any, ClassVar

from jsonata.functions import Functions
from jsonata.jsonata import Jsonata
from jsonata.signature import Signature

from workflows.local.json_texts import read_json
from workflows.local.step_functions.jsonata.json_values import ExpressionError, prepare

DRAWING = frozenset({"random", "uuid", "shuffle"})
"""Functions that use up random numbers."""

HASHES = {"MD5", "SHA-1", "SHA-256", "SHA-384", "SHA-512"}


class Native(Jsonata.JFunction):  # type: ignore[misc]
    """A Python function under a JSONata signature, with the arity that $map and $filter ask for."""

    def __init__(self, function: Callable[..., Any], signature: str, arity: int) -> None:
        super().__init__(Jsonata.JLambda(function), None)
        self.signature = _signature(signature, function.__name__)
        self._arity = arity

    def get_number_of_args(self) -> int:
        return self._arity


@cache
def _signature(text: str, name: str) -> Signature:
    """Reads a signature once for all worlds, whose functions have the same names and signatures."""
    return Signature(text, name)


class OwnFunctions:
    """The functions of one world: its clock's time, and random numbers that follow its seed."""

    NAMES: ClassVar[frozenset[str]] = DRAWING | {
        "now",
        "millis",
        *("parse", "hash", "partition", "range", "sort"),
    }

    def __init__(self, now: Callable[[], datetime], seed: int) -> None:
        self._now = now
        self._seed = seed
        self._mark: Any = None
        self.table: dict[str, Native] = {
            "now": Native(self._now_text, "<s?s?:s>", 2),
            "millis": Native(self.millis, "<:n>", 0),
            "uuid": Native(self._uuid, "<:s>", 0),
            "random": Native(self._random_number, "<n?:n>", 1),
            "shuffle": Native(self._shuffle, "<a:a>", 1),
            **_PURE,
        }
        """Each function by its name in expressions, without the `$`."""

    @cached_property
    def _random(self) -> random.Random:
        """The generator, made when it is first asked for: few expressions draw."""
        return random.Random(f"jsonata {self._seed}")

    def millis(self) -> int:
        """Returns the clock's time in milliseconds since 1970."""
        return int(self._now().timestamp() * 1000)

    def mark(self) -> None:
        """Remember where the random numbers stand."""
        self._mark = self._random.getstate()

    def rewind(self) -> None:
        """Go back to the mark: an expression is evaluated once more."""
        self._random.setstate(self._mark)

    def _now_text(self, picture: str | None = None, timezone: str | None = None) -> Any:
        return Functions.datetime_from_millis(self._now().timestamp() * 1000, picture, timezone)

    def _uuid(self) -> str:
        return str(uuid.UUID(int=self._random.getrandbits(128), version=4))

    def _random_number(self, seed: float | None = None) -> float:
        return self._random.random() if seed is None else random.Random(int(seed)).random()

    def _shuffle(self, array: list[Any] | None = None) -> Any:
        return None if array is None else self._random.sample(list(array), len(array))


def _sort(array: list[Any] | None = None, behind: Any = None) -> Any:
    """Sort as JSONata's merge sort does: items of which neither stands behind the other keep their order.

    The library's own turns them around.
    """
    if array is None or behind is None:
        return Functions.sort(array, None)

    class Place:
        def __init__(self, item: Any) -> None:
            self.item = item

        def __lt__(self, other: Place) -> bool:
            return bool(Functions.func_apply(behind, [other.item, self.item]))

    return sorted(array, key=Place)


def parse(text: str | None = None) -> Any:
    """`$parse`; raises ExpressionError."""
    if text is None:
        return None
    try:
        return prepare(read_json(text), text)
    except ValueError as error:
        raise ExpressionError(f"$parse: the argument is not valid JSON: {error}") from error


def hash_of(text: str | None = None, algorithm: str | None = None) -> str | None:
    """`$hash`; raises ExpressionError."""
    if text is None or algorithm is None:
        return None
    if algorithm not in HASHES:
        raise ExpressionError(f"$hash: {algorithm} is not one of {', '.join(sorted(HASHES))}")
    return hashlib.new(algorithm.replace("-", "").lower(), text.encode()).hexdigest()


def _partition(array: list[Any] | None = None, size: float | None = None) -> Any:
    if not array or size is None or int(size) < 1:
        return None
    chunk = int(size)
    return [list(array[start : start + chunk]) for start in range(0, len(array), chunk)]


def _range(start: float | None = None, end: float | None = None, step: float | None = None) -> Any:
    if start is None or end is None or step is None or int(step) == 0:
        return None
    first, last, by = int(start), int(end), int(step)
    numbers = list(range(first, last + (1 if by > 0 else -1), by))
    if len(numbers) < 2:
        return numbers[0] if numbers else None
    return numbers


_PURE = {
    "parse": Native(parse, "<s-:x>", 1),
    "hash": Native(hash_of, "<s-s?:s>", 2),
    "partition": Native(_partition, "<an?:a>", 2),
    "range": Native(_range, "<nnn?:a>", 3),
    "sort": Native(_sort, "<af?:a>", 2),
}
"""Functions that depend on their arguments only."""
