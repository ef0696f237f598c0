"""What the local world costs: start-up, memory, transitions, and its delay between two attempts."""

from __future__ import annotations

import itertools
import re
import resource
import tempfile
import time
from pathlib import Path
from typing import Any

from rich.console import Console

from workflows.ledger.entry import Entry

SPEED = 300.0
TITLE = "A pipeline of one stage with two interruptions in the local world (about 20 s)"

SCRIPT = """\
import time
from workflows.checkpointing import Checkpointer
state = {"step": 0}
with Checkpointer({"state": state}, shortest=0.05, longest=0.1) as checkpoints:
    for step in checkpoints.steps(60):
        time.sleep(0.02)
        checkpoints.report()
"""
PIPELINE = """\
name: bench
defaults:
  image: python
  spot: {patience: 5m, backoff: {first: 30s, max: 1m}}
stages:
  - {name: train, script: train.py, limit: 5m}
"""


Moment = tuple[float, str, str]  # real seconds, job, TrainingJobStatus


def run() -> dict[str, Any]:
    """The figures; seconds are real ones unless named machine seconds."""
    with tempfile.TemporaryDirectory() as folder:
        return _run(Path(folder))


def _run(folder: Path) -> dict[str, Any]:
    from workflows.local.scenario import parse_scenario
    from workflows.runs.rehearsal import compile_file, open_world, start

    (folder / "train.py").write_text(SCRIPT)
    (folder / "pipeline.yaml").write_text(PIPELINE)
    scenario = parse_scenario({"spot": {"train": [{"interrupt": "30%"}, {"interrupt": "60%"}]}})
    console = Console(stderr=True)
    began = time.perf_counter()
    with open_world(folder / "world", speed=SPEED, scenario=scenario, seed=0, console=console) as world:
        started = time.perf_counter() - began
        began = time.perf_counter()
        moments: list[Moment] = []
        world.sagemaker.subscribers.append(lambda event: moments.append(_moment(event["detail"])))
        rehearsal = start(world, compile_file(folder / "pipeline.yaml"), "bench", {}, console, quiet=True)
        installed = time.perf_counter() - began
        view = rehearsal.follow()
        events = rehearsal.runs.events(rehearsal.arn, 0)
    if view.status != "SUCCEEDED":
        raise SystemExit(f"the run ended {view.status}: {view.cause}")
    return {
        "start_up_seconds": started,
        "install_and_start_seconds": installed,
        "memory_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        **_transitions(events),
        "seconds_from_end_to_next_create_beyond_back_off": _delay(moments, view.stages["train"].attempts),
        "attempts": len(view.stages["train"].attempts),
    }


def _moment(detail: dict[str, Any]) -> Moment:
    return time.perf_counter(), detail["TrainingJobName"], detail["TrainingJobStatus"]


def _transitions(events: list[dict[str, Any]]) -> dict[str, int]:
    """Counted from the history: from a lost attempt's job to the next one's, and of the last attempt."""
    states = [e["stateEnteredEventDetails"]["name"] for e in events if "stateEnteredEventDetails" in e]
    tries = [index for index, name in enumerate(states) if re.search(r": on (spot|demand)$", name)]
    end = states.index("run: done")
    return {
        "transitions_of_a_lost_attempt": max(b - a for a, b in itertools.pairwise(tries)),
        "transitions_of_the_last_attempt": end - tries[-1],
    }


def _delay(moments: list[Moment], attempts: list[Entry]) -> float:
    """Real seconds from a job's end to the next one's creation, the longest, less the machine's pause."""
    created: dict[str, float] = {}
    ended: dict[str, float] = {}
    for moment, job, status in moments:
        created.setdefault(job, moment)
        if status in {"Completed", "Failed", "Stopped"}:
            ended[job] = moment
    changeovers: list[float] = [
        created[later.job] - ended[earlier.job] - earlier.wait_seconds / SPEED
        for earlier, later in itertools.pairwise(attempts)
    ]
    return max(changeovers)
