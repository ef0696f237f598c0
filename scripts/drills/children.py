"""Scripts run in processes that were forked with the heavy packages imported already."""

from __future__ import annotations

import os
import runpy
import sys


def run(script: str, arguments: list[str], environment: dict[str, str], log: str) -> None:
    """Runs a script as if started by its name; what it prints goes to the log."""
    os.environ.update(environment)
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    sys.argv = [script, *arguments]
    runpy.run_path(script, run_name="__main__")
