"""Twenty runs at once in one local world: do all finish, each with its own results, in how much memory?"""

from __future__ import annotations

import json
import os
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

from rich.console import Console

from workflows.policy.outcomes import Outcome

TITLE = "Twenty runs of real training at once in one local world (one to two minutes)"
RUNS = 20
SPEED = 600.0
SCRIPT = """\
import hashlib, json, os, pathlib, time
from workflows.checkpointing import Checkpointer
number = int(json.loads(os.environ["SM_HPS"])["number"])
state = {"digest": str(number)}
with Checkpointer({"state": state}, shortest=0.2, longest=0.4) as checkpoints:
    for step in checkpoints.steps(40):
        state["digest"] = hashlib.sha256(f"{state['digest']}/{number}/{step}".encode()).hexdigest()
        time.sleep(0.02)
        checkpoints.report(number=float(number))
pathlib.Path(os.environ["SM_MODEL_DIR"], "digest.txt").write_text(state["digest"])
"""
PIPELINE = """\
name: load
defaults:
  image: python
  spot: {patience: 5m, backoff: {first: 10s, max: 30s}}
stages:
  - {name: first, script: train.py, limit: 30m, hyperparameters: {number: 0}}
  - {name: second, script: train.py, limit: 30m, hyperparameters: {number: 0}, needs: [first]}
"""


def run() -> dict[str, Any]:
    """The figures; raises SystemExit for a run that fails, or that has another's results."""
    with tempfile.TemporaryDirectory() as folder:
        return _run(Path(folder), RUNS)


def _run(folder: Path, runs: int) -> dict[str, Any]:
    from workflows.local.scenario import parse_scenario
    from workflows.runs.rehearsal import compile_file, open_world, start

    (folder / "train.py").write_text(SCRIPT)
    (folder / "pipeline.yaml").write_text(PIPELINE)
    compiled, console = compile_file(folder / "pipeline.yaml"), Console(stderr=True, quiet=True)
    # A world's scenario, not a run's: as many of the first stage's jobs are taken away as there are runs.
    scenario = parse_scenario({"spot": {"first": [{"interrupt": "50%"}] * runs}})
    with open_world(folder / "world", speed=SPEED, scenario=scenario, seed=0, console=console) as world:
        empty = _memory_mib()
        peak = _Peak()
        began = time.perf_counter()
        started = [
            start(world, compiled, f"load-{number}", _input(number), console, quiet=True)
            for number in range(runs)
        ]
        views = [rehearsal.follow() for rehearsal in started]
        seconds = time.perf_counter() - began
        most = peak.stop()
        problems = [
            problem
            for number, view in enumerate(views)
            for problem in _problems(number, view, started[0].runs)
        ]
    if problems:
        raise SystemExit("\n".join(problems))
    attempts = [entry for view in views for stage in view.stages.values() for entry in stage.attempts]
    return {
        "runs": runs,
        "finished": sum(view.status == "SUCCEEDED" for view in views),
        "seconds": seconds,
        "attempts": len(attempts),
        "interrupted": sum(entry.outcome == Outcome.INTERRUPTED for entry in attempts),
        "memory_mib_of_the_empty_world": empty,
        "memory_mib_at_most": most,
        "memory_mib_a_run": (most - empty) / runs,
    }


def _input(number: int) -> dict[str, Any]:
    return {"parameters": {"first": {"number": number}, "second": {"number": 1000 + number}}}


def _problems(number: int, view: Any, runs: Any) -> list[str]:
    """What a run should not have: another end, or what only another run could have written."""
    import hashlib
    import io
    import tarfile
    from urllib.parse import urlparse

    if view.status != "SUCCEEDED":
        return [f"{view.run} ended {view.status}: {view.cause}"]
    found = []
    for stage, seed in (("first", number), ("second", 1000 + number)):
        wanted = str(seed)
        for step in range(40):
            wanted = hashlib.sha256(f"{wanted}/{seed}/{step}".encode()).hexdigest()
        place = urlparse(view.stages[stage].outputs["model"])
        body = runs.s3.get_object(Bucket=place.netloc, Key=place.path.lstrip("/"))["Body"].read()
        with tarfile.open(fileobj=io.BytesIO(body)) as archive:
            [name] = [member for member in archive.getnames() if member.endswith("digest.txt")]
            file = archive.extractfile(name)
            assert file is not None
            digest = file.read().decode()
        if digest != wanted:
            found.append(f"{view.run}, {stage}: its model is not what its parameters make")
        if f"/{view.run}/" not in place.path and f"-{view.run}/" not in place.path:
            found.append(f"{view.run}, {stage}: its model lies in {json.dumps(place.path)}")
    return found


def _memory_mib() -> float:
    """The memory of this process now: the world's, since jobs have processes of their own."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


class _Peak:
    """Looks at the memory ten times a second."""

    def __init__(self) -> None:
        self._most, self._over = _memory_mib(), threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._thread.start()

    def stop(self) -> float:
        """The most that was seen."""
        self._over.set()
        self._thread.join()
        return self._most

    def _look(self) -> None:
        while not self._over.wait(0.1):
            self._most = max(self._most, _memory_mib())
