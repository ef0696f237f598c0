"""How each kind of object in the state is read and, later, restored in place."""

from __future__ import annotations

import array
import collections
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from .errors import RestoreError, UnsupportedStateError

_PAIRS = (("state_dict", "load_state_dict"), ("get_state", "set_state"), ("getstate", "setstate"))
_IMMUTABLE = (int, float, complex, bool, str, bytes, tuple, frozenset, type(None))


@dataclass(frozen=True)
class Entry:
    """One object of the state: how to read it, and how to put a value back into it."""

    name: str
    target: Any
    read: Callable[[], Any]
    write: Callable[[Any], Any]
    referable: bool  # other entries that hold this very object refer to it
    copies: bool = False  # write() copies tensors into the object's own, on whichever device they are

    def restore(self, value: Any) -> None:
        """Puts a value back; raises RestoreError with the entry's name."""
        try:
            self.write(value)
        except Exception as error:
            raise RestoreError(
                f"{self.name!r} ({type(self.target).__name__}) refused the checkpoint:"
                f" {type(error).__name__}: {error}"
            ) from error


def entry(name: str, target: Any) -> Entry:
    """How to save and restore an object; raises UnsupportedStateError where there is no way."""
    for get, put in _PAIRS:
        read, write = getattr(target, get, None), getattr(target, put, None)
        if callable(read) and callable(write) and not isinstance(target, type):
            return Entry(name, target, read, write, True, _is("torch", "nn.Module")(target))
    for matches, make in _KINDS:
        if matches(target):
            read, write, referable = make(target)
            return Entry(name, target, read, write, referable, _is("torch", "Tensor")(target))
    if isinstance(target, _IMMUTABLE):
        hint = f"which cannot change in place: keep it in a dict, as {{{name!r}: {target!r}}}"
    else:
        hint = "which has neither state_dict/load_state_dict nor a __dict__"
    raise UnsupportedStateError(f"{name!r} is {type(target).__name__}, {hint}")


_Ways = tuple[Callable[[], Any], Callable[[Any], Any], bool]


def _container(target: Any) -> _Ways:
    fill = target.extend if hasattr(target, "extend") else target.update

    def write(value: Any) -> None:
        target.clear()
        fill(value)

    plain: Any = dict if isinstance(target, dict) else list
    return (lambda: plain(target)), write, False


def _array(target: array.array[Any]) -> _Ways:
    def write(value: array.array[Any]) -> None:
        target[:] = value

    return (lambda: target), write, False


def _bytes(target: bytearray) -> _Ways:
    def write(value: bytearray) -> None:
        target[:] = value

    return (lambda: target), write, False


def _numpy_array(target: Any) -> _Ways:
    def write(value: Any) -> None:
        if value.shape != target.shape or value.dtype != target.dtype:
            raise ValueError(
                f"{value.dtype}{list(value.shape)} was saved,"
                f" and the array is {target.dtype}{list(target.shape)}"
            )
        target[...] = value

    return (lambda: target), write, False


def _numpy_generator(target: Any) -> _Ways:
    bits = target.bit_generator
    return (lambda: bits.state), (lambda value: setattr(bits, "state", value)), True


def _tensor(target: Any) -> _Ways:
    def write(value: Any) -> None:
        if value.shape != target.shape:
            raise ValueError(f"{list(value.shape)} was saved, the tensor is {list(target.shape)}")
        target.detach().copy_(value)

    return (lambda: target.detach()), write, False


def _attributes(target: Any) -> _Ways:
    def write(value: dict[str, Any]) -> None:
        vars(target).clear()
        vars(target).update(value)

    return (lambda: dict(vars(target))), write, True


def _is(module: str, name: str) -> Callable[[Any], bool]:
    """Whether an object is of a class of a module, without importing the module for it."""

    def matches(target: Any) -> bool:
        kind: Any = sys.modules.get(module)
        for part in name.split("."):
            kind = getattr(kind, part, None)
        return kind is not None and isinstance(target, kind)

    return matches


_KINDS: tuple[tuple[Callable[[Any], bool], Callable[[Any], _Ways]], ...] = (
    (lambda t: isinstance(t, dict | list | set | collections.deque), _container),
    (lambda t: isinstance(t, array.array), _array),
    (lambda t: isinstance(t, bytearray), _bytes),
    (_is("numpy", "ndarray"), _numpy_array),
    (_is("numpy", "random.Generator"), _numpy_generator),
    (_is("torch", "Tensor"), _tensor),
    (lambda t: hasattr(t, "__dict__") and not callable(t), _attributes),
)
