"""Small pieces of JSONata text, of which the machine's expressions are put together."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any


class Expression(str):
    """The text of an expression as it stands in a machine: what is not one of these is a plain text."""

    __slots__ = ()


def jsonata(expression: str) -> Expression:
    """The expression as a value in a machine's text."""
    return Expression("{% " + expression + " %}")


def quoted(value: Any) -> Any:
    """A value of a machine's text in which no plain text is taken for an expression.

    Step Functions takes every text that begins with `{%` for one, wherever a user wrote it (a chat template
    in the environment, say): such a text becomes an expression that gives the text.
    """
    if isinstance(value, str):
        plain = not isinstance(value, Expression) and value.lstrip().startswith("{%")
        return jsonata(json.dumps(value)) if plain else value
    if isinstance(value, Mapping):
        return {name: quoted(each) for name, each in value.items()}
    return [quoted(each) for each in value] if isinstance(value, list | tuple) else value


def fields(values: dict[str, str]) -> str:
    """An object of expressions."""
    return "{" + ", ".join(f'"{name}": {text}' for name, text in values.items()) + "}"


def or_else(path: str, default: str) -> str:
    """The value at a path, or the default where AWS left it out."""
    return f"($exists({path}) ? {path} : {default})"


def millis(path: str) -> str:
    """A moment in milliseconds, whether AWS wrote it as text (SDK integrations) or as a number (.sync)."""
    return f"($type({path}) = 'string' ? $toMillis({path}) : {path})"


def second(path: str) -> str:
    """A moment as text, to the second; now, where AWS named none (a job that was never made)."""
    return f'$substring($fromMillis($exists({path}) ? {millis(path)} : $millis()), 0, 19) & "Z"'
