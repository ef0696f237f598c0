"""A local world that outlives the command that started it: a process of its own session, with a log.

launch --starts--> serve: opens the world, says where it answers (presence.py), waits for SIGTERM, closes
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from workflows.local.presence import Presence, announce, holder, present, withdraw
from workflows.local.scenario import Scenario
from workflows.local.server import LocalWorld, WorldError

LOG = "up.log"
PORT = "port"  # the last one, so that what was exported stays true after a restart
LONGEST_START, LONGEST_END = 60.0, 30.0  # real seconds
LOOK_EVERY = 0.05
SHOWN_LINES = 5  # of the log of a world that did not start


def serve(
    root: Path,
    *,
    speed: float,
    scenario: Scenario,
    seed: int,
    port: int,
    restore: Callable[[Callable[[str], Any]], None],
    ready: Callable[[Presence], None],
) -> None:
    """Keeps a world until SIGTERM or Ctrl-C.

    `port` 0: the last one of this folder, or any. `restore` is given the world's clients before anybody else
    is let in, `ready` is called when it answers.
    """
    ended = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ended.set())
    with LocalWorld(root, speed=speed, scenario=scenario, seed=seed, port=port or _last_port(root)) as world:
        restore(world.client)
        since = datetime.now(UTC).isoformat(timespec="seconds")
        presence = Presence(os.getpid(), world.endpoint_url, since, speed)
        (root / PORT).write_text(str(presence.port), "ascii")
        announce(root, presence)
        try:
            ready(presence)
            ended.wait()
        finally:
            withdraw(root)


def launch(root: Path, arguments: Sequence[str], pause: Callable[[float], None] = time.sleep) -> Presence:
    """Starts `relay local up --foreground` with these arguments apart from this process.

    Returns when it answers. Raises WorldError with the end of its log when it does not.
    """
    withdraw(root)  # of one that was killed; the caller knows that none is up
    root.mkdir(parents=True, exist_ok=True, mode=0o700)
    log = root / LOG
    with log.open("ab") as out:
        before = out.tell()
        # -P: a folder `workflows` where the user stands is not ours.
        command = [
            sys.executable,
            "-P",
            "-m",
            "workflows.commands.cli",
            "local",
            "up",
            "--foreground",
            *arguments,
        ]
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True
        )
    deadline = time.monotonic() + LONGEST_START
    while process.poll() is None and time.monotonic() < deadline:
        found = present(root)
        if found and found.pid == process.pid:
            return found
        pause(LOOK_EVERY)
    if process.poll() is None:
        process.kill()
        process.wait()
    said = log.read_bytes()[before:].decode("utf-8", "replace").strip().splitlines()[-SHOWN_LINES:]
    told = " / ".join(line.removeprefix("relay: ") for line in said) or f"nothing was said in {log}"
    raise WorldError(f"the local world did not start: {told}")


def end(root: Path, presence: Presence, pause: Callable[[float], None] = time.sleep) -> None:
    """Ends the world's process, whose jobs end with it. Raises WorldError when it stays."""
    os.kill(presence.pid, signal.SIGTERM)
    deadline = time.monotonic() + LONGEST_END
    while holder(root) == presence.pid:
        if time.monotonic() > deadline:
            raise WorldError(
                f"the local world (process {presence.pid}) is still there after {LONGEST_END:.0f} s: "
                f"see {root / LOG}, or end it with kill -9 {presence.pid}"
            )
        pause(LOOK_EVERY)


def _last_port(root: Path) -> int:
    """The port that the folder's world had, if it is free; else 0."""
    try:
        port = int((root / PORT).read_text("ascii"))
        socket.create_server(("127.0.0.1", port)).close()
    except (OSError, ValueError, OverflowError):
        return 0
    return port
