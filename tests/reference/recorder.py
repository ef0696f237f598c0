"""What the local interpreter evaluates in a test run, written down once each, for the reference to be asked.

Each worker appends to a file of its own. What is kept is bounded, and what the bounds leave out is counted:
an expression may be looked at PER_TEST times in each test and kept MOST_OF_ONE times in the whole run.
"""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path
from random import Random
from typing import Any
from uuid import UUID

import orjson

from workflows.local.step_functions.jsonata import expressions as interpreter
from workflows.local.step_functions.jsonata.json_values import NULL, ExpressionError, UndefinedError
from workflows.local.step_functions.jsonata.json_values import UnsupportedResultError as Unsupported

PER_TEST = 12
MOST_OF_ONE = 150
MOST_BYTES = 150_000_000  # of one worker
MEMBER = re.compile(r"\$states\s*(?:\.\s*(\w+))?")
CLOCK = {"now", "millis"}
MADE_OF_PYTHON = {"shuffle"}  # draws more than once, in an order that is Python's


class Logged(Random):
    """A world's random numbers, with those that an evaluation drew."""

    def __init__(self, state: Any) -> None:
        super().__init__()
        self.setstate(state)

    def setstate(self, state: Any) -> None:
        """Also what an expression that is evaluated once more begins with."""
        self.draws: list[Any] = []
        super().setstate(state)

    def random(self) -> float:
        self.draws.append(super().random())
        return float(self.draws[-1])

    def getrandbits(self, bits: int, /) -> int:
        found = super().getrandbits(bits)
        self.draws.append(str(UUID(int=found, version=4)) if bits == 128 else found)
        return found


class Recorder:
    """Observes every evaluation of every world in this process."""

    def __init__(self, file: Path) -> None:
        self._file = file.open("ab")
        self._looked: Counter[str] = Counter()
        self._kept: Counter[str] = Counter()
        self._seen: set[int] = set()
        self._bytes = 0
        self.paused = False

    def start(self) -> None:
        interpreter.observe(self)

    def stop(self) -> None:
        interpreter.observe(None)
        self._file.close()

    def next_test(self, *, paused: bool) -> None:
        """Begin with another test."""
        self._looked.clear()
        self.paused = paused

    def wants(self, text: str, names: frozenset[str]) -> bool:
        """Whether the evaluation of this expression is to be written down."""
        if self.paused or self._bytes > MOST_BYTES or not MADE_OF_PYTHON.isdisjoint(names):
            return False
        self._looked[text] += 1
        return self._looked[text] <= PER_TEST and self._kept[text] < MOST_OF_ONE

    def evaluated(self, evaluate: Any, world: Any, expression: Any, variables: Any) -> Any:
        """Evaluate, and write down what came of it."""
        if not self.wants(expression.text, expression.names):
            return evaluate()
        drawn = None
        if expression.draws:
            own = world._own
            drawn = own.__dict__["_random"] = Logged(own._random.getstate())
        outcome: dict[str, Any] = {}
        try:
            value = evaluate()
            outcome = {"value": value}
            return value
        except UndefinedError:
            outcome = {"undefined": True}
            raise
        except Unsupported:
            outcome = {"function": True}
            raise
        except ExpressionError as error:
            outcome = {"error": str(error)}
            raise
        finally:
            if outcome:
                self._write(world, expression, variables, outcome, drawn.draws if drawn else [])

    def _write(self, world: Any, expression: Any, variables: Any, outcome: Any, draws: list[Any]) -> None:
        read = {name: variables[name] for name in sorted(expression.names) if name in variables}
        if "states" in read:
            read["states"] = _mentioned(expression.text, read["states"])
        question = {"text": expression.text, "bindings": read, "draws": draws}
        if not CLOCK.isdisjoint(expression.names):
            question["millis"] = world._own.millis()
        asked = _json(question)
        if hash(asked) in self._seen:
            return
        self._seen.add(hash(asked))
        self._kept[expression.text] += 1
        line = asked[:-1] + b',"outcome":' + _json(outcome) + b"}\n"
        self._bytes += len(line)
        self._file.write(line)


def _json(value: Any) -> bytes:
    return orjson.dumps(value, default=_null, option=orjson.OPT_NON_STR_KEYS)


def _null(value: Any) -> None:
    if value is not NULL:
        raise TypeError(f"{type(value)} is no JSON")


def _mentioned(text: str, states: Any) -> Any:
    """The members of `$states` that an expression mentions; all, where it names none."""
    members = set(MEMBER.findall(text))
    return states if "" in members else {name: states[name] for name in sorted(members) if name in states}
