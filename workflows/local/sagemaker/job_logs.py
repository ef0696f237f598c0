"""What jobs wrote, by line and time: CloudWatch's log streams, read from the files that the containers write.

A container writes to its file itself, and a line carries no time. So the file's growth is looked at while the
container runs, and noted beside it: every line has the time of the first look that saw its end.

    <root>/logs/<job>/algo-1.log      what the host wrote, over all its starts
    <root>/logs/<job>/algo-1.times    `begin OFFSET TIME KIND`, `at OFFSET TIME`, `end OFFSET TIME`

Each start of a container is a stream of its own, `JOB/algo-1-EPOCHSECONDS` (AWS.md 5.6).
"""

from __future__ import annotations

import threading
from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from workflows.local.sagemaker.workload import Kind

TICK = 0.1
"""Seconds of real time between two looks."""


class Stamps:
    """Notes when the logs of one job's containers grow, from their start to their end."""

    def __init__(self, logs: Path, hosts: Sequence[str], kind: Kind, now: Callable[[], datetime]) -> None:
        self._logs = {host: logs / f"{host}.log" for host in hosts}
        self._kind = kind
        self._now = now
        self._sizes: dict[str, int] = {}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="relay-log-times", daemon=True)

    def __enter__(self) -> None:
        for host, log in self._logs.items():
            log.parent.mkdir(parents=True, exist_ok=True)
            self._sizes[host] = _size(log)
            self._note(host, "begin", self._kind)
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        self._look()
        for host in self._logs:
            self._note(host, "end")

    def _run(self) -> None:
        while not self._stop.wait(TICK):
            self._look()

    def _look(self) -> None:
        for host, log in self._logs.items():
            size = _size(log)
            if size > self._sizes[host]:
                self._sizes[host] = size
                self._note(host, "at")

    def _note(self, host: str, what: str, *more: str) -> None:
        moment = round(self._now().timestamp() * 1000)
        with self._logs[host].with_suffix(".times").open("a", encoding="ascii") as file:
            file.write(" ".join([what, str(self._sizes[host]), str(moment), *more]) + "\n")


@dataclass
class Stream:
    """One start of one container."""

    name: str
    kind: str
    created: int
    """Milliseconds since 1970, like all times here."""
    log: Path
    offset: int
    looks: list[tuple[int, int]] = field(default_factory=list)
    """(size of the file, time) of each look, growing."""
    ended: bool = False

    @property
    def events(self) -> list[tuple[int, str]]:
        """(time, line) of every line that was seen whole; once all has ended, of the last one as it is."""
        if not self.looks:
            return []
        with self.log.open("rb") as file:
            file.seek(self.offset)
            data = file.read(self.looks[-1][0] - self.offset)
        sizes = [size for size, _ in self.looks]
        found, end = [], self.offset
        for line in data.splitlines(keepends=True):
            end += len(line)
            if line.strip() and (self.ended or line.endswith((b"\n", b"\r"))):
                text = line.decode("utf-8", "replace").rstrip("\r\n")
                found.append((self.looks[bisect_left(sizes, end)][1], text))
        return found


def streams(root: Path) -> Iterator[Stream]:
    """Every stream below a world's folder of logs, in the order of their names."""
    found = [stream for times in root.glob("*/*.times") for stream in _streams(times)]
    yield from sorted(found, key=lambda stream: stream.name)


def _streams(times: Path) -> list[Stream]:
    found: list[Stream] = []
    for line in times.read_text("ascii").splitlines():
        what, offset, moment, *more = line.split()
        if what == "begin":
            name = f"{times.parent.name}/{times.stem}-{int(moment) // 1000}"
            log = times.with_suffix(".log")
            found.append(Stream(name, more[0], int(moment), log, int(offset)))
        elif what == "at":
            found[-1].looks.append((int(offset), int(moment)))
        else:
            found[-1].ended = True
    return found


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0
