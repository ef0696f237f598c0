"""Where jsonata-python answers otherwise than the reference (`jsonata` 2.0.6 of npm, which AWS documents).

Each difference is closed here, for the library; `compiled/` follows these functions. `tests/reference` asks
the reference itself: of all that the test run evaluates, and of generated expressions.

| expression | jsonata-python 0.7 | the reference |
| --- | --- | --- |
| `$absent[test]` | does not ask | asks the test once, of nothing, and keeps that where it is met |
| `1 / 0`, `5.5 % 2` | an error, 1 | Infinity (an error once it is calculated with), 1.5 |
| `$count(null)` | 0 | 1 |
| `$map(null, f)`, `$substring(null, 1)` | nothing, as without the argument | f of null; an error |
| `$string(1e20)`, `$string([0.1 + 0.2])` | 1E+20, all digits | 100000000000000000000, [0.3] |
| `$random(42)` | Python's | java.util.Random's, as measured on AWS |
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from decimal import Decimal
from typing import Any

from jsonata.jexception import JException
from jsonata.jsonata import Jsonata
from jsonata.signature import Signature
from jsonata.utils import Utils

from workflows.local.step_functions.jsonata.json_values import NULL

_LARGEST_IN_FULL = 1e21  # from here on, JavaScript writes an exponent
_SMALLEST_IN_FULL = 1e-6
_EXACT = 10**15  # below, a whole number has no more than the 15 digits that are written


def _with_null(theirs: Callable[[Any, Any], str]) -> Callable[[Any, Any], str]:
    """The letter of an argument's type in signatures: null has one of its own."""

    def symbol(signature: Any, value: Any) -> str:
        return "l" if value is NULL else theirs(signature, value)

    return symbol


# Of the class, because the library's own functions have made their signatures by now.
Signature.get_symbol = _with_null(Signature.get_symbol)


class Following(Jsonata):  # type: ignore[misc]
    """The library, following the reference where nodes are evaluated."""

    def evaluate_filter(self, predicate: Any, input: Any, environment: Any) -> Any:
        """Of nothing, the reference makes a sequence that holds nothing."""
        if input is None and predicate.type != "number":
            input = Utils.create_sequence(None)
        return super().evaluate_filter(predicate, input, environment)

    def evaluate_string_concat(self, lhs: Any, rhs: Any) -> str:
        """With `$string` of our own."""
        return "".join(str(string(each)) for each in (lhs, rhs) if each is not None)

    def evaluate_numeric_expression(self, lhs: Any, rhs: Any, op: Any) -> Any:
        """Numbers are JavaScript's: a division by zero has a result."""
        for side, code in ((lhs, "T2001"), (rhs, "T2002")):
            if side is not None and not Utils.is_numeric(side):
                raise JException(code, -1, op, side)
        if lhs is None or rhs is None:
            return None
        return calculated(float(lhs), float(rhs), str(op))


def calculated(left: float, right: float, sign: str) -> int | float:
    """What JavaScript makes of two numbers; Infinity and NaN among it."""
    try:
        if sign == "/":
            found = left / right
        elif sign == "%":
            found = math.fmod(left, right)
        else:
            found = {"+": left + right, "-": left - right, "*": left * right}[sign]
    except (ZeroDivisionError, ValueError):  # fmod says ValueError
        signed = math.copysign(1, left) * math.copysign(1, right)
        found = math.nan if sign == "%" or left == 0 or math.isnan(left) else math.inf * signed
    return int(found) if math.isfinite(found) and found == int(found) else found


def string(value: Any = None, prettify: Any = None) -> Any:
    """`$string`; numbers have 15 digits wherever they stand."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, float) and not math.isfinite(value):
        raise JException("D3001", -1, value)
    if _is_number(value):
        return number_text(value)
    if not isinstance(value, bool | dict | list | tuple) and value is not NULL:
        return ""  # a function, of which a regular expression is one
    return _written(_json(value), "" if prettify else None)


def number_text(value: int | float) -> str:
    """A number of 15 digits as JavaScript writes it."""
    if isinstance(value, int) and -_EXACT < value < _EXACT:
        return str(value)
    number = float(f"{value:.15g}")
    if number == 0:
        return "0"
    if abs(number) < _SMALLEST_IN_FULL or abs(number) >= _LARGEST_IN_FULL:
        digits, _, exponent = f"{number!r}".partition("e")
        return f"{digits.removesuffix('.0')}e{int(exponent):+d}"
    if number == int(number):
        return str(int(Decimal(repr(number))))  # JavaScript's digits, and zeros behind them
    text = repr(number)
    return text if "e" not in text else f"{number:.{14 - math.floor(math.log10(abs(number)))}f}".rstrip("0")


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _json(value: Any) -> Any:
    """The value with its functions as "" and its nulls as null, ready to be written."""
    if value is None or value is NULL:
        return None
    if isinstance(value, dict):
        return {key: _json(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_json(each) for each in value]
    return value if isinstance(value, str | int | float) else ""


def _written(value: Any, indent: str | None) -> str:
    """JSON without spaces, or with line breaks (`indent` is what the line begins with)."""
    inner = None if indent is None else indent + "  "
    if isinstance(value, dict | list) and value:
        colon = ":" if indent is None else ": "
        parts = (
            [f"{_written(key, None)}{colon}{_written(each, inner)}" for key, each in value.items()]
            if isinstance(value, dict)
            else [_written(each, inner) for each in value]
        )
        opened, closed = "{}" if isinstance(value, dict) else "[]"
        if inner is None:
            return opened + ",".join(parts) + closed
        lines = ",\n".join(inner + part for part in parts)
        return f"{opened}\n{lines}\n{indent}{closed}"
    if _is_number(value):
        return number_text(value) if math.isfinite(value) else "null"
    return json.dumps(value, ensure_ascii=False)


def count(values: Any = None) -> int:
    """`$count`; a value that is no array is one."""
    return len(values) if isinstance(values, list) else int(values is not None)


def java_random(seed: float) -> float:
    """The first number of java.util.Random(seed): AWS's $random(42) was seen to be 0.7275636800328681."""
    mask = (1 << 48) - 1
    state = (int(seed) ^ 0x5DEECE66D) & mask
    parts = []
    for bits in (26, 27):
        state = (state * 0x5DEECE66D + 0xB) & mask
        parts.append(state >> (48 - bits))
    return float((parts[0] << 27) + parts[1]) / float(1 << 53)
