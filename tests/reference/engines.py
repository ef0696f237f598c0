"""Other engines on what the tests recorded: how many answers agree, and how long an evaluation takes.

    python -m pytest -n 0 --keep-recordings=/tmp/recordings tests/machine/test_compiled_pipeline.py
    pip install jsonatapy jlens        # into an environment of your own: Relay needs neither
    python -m tests.reference.engines /tmp/recordings

Expressions that call Step Functions' own functions are left out: the engines would need them registered.
"""

from __future__ import annotations

import importlib
import json
import re
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from workflows.local.step_functions.jsonata.expressions import Expressions
from workflows.local.step_functions.jsonata.json_values import prepare

OWN = re.compile(r"\$(parse|uuid|hash|partition|range|random|millis|now)\b")
ROUNDS = 10
Evaluate = Callable[[dict[str, Any]], Any]
Compile = Callable[[str], Evaluate]


def engines() -> Iterator[tuple[str, Compile]]:
    """Ours in both its forms, and those that are installed."""
    for name, after in (("ours, compiled", 0), ("jsonata-python", None)):
        world = Expressions(lambda: datetime(2026, 1, 1, tzinfo=UTC), compile_after=after)
        yield name, partial(_ours, world)
    for name, maker in (("jsonatapy", "compile"), ("jlens", "Expression")):
        try:
            make = getattr(importlib.import_module(name), maker)
        except ImportError:
            print(f"{name}: not installed")
            continue
        yield name, partial(_theirs, make)


def _ours(world: Expressions, text: str) -> Evaluate:
    known = world.compile(text)
    return lambda bindings: world.evaluate(known, bindings)


def _theirs(make: Callable[[str], Any], text: str) -> Evaluate:
    known = make(text)
    return lambda bindings: known.evaluate({}, bindings)


def main(folder: Path) -> None:
    """Prints a line for each engine."""
    lines = [json.loads(line) for file in folder.glob("*.jsonl") for line in file.open("rb")]
    asked = {line["text"]: line for line in lines if not OWN.search(line["text"])}
    told = [line for line in asked.values() if "value" in line["outcome"]]
    for name, compile_ in engines():
        ours = not name.startswith("j") or name == "jsonata-python"
        known = [(compile_(line["text"]), _bindings(line, ours), line["outcome"]["value"]) for line in told]
        same = sum(_answer(evaluate, bindings) == value for evaluate, bindings, value in known)
        began = time.perf_counter()
        for _ in range(ROUNDS):
            for evaluate, bindings, _value in known:
                _answer(evaluate, bindings)
        each = (time.perf_counter() - began) / ROUNDS / len(known)
        print(f"{name}: {same} of {len(known)} answers agree, {each * 1e6:.1f} us an evaluation")


def _bindings(line: dict[str, Any], ours: bool) -> dict[str, Any]:
    """Ours are prepared once, as a run has them; the others convert them at each call."""
    found: dict[str, Any] = line["bindings"]
    return {name: prepare(value) for name, value in found.items()} if ours else found


def _answer(evaluate: Evaluate, bindings: dict[str, Any]) -> Any:
    try:
        return evaluate(bindings)
    except Exception as error:
        return type(error)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
