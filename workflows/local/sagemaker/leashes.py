"""The keepers of one job's containers: started together, told together, waited for."""

from __future__ import annotations

import contextlib
import queue
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal

from workflows.local.sagemaker import keeper
from workflows.local.sagemaker.container import Container

Word = Literal["TERM", "KILL"]


class Leashes:
    """Holds the containers by their keepers' standard input (see keeper.py for what runs there)."""

    def __init__(self) -> None:
        self._keepers: list[subprocess.Popen[bytes]] = []
        self._starting = threading.Lock()
        self._told: Word | None = None

    def run(self, containers: Sequence[Container], logs: Path) -> Iterator[tuple[Container, int]]:
        """Start every container and give each as it ends, with its exit status.

        Each writes to `<logs>/<host>.log`. What was told before the start holds for it too. However
        the loop over this ends, no process is left.
        """
        ends: queue.Queue[tuple[Container, int]] = queue.Queue()
        try:
            with self._starting:
                for container in containers:
                    self._start(container, logs / f"{container.host}.log", ends)
                if self._told:
                    self._send(self._told)
            for _ in containers:
                yield ends.get()
        finally:
            self._send("KILL")  # for those that were started before another could not be
            for process in self._keepers:
                process.wait()
                with contextlib.suppress(OSError):
                    process.stdin.close()  # type: ignore[union-attr]

    def tell(self, word: Word) -> None:
        """TERM: SIGTERM to each entry process; KILL: SIGKILL to everything."""
        with self._starting:
            self._told = word
            self._send(word)

    def _start(self, container: Container, log: Path, ends: queue.Queue[tuple[Container, int]]) -> None:
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("ab") as output:
            process = subprocess.Popen(
                [sys.executable, "-I", "-S", keeper.__file__, *container.command()],
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=container.place,
                env=container.environment(),
                start_new_session=True,
            )
        self._keepers.append(process)

        def wait() -> None:
            ends.put((container, process.wait()))

        threading.Thread(target=wait, name="relay-wait", daemon=True).start()

    def _send(self, word: Word) -> None:
        for process in self._keepers:
            with contextlib.suppress(OSError, ValueError):  # ended already
                assert process.stdin is not None
                process.stdin.write(f"{word}\n".encode())
                process.stdin.flush()
