"""Small pieces of JSONata text, of which the machine's expressions are put together."""

from __future__ import annotations


def jsonata(expression: str) -> str:
    """The expression as a value in a machine's text."""
    return "{% " + expression + " %}"


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
