"""Kills the local world in the midst of runs, and resumes them: `python -m scripts.kill --rounds 10`.

    undisturbed run -> its models' digests, its length
    each round: a run, SIGKILL of its world and all its jobs at a random moment -> relay resume -> the same
                digests, and a ledger that adds up

What adds up: every job that SageMaker knows of has one line in the receipt, and the lines' dollars and
seconds make the totals.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

EXAMPLE = Path(__file__).parents[1] / "workflows/examples/digits/pipeline.yaml"
RELAY = Path(sys.executable).with_name("relay")
CENTS = 1e-6  # of a dollar: the ledger's own rounding


@dataclass(frozen=True)
class Round:
    """One kill: when (seconds after the start), how many resumptions, and what was wrong afterwards."""

    after: float
    killed: bool
    jobs: int
    problems: tuple[str, ...]


def main(arguments: list[str] | None = None) -> int:
    """Returns the exit code: 1 when a run was not made whole."""
    parser = argparse.ArgumentParser(prog="python -m scripts.kill", description=__doc__)
    parser.add_argument("--pipeline", type=Path, default=EXAMPLE)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--speed", type=float, default=2000.0)
    parser.add_argument("--json", action="store_true", help="one JSON document")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        rounds = list(_rounds(options, Path(folder)))
    good = sum(not each.problems for each in rounds)
    if options.json:
        print(json.dumps({"rounds": [asdict(each) for each in rounds], "whole": good}, indent=2))
    else:
        print(f"{good} of {len(rounds)} runs were made whole")
    return 0 if good == len(rounds) else 1


def _rounds(options: argparse.Namespace, folder: Path) -> Iterator[Round]:
    rng = random.Random(options.seed)
    began = time.monotonic()
    undisturbed = _document(_relay(options, folder / "undisturbed", "run", str(options.pipeline)))
    length = time.monotonic() - began
    wanted = _digests(undisturbed)
    for number in range(options.rounds):
        done = _round(options, folder / f"round-{number}", rng.uniform(0, length), wanted)
        print(
            f"round {number}: killed after {done.after:.1f} s, {done.jobs} jobs"
            + (f": {'; '.join(done.problems)}" if done.problems else ""),
            file=sys.stderr,
            flush=True,
        )
        yield done


def _round(options: argparse.Namespace, folder: Path, after: float, wanted: dict[str, str]) -> Round:
    run = subprocess.Popen(
        _command(options, folder, "run", str(options.pipeline), "--name", "killed"),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        told, _ = run.communicate(timeout=after)
    except subprocess.TimeoutExpired:
        _kill(run.pid)
        told, _ = run.communicate()
    killed = run.returncode == -signal.SIGKILL
    if killed:
        begun = any(folder.glob("states/executions/*"))
        verb = ("resume", "killed") if begun else ("run", str(options.pipeline), "--name", "killed")
        resumed = _relay(options, folder, *verb)
        if resumed.returncode == 2 and "has finished" in resumed.stderr:  # killed before it could say so
            resumed = _receipt(folder)
        told = resumed.stdout
        if resumed.returncode != 0:
            return Round(after, True, 0, (f"{verb[0]} ended {resumed.returncode}: {resumed.stderr[-500:]}",))
    document = json.loads(told)
    jobs = [path.stem for path in folder.glob("sagemaker/*-jobs/*.json")]
    return Round(after, killed, len(jobs), tuple(_problems(document, wanted, jobs)))


def _kill(pid: int) -> None:
    """The world and every process of its jobs, as when a computer loses its power."""
    import psutil

    with contextlib.suppress(psutil.NoSuchProcess):
        children = psutil.Process(pid).children(recursive=True)
        os.kill(pid, signal.SIGKILL)
        for child in children:
            with contextlib.suppress(psutil.NoSuchProcess):
                child.kill()


def _problems(document: dict[str, Any], wanted: dict[str, str], jobs: list[str]) -> Iterator[str]:
    if document["status"] != "SUCCEEDED":
        yield f"the run ended {document['status']}: {document['cause']}"
        return
    found = _digests(document)
    yield from (f"{name}: another model" for name in wanted if found.get(name) != wanted[name])
    attempts = [attempt for stage in document["stages"] for attempt in stage["attempts"]]
    told = [attempt["job"] for attempt in attempts]
    yield from (
        f"{job} has {told.count(job)} lines in the ledger" for job in set(told) if told.count(job) > 1
    )
    yield from (f"{job} is in no line of the ledger" for job in set(jobs) - set(told))
    totals = document["totals"]
    if abs(sum(attempt["cost_usd"] for attempt in attempts) - totals["cost_usd"]) > CENTS:
        yield "the dollars do not add up"
    seconds = sum(
        (each["seconds_trained"] if each["seconds_billed"] is None else each["seconds_billed"])
        * each["rung"]["instance_count"]
        for each in attempts
    )
    if abs(seconds - totals["seconds_billed"]) > 1e-6:
        yield "the seconds do not add up"


def _digests(document: dict[str, Any]) -> dict[str, str]:
    return {s["name"]: s["model_sha256"] for s in document["stages"] if s["model_sha256"]}


def _document(done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    if done.returncode != 0:
        raise SystemExit(f"the undisturbed run ended {done.returncode}: {done.stderr}")
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def _relay(options: argparse.Namespace, root: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(_command(options, root, *arguments), capture_output=True, text=True, timeout=600)


def _receipt(root: Path) -> subprocess.CompletedProcess[str]:
    """What `run` would have printed, of a run that has finished."""
    command = [str(RELAY), "receipt", "killed", "--root", str(root), "--json"]
    return subprocess.run(command, capture_output=True, text=True, timeout=600)


def _command(options: argparse.Namespace, root: Path, verb: str, *arguments: str) -> list[str]:
    return [str(RELAY), verb, *arguments, "--root", str(root), "--speed", str(options.speed), "--json"]


if __name__ == "__main__":
    sys.exit(main())
