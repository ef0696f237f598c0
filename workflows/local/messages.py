"""Requests and answers of AWS's APIs as Python has them: JSON with datetimes, copied and written as JSON.

A job is described some hundred times in a planned run, and its description grows with each interruption. But
nearly all of it never changes: those parts are `Fixed`, shared instead of copied, and each form in which they
are written (with times as texts, as milliseconds) is made once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime
from functools import lru_cache
from typing import Any

LARGEST_ITEM, LARGEST_ATOM = 512, 64


class Fixed(dict[str, Any]):
    """An object that nobody changes any more, nor what is in it; it remembers what was made of it."""

    __slots__ = ("_forms",)

    _forms: dict[Callable[[Any], Any], Any]

    def form(self, make: Callable[[Any], Any]) -> Any:
        """What `make` makes of it, made once; nobody changes that either."""
        known = getattr(self, "_forms", None)
        if known is None:
            known = self._forms = {}
        elif make in known:
            return known[make]
        made = known[make] = make(self)
        return made


class Overlaid(Fixed):
    """Such an object, like another, its ground, but for the values of a few members.

    Only these are made anew in each form, and laid over that of the ground. A member is a growing list as it
    was, or a text or a moment of LARGEST_ATOM bytes at most.
    """

    __slots__ = ("ground", "over")

    def __init__(self, ground: Fixed, over: dict[str, Any]) -> None:
        """`over`: members that the ground has too, so that all keep their order."""
        super().__init__(ground)
        self.update(over)
        self.ground, self.over = ground, over

    def over_ground(
        self, make: Callable[[Any], Any], make_over: Callable[[dict[str, Any]], dict[str, Any]]
    ) -> dict[str, Any]:
        """What `make`, which looks at each member alone, makes of it; `make_over` does of a few members."""
        return {**self.ground.form(make), **make_over(self.over)}


def added(over: dict[str, Any]) -> int:
    """How many bytes of JSON an object takes more than its ground, at most and in any form."""
    most = LARGEST_ATOM * len(over)
    for item in over.values():
        if item.__class__ is Grown:
            most += LARGEST_ITEM * len(item)
    return most


class Growing(list[Any]):
    """A list of objects to which others are added, and of which none but the last is ever replaced.

    In no form does one of them take more than LARGEST_ITEM bytes of JSON.
    """

    __slots__ = ("_settled",)

    def __init__(self, items: Iterable[Any] = ()) -> None:
        super().__init__(items)
        self._settled: dict[Callable[[Any], Any], list[Any]] = {}

    def as_it_is(self) -> Grown:
        """A copy that stays as it is."""
        return Grown(self, self._settled)


class Grown(list[Any]):
    """What a growing list was at some time: what is made of items before its last is made once for all."""

    __slots__ = ("_settled",)

    def __init__(self, items: Iterable[Any], settled: dict[Callable[[Any], Any], list[Any]]) -> None:
        super().__init__(items)
        self._settled = settled

    def form(self, make: Callable[[Any], Any]) -> list[Any]:
        """What `make` makes of each item; nobody changes that either."""
        if not self:
            return []
        settled = self._settled.setdefault(make, [])
        before = len(self) - 1
        if len(settled) < before:
            settled += [make(item) for item in self[len(settled) : before]]
        made = settled[:before]
        made.append(make(self[-1]))
        return made


def form(value: Any, make: Callable[[Any], Any]) -> Any:
    """What `make` makes of a value; only once if the value never changes."""
    return value.form(make) if value.__class__ in _FIXED else make(value)


def fixed(value: Any) -> Any:
    """A copy that shares nothing with the value, every object in it `Fixed`."""
    kind = value.__class__
    if kind is dict or kind is Fixed:
        return Fixed({key: item if item.__class__ in _ATOMS else fixed(item) for key, item in value.items()})
    if kind is list or kind is tuple:
        return [item if item.__class__ in _ATOMS else fixed(item) for item in value]
    return value


_FIXED = frozenset({Fixed, Overlaid})
_ATOMS = frozenset({str, bool, int, float, type(None), bytes})
_SHARED = _ATOMS | _FIXED


def copied(value: Any) -> Any:
    """A copy that shares nothing that may be changed; copy.deepcopy takes ten times as long."""
    kind = value.__class__
    if kind is dict:
        return {key: item if item.__class__ in _SHARED else copied(item) for key, item in value.items()}
    if kind is list or kind is tuple:
        return [item if item.__class__ in _SHARED else copied(item) for item in value]
    return value


def in_milliseconds(value: Any) -> Any:
    """A copy in which every moment is a number of milliseconds since 1970."""
    kind = value.__class__
    if kind is datetime:
        return milliseconds(value)
    if kind is Fixed:
        return value.form(_items_in_milliseconds)
    if kind is Overlaid:
        return value.over_ground(_items_in_milliseconds, _items_in_milliseconds)
    if kind is Grown:
        return value.form(_items_in_milliseconds)
    if kind is dict:
        return _items_in_milliseconds(value)
    if kind is list or kind is tuple:
        return [item if item.__class__ in _ATOMS else in_milliseconds(item) for item in value]
    return value


def _items_in_milliseconds(value: dict[str, Any]) -> dict[str, Any]:
    made = {}
    for key, item in value.items():
        kind = item.__class__
        known = kind in _ATOMS
        made[key] = item if known else milliseconds(item) if kind is datetime else in_milliseconds(item)
    return made


def as_uuid(number: int) -> str:
    """128 bits in the form of a UUID, in a third of the time that Python's own takes."""
    digits = f"{number:032x}"
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"


@lru_cache(maxsize=1024)  # a description tells the same few moments again and again
def milliseconds(moment: datetime) -> int:
    """Since 1970, as EventBridge and `.sync` tell times."""
    return round(moment.timestamp() * 1000)
