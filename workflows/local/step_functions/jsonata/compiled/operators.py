"""JSONata's operators for operands that they accept; for all others the library is asked."""

from __future__ import annotations

import math
from typing import Any

from jsonata.jsonata import Jsonata
from jsonata.utils import Utils

from workflows.local.step_functions.jsonata.compiled.library_values import NUMBERS, Array, UnsureError, single

_float: Any = float  # mypy takes the classes of what is tested by its class for objects


def whole(number: float) -> int | float:
    """Returns a number as the library keeps it: as an integer if it is whole."""
    if number - number != 0:  # infinite, or not a number
        raise UnsureError
    integer = int(number)
    return integer if integer == number else number


def plus(left: Any, right: Any) -> Any:
    """`left + right`."""
    if left.__class__ in NUMBERS and right.__class__ in NUMBERS:
        return whole(_float(left) + _float(right))
    return _nothing(left, right)


def minus(left: Any, right: Any) -> Any:
    """`left - right`."""
    if left.__class__ in NUMBERS and right.__class__ in NUMBERS:
        return whole(_float(left) - _float(right))
    return _nothing(left, right)


def times(left: Any, right: Any) -> Any:
    """`left * right`."""
    if left.__class__ in NUMBERS and right.__class__ in NUMBERS:
        return whole(_float(left) * _float(right))
    return _nothing(left, right)


def divided(left: Any, right: Any) -> Any:
    """`left / right`."""
    if left.__class__ in NUMBERS and right.__class__ in NUMBERS:
        return whole(_float(left) / _float(right))
    return _nothing(left, right)


def remainder(left: Any, right: Any) -> Any:
    """`left % right`."""
    if left.__class__ in NUMBERS and right.__class__ in NUMBERS:
        return int(math.fmod(_float(left), _float(right)))
    return _nothing(left, right)


def negative(value: Any) -> Any:
    """`-value`."""
    if value.__class__ in NUMBERS:
        return whole(-_float(value))
    if value is None:
        return None
    raise UnsureError


def _nothing(left: Any, right: Any) -> None:
    """Returns undefined if one side is undefined and the other a number; raises for all else."""
    for each in (left, right):
        if each is not None and each.__class__ not in NUMBERS:
            raise UnsureError


def equal(left: Any, right: Any) -> bool:
    """`left = right`; false where one side is undefined."""
    if left is None or right is None:
        return False
    one, other = left.__class__, right.__class__
    if one is str or other is str:
        return bool(left == right)
    if one in NUMBERS:
        left = _float(left)
    if other in NUMBERS:
        right = _float(right)
    return bool(Utils.is_deep_equal(left, right))


def unequal(left: Any, right: Any) -> bool:
    """`left != right`; false, too, where one side is undefined."""
    return left is not None and right is not None and not equal(left, right)


def less(left: Any, right: Any) -> bool | None:
    """`left < right`."""
    return bool(left < right) if _comparable(left, right) else None


def at_most(left: Any, right: Any) -> bool | None:
    """`left <= right`."""
    return bool(left <= right) if _comparable(left, right) else None


def more(left: Any, right: Any) -> bool | None:
    """`left > right`."""
    return bool(left > right) if _comparable(left, right) else None


def at_least(left: Any, right: Any) -> bool | None:
    """`left >= right`."""
    return bool(left >= right) if _comparable(left, right) else None


def _comparable(left: Any, right: Any) -> bool:
    """Whether both are there; raises for what cannot be compared.

    Python compares an int with a float exactly, and the library as floats: beyond 2^53 they may differ.
    """
    one, other = left.__class__, right.__class__
    if one is other and (one in NUMBERS or one is str):
        return True
    if one in NUMBERS and other in NUMBERS:
        if abs(left) >= 2**53 or abs(right) >= 2**53:
            raise UnsureError
        return True
    for each in (left, right):
        if each is not None and each.__class__ not in NUMBERS and each.__class__ is not str:
            raise UnsureError
    if left is not None and right is not None:
        raise UnsureError
    return False


def within(left: Any, right: Any) -> bool:
    """`left in right`."""
    if left.__class__ is str and right.__class__ is Array:
        return left in right
    if left is None or right is None:
        return False
    return left in right if isinstance(right, list) else bool(left == right)


def span(left: Any, right: Any) -> Any:
    """`left..right`."""
    return single(Jsonata.evaluate_range_expression(None, left, right))


ARITHMETIC = {"+": plus, "-": minus, "*": times, "/": divided, "%": remainder}
COMPARISONS = {"<": less, "<=": at_most, ">": more, ">=": at_least}
