"""The options of `relay run` that say what a run is to do -> the run's input.

--input FILE|JSON, under --deadline, --budget-usd, --from, --only, --reuse, --set, --key
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from workflows.specification.aws_limits import LONGEST_RUN_NAME
from workflows.specification.run_input import RunInputError


@dataclass(frozen=True)
class RunOptions:
    """What was said on the command line; None and () where nothing was."""

    input: str | None = None
    deadline: str | None = None
    budget_usd: float | None = None
    from_: str | None = None
    only: Sequence[str] = ()
    reuse: bool | None = None
    set: Sequence[str] = ()
    key: str | None = None

    def run_input(self) -> Any:
        """The run's input; an option goes before what `--input` says of the same field.

        Raises RunInputError. What the pipeline allows is `check_input`'s to say.
        """
        given = {} if self.input is None else read_input(self.input)
        if not isinstance(given, dict):
            return given  # its type is the mistake
        options = {
            "deadline": self.deadline,
            "budget_usd": self.budget_usd,
            "from": self.from_,
            "only": list(self.only) or None,
            "reuse": self.reuse,
            "key": self.key,
        }
        merged = {**given, **{name: value for name, value in options.items() if value is not None}}
        if self.set:
            merged["parameters"] = _over(given.get("parameters", {}), self.set)
        return merged


def read_input(text: str) -> Any:
    """The run input in a JSON text, or in the file of that name."""
    written = text.lstrip().startswith(("{", "["))
    try:
        return json.loads(text if written else Path(text).read_text(encoding="utf-8"))
    except OSError as error:
        raise RunInputError(f"--input: {text}: cannot be read: {error.strerror}") from None
    except (ValueError, RecursionError) as error:
        where = "--input" if written else f"--input: {text}"
        raise RunInputError(f'{where}: not JSON such as {{"deadline": "36h"}}: {error}') from None


def run_name(pipeline: str, key: str) -> str:
    """The name of the run with an idempotency key. Raises RunInputError for a key that is too long for it."""
    name = f"{pipeline}-{key}"
    if len(name) > LONGEST_RUN_NAME:
        room = LONGEST_RUN_NAME - len(pipeline) - 1
        raise RunInputError(f"run input.key: found {len(key)} characters; with this pipeline at most {room}")
    return name


def _over(parameters: Any, assignments: Sequence[str]) -> Any:
    """`STAGE.NAME=VALUE` over the parameters of the input."""
    if not isinstance(parameters, dict):
        return parameters  # its type is the mistake
    merged: dict[str, Any] = dict(parameters)
    for text in assignments:
        place, equals, value = text.partition("=")
        stage, dot, name = place.partition(".")
        if not (stage and dot and name and equals):
            raise RunInputError(f"--set: found {text}; expected STAGE.NAME=VALUE, e.g. pretrain.epochs=20")
        known = merged.get(stage, {})
        if not isinstance(known, Mapping):
            return merged
        merged[stage] = {**known, name: scalar(value)}
    return merged


def scalar(text: str) -> str | bool | int | float:
    """A number, true or false, as YAML reads it; everything else is the text itself."""
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError:
        return text
    if isinstance(value, float) and not math.isfinite(value):
        return text
    return value if isinstance(value, bool | int | float) else text
