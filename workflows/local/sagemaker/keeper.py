"""Stands between the local platform and one container's entry process; run as a script.

    python -I -S keeper.py ENTRY [ARGUMENT...]

It is what a container runtime is to a container: the entry process gets the signals, and when it
ends, or the platform dies in whatever way, everything that it started dies with it. Its standard
input is the platform's end of the leash: a line TERM or KILL, and end of file when the platform is
gone (the kernel closes the pipe even after kill -9). Its exit status is the container's.

Standard library only, and one thread: it forks. Linux finds processes that left the group (torchrun
gives each worker a session of its own) because the keeper is their subreaper; elsewhere only the
process group is killed.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import select
import signal
import sys
import time
from pathlib import Path
from typing import NoReturn

PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36
START_SECONDS = 5.0
"""How long a new process may take to install its handler: on AWS the container's own start takes
longer, so that a stop never meets a process that is a few milliseconds old."""


def keep(command: list[str]) -> int:
    """Run the command until it ends or has to; the container's exit status."""
    _prctl(PR_SET_CHILD_SUBREAPER, 1)
    wake, wake_write = os.pipe()
    os.set_blocking(wake_write, False)
    os.set_blocking(wake, False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(wake_write)
    child = os.fork()
    if child == 0:
        _become(command)
    started = time.monotonic()
    leash: list[int] = [0]
    terminate = False
    while True:
        status = _reap(child)
        if status is not None:
            _kill_all(child)
            return status
        if terminate:
            terminate = not _terminate(child, started)
        ready, _, _ = select.select([wake, *leash], [], [], 0.02 if terminate else None)
        if wake in ready:
            with contextlib.suppress(BlockingIOError):
                os.read(wake, 4096)
        if 0 in ready:
            told = os.read(0, 4096)
            if not told or b"KILL" in told:
                leash = []
                _kill_all(child, until_gone=False)
            elif b"TERM" in told:
                terminate = True


def _become(command: list[str]) -> NoReturn:
    """In the child: be the entry process."""
    try:
        _prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        os.setsid()
        null = os.open(os.devnull, os.O_RDONLY)
        os.dup2(null, 0)
        os.execvp(command[0], command)
    except OSError as error:
        # The words and the status with which a container runtime reports it.
        print(f"exec {command[0]}: {error.strerror}", file=sys.stderr, flush=True)
    os._exit(127)


def _terminate(child: int, started: float) -> bool:
    """Send SIGTERM as a container's process 1 gets it; True when that is settled.

    The kernel drops a signal for process 1 that has no handler for it: such a script sees nothing
    and is killed when the grace is over. So here too.
    """
    caught = _catches_sigterm(child)
    if caught:
        with contextlib.suppress(ProcessLookupError):
            os.kill(child, signal.SIGTERM)
    return caught or time.monotonic() - started > START_SECONDS


def _catches_sigterm(pid: int) -> bool:
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return True
    for line in status.splitlines():
        if line.startswith("SigCgt:"):
            return bool(int(line.split()[1], 16) >> (signal.SIGTERM - 1) & 1)
    return True


def _reap(child: int) -> int | None:
    """Collect what ended; the entry process's status, as a shell counts it, once it has."""
    found = None
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return found
        if pid == 0:
            return found
        if pid == child:
            code = os.waitstatus_to_exitcode(status)
            found = code if code >= 0 else 128 - code


def _kill_all(child: int, *, until_gone: bool = True) -> None:
    """SIGKILL every process below this one, again and again until none is left."""
    while True:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(child, signal.SIGKILL)
        for pid in _descendants():
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        if not until_gone:
            return
        try:
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        except ChildProcessError:
            return
        time.sleep(0.005)


def _descendants() -> list[int]:
    parents: dict[int, int] = {}
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError, ValueError, IndexError):
            # "pid (name) state ppid ...": the name may hold anything, its last bracket ends it.
            parents[int(entry.name)] = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
    below = {os.getpid()}
    while True:
        more = {pid for pid, parent in parents.items() if parent in below} - below
        if not more:
            return list(below - {os.getpid()})
        below |= more


def _prctl(option: int, value: int) -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(option, value, 0, 0, 0)


if __name__ == "__main__":
    sys.exit(keep(sys.argv[1:]))
