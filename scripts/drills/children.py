"""Scripts run in processes that were forked with the heavy packages imported already."""

from __future__ import annotations

import contextlib
import os
import runpy
import sys
from collections.abc import Iterator
from pathlib import Path

from workflows.checkpointing.store import Name, Store


def run(
    script: str,
    arguments: list[str],
    environment: dict[str, str],
    log: str,
    end: tuple[int, int] | None = None,
) -> None:
    """Runs a script as if started by its name; what it prints goes to the log.

    `end`: a signal, and in which of its saves the process gets it.
    """
    os.environ.update(environment)
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    sys.argv = [script, *arguments]
    if end is not None:
        _end_inside_a_save(*end)
    runpy.run_path(script, run_name="__main__")


def _end_inside_a_save(number: int, save: int) -> None:
    partial, begun = Store.partial, 0

    @contextlib.contextmanager
    def counted(store: Store, name: Name) -> Iterator[Path]:
        nonlocal begun
        begun += 1
        with partial(store, name) as folder:
            if begun == save:
                os.kill(os.getpid(), number)
            yield folder

    Store.partial = counted  # type: ignore[method-assign,assignment]
