"""The drill: a real training under every fault we know, compared with the undisturbed run.

    python -m scripts.chaos --rounds 200 --seed 1
    python -m scripts.chaos --rounds 5 --seed 1 --ranks 2        two ranks (needs torch)

A round is one training, disturbed one to three times, then left alone until it ends. It fails if
the final model differs in one bit, if an attempt resumes from anything but the newest whole
checkpoint, if a kill costs more than one interval, if SIGTERM costs a step, or if a checkpoint is
skipped without a warning that names a bad file. Exit code 1 if any round fails.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import json
import os
import random
import re
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from scripts.drills import faults

SCRIPTS = Path(__file__).parent / "drills"
INTERVAL = 0.05  # seconds between two saves
NOISE = 0.2  # seconds of work that a busy machine may add to an interval
DEADLINE = 120.0  # seconds until a process counts as hanging
KINDS = (
    "SIGKILL",
    "SIGKILL inside a save",
    "SIGTERM",
    "SIGTERM twice",
    "full disk",
    "torn sync",
    "sync",
    *faults.DAMAGES,
)


@dataclass
class Round:
    """One training and what became of it."""

    number: int
    kinds: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    skipped: int = 0
    inside_a_save: int = 0
    lost_seconds: list[float] = field(default_factory=list)
    failed_saves: int = 0


@dataclass
class Attempt:
    """What one attempt left behind."""

    codes: list[int]
    output: str
    errors: str
    expected_step: int
    bad: dict[str, set[str]]  # checkpoints newer than the one resumed from -> their bad files


class Drill:
    """Runs one round in a folder of its own."""

    def __init__(self, folder: Path, options: argparse.Namespace, number: int) -> None:
        self.base = folder / "ml"
        self.checkpoints = self.base / "checkpoints"
        self.remote = folder / "remote"
        self.trace = folder / "trace"
        self.meetings = 0
        self.ranks = options.ranks
        self.rng = random.Random(f"{options.seed}/{number}")
        self.round = Round(number)
        self.pause = 0.01 if self.ranks > 1 else 0.004
        self.checkpoints.mkdir(parents=True)
        self.arguments = ["--seed", str(options.seed), "--trace", str(self.trace)]
        self.arguments += ["--pause", str(self.pause)]
        if self.ranks > 1:
            self.arguments += ["--steps", "60"]
            self.arguments += ["--kind", "ddp" if number % 2 else "fsdp"]
        else:
            self.arguments += ["--steps", "200", "--ballast", "400000"]

    def run(self, undisturbed: str) -> Round:
        """Disturbs the training, lets it end, and compares."""
        for _ in range(self.rng.randint(1, 3)):
            kind = self.rng.choice(KINDS)
            self.round.kinds.append(kind)
            if self.disturb(kind):
                break  # it was faster than the fault
        last = self.attempt(None)
        if last.codes != [0] * self.ranks:
            self.problem(f"the last attempt ended with {last.codes}: {last.errors[-2000:]}")
        elif digest(last.output) != undisturbed:
            self.problem(f"the model differs: {digest(last.output)} and not {undisturbed}")
        return self.round

    def problem(self, text: str) -> None:
        self.round.problems.append(f"round {self.round.number} {self.round.kinds}: {text}")

    def disturb(self, kind: str) -> bool:
        """One attempt with one fault; True where the attempt came to its end all the same."""
        attempt = self.attempt(kind)
        if all(code == 0 for code in attempt.codes):
            return True
        allowed = {0, -signal.SIGKILL, 143 if kind.startswith("SIGTERM") else 0}
        if (self.checkpoints / "complete.json").exists():
            allowed.add(-signal.SIGTERM)  # it came when the training had ended already
        if not allowed.issuperset(attempt.codes):
            self.problem(f"ended with {attempt.codes}: {attempt.errors[-2000:]}")
        self.check_loss(kind, attempt.errors)
        if kind in faults.DAMAGES:
            faults.damage(self.checkpoints, kind, self.rng)
        elif "sync" in kind:
            if self.remote.exists() or kind == "sync":
                faults.sync(self.checkpoints, self.remote, self.rng, torn=kind == "torn sync")
                faults.restore(self.remote, self.checkpoints)
            else:  # the first upload must have worked, or there is nothing to come back to
                faults.sync(self.checkpoints, self.remote, self.rng, torn=False)
        return False

    def check_loss(self, kind: str, errors: str) -> None:
        """Before anything is damaged: how much work the next attempt would have to do again."""
        done = re.findall(r"^(\d+);$", self.trace.read_text() if self.trace.exists() else "", re.M)
        last = int(done[-1]) if done else 0
        newest = faults.newest_whole(self.checkpoints, self.ranks)
        saved = int(newest.split("-")[1]) if newest else 0
        if kind.startswith("SIGTERM"):
            if saved < last - (self.ranks > 1):
                self.problem(f"SIGTERM lost steps: {saved} is saved, {last} was done: {errors}")
            return
        if kind == "full disk":
            return
        begun = [int(path.name.split("-")[2]) for path in self.checkpoints.glob("partial-step-*")]
        until = max(begun) if begun else last
        # In seconds of work, not of the clock: what another process took from ours is not lost.
        lost = max(until - saved, 0) * self.pause
        self.round.lost_seconds.append(lost)
        interval = max(INTERVAL, self.latency())  # the library never saves faster than it writes
        if lost > interval + NOISE:
            self.problem(f"{lost:.2f} s of work were lost with an interval of {interval:.2f} s")

    def latency(self) -> float:
        """What the library says that a save takes."""
        try:
            said = json.loads((self.checkpoints / "progress.json").read_bytes())
        except (OSError, ValueError):
            return 0.0
        return float(said["latency_seconds"] or 0.0)

    def attempt(self, kind: str | None) -> Attempt:
        """Runs all ranks, with a fault (None: to the end), and checks where they resumed."""
        names = faults.names(self.checkpoints)
        newest = faults.newest_whole(self.checkpoints, self.ranks)
        newer = names[: names.index(newest)] if newest else names
        bad = {name: faults.bad_files(self.checkpoints / name, self.ranks) for name in newer}
        processes = [self.start(rank) for rank in range(self.ranks)]
        try:
            if kind is not None:
                self.inject(kind, processes)
            ended = [process.communicate(timeout=DEADLINE) for process in processes]
        except subprocess.TimeoutExpired:
            for process in processes:
                process.kill()
            ended = [process.communicate() for process in processes]
            self.problem("a process hung")
        attempt = Attempt(
            [process.returncode for process in processes],
            "".join(out for out, _ in ended),
            "".join(errors for _, errors in ended),
            int(newest.split("-")[1]) if newest else 0,
            bad,
        )
        self.check_resume(attempt)
        self.round.failed_saves += attempt.errors.count("training goes on")
        return attempt

    def check_resume(self, attempt: Attempt) -> None:
        warnings = [line for line in attempt.errors.splitlines() if "Skipped checkpoint" in line]
        if "Resumed at" not in attempt.errors and attempt.expected_step:
            if any(code == 0 for code in attempt.codes) or warnings:
                self.problem(f"did not resume at step {attempt.expected_step}: {attempt.errors}")
            return  # killed before it could
        if attempt.expected_step:
            if f"Resumed at step {attempt.expected_step} " not in attempt.errors:
                self.problem(f"not resumed at {attempt.expected_step}: {attempt.errors[:500]}")
        elif "Resumed at" in attempt.errors:
            self.problem(f"resumed where nothing is whole: {attempt.errors[:500]}")
        if not attempt.expected_step and not warnings:
            return  # killed before it looked, or nothing there
        for name, files in attempt.bad.items():
            said = [line for line in warnings if f"{name}:" in line]
            self.round.skipped += 1
            if not any(file in line for line in said for file in files):
                self.problem(f"{name} was skipped (bad: {sorted(files)}) and told as {said}")

    def start(self, rank: int) -> subprocess.Popen[str]:
        environment = {
            **os.environ,
            "SAGEMAKER_BASE_DIR": str(self.base),
            "RELAY_CHECKPOINT_SHORTEST": str(INTERVAL),
            "RELAY_CHECKPOINT_LONGEST": str(INTERVAL),
            "OMP_NUM_THREADS": "1",
        }
        script, arguments = "training.py", self.arguments
        if self.ranks > 1:
            script = "training_ranks.py"
            environment |= {"RANK": str(rank), "WORLD_SIZE": str(self.ranks)}
            # They meet by a file: a port that was free a moment ago may be taken by another round.
            self.meetings += rank == 0
            arguments = [*arguments, "--meet", str(self.trace.with_name(f"meeting-{self.meetings}"))]
        return subprocess.Popen(
            [sys.executable, str(SCRIPTS / script), *arguments],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def inject(self, kind: str, processes: list[subprocess.Popen[str]]) -> None:
        """Waits for a random moment of the training and strikes."""
        before = self.lines()
        self.wait(processes, before, self.rng.randint(1, 80 if self.ranks == 1 else 40))
        if kind == "full disk":
            self.fill_disk(processes)
        if kind == "SIGKILL inside a save":
            self.wait_for_save(processes)
        if kind.startswith("SIGTERM"):
            for _ in range(2 if kind == "SIGTERM twice" else 1):
                for process in processes:
                    process.send_signal(signal.SIGTERM)
                time.sleep(self.rng.random() * 0.005)
            return
        victims = list(processes)
        self.rng.shuffle(victims)  # the platform takes all instances, one after the other
        for process in victims:
            process.send_signal(signal.SIGSTOP)  # before another has noticed and ended with an error
        for process in victims:
            process.kill()

    def fill_disk(self, processes: list[subprocess.Popen[str]]) -> None:
        """No file may grow beyond a limit, for some steps: the kernel refuses the writes."""
        limit = self.rng.choice([0, 100, 5_000, 100_000])
        for process in processes:
            self.limit(process, limit)
        time.sleep(self.rng.uniform(0.02, 0.25))
        for process in processes:
            self.limit(process, resource.RLIM_INFINITY)
        time.sleep(self.rng.uniform(0.0, 0.1))

    def limit(self, process: subprocess.Popen[str], size: int) -> None:
        try:
            resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))
        except (ProcessLookupError, PermissionError):
            return

    def lines(self) -> int:
        return self.trace.read_bytes().count(b";") if self.trace.exists() else 0

    def wait(self, processes: list[subprocess.Popen[str]], before: int, steps: int) -> None:
        """Waits until the training has done so many more steps, or has ended."""
        deadline = time.monotonic() + DEADLINE
        while time.monotonic() < deadline and all(p.poll() is None for p in processes):
            if self.lines() >= before + steps:
                return
            time.sleep(0.001)

    def wait_for_save(self, processes: list[subprocess.Popen[str]]) -> None:
        while all(process.poll() is None for process in processes):
            if any(self.checkpoints.glob("partial-*")):
                time.sleep(self.rng.random() * 0.002)
                self.round.inside_a_save += any(self.checkpoints.glob("partial-*"))
                return


def digest(output: str) -> str:
    """The digest that a training prints at its end."""
    lines = [line for line in output.splitlines() if line.startswith("digest ")]
    return lines[0].split()[1] if lines else "no model"


def one_round(options: argparse.Namespace, number: int, undisturbed: dict[int, str]) -> Round:
    """One round in a temporary folder."""
    folder = Path(tempfile.mkdtemp(prefix="relay-chaos-", dir=options.folder))
    try:
        return Drill(folder, options, number).run(undisturbed[number % 2])
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def reference(options: argparse.Namespace, number: int) -> str:
    """The model of the undisturbed run."""
    with tempfile.TemporaryDirectory(prefix="relay-chaos-", dir=options.folder) as folder:
        attempt = Drill(Path(folder), options, number).attempt(None)
        if any(attempt.codes):
            raise SystemExit(f"the undisturbed run failed: {attempt.errors}")
        return digest(attempt.output)


def drill(options: argparse.Namespace) -> dict[str, Any]:
    """All rounds; the summary as plain data."""
    began = time.monotonic()
    undisturbed = {number: reference(options, number) for number in (0, 1)}
    with concurrent.futures.ThreadPoolExecutor(options.jobs) as pool:
        tasks = [pool.submit(one_round, options, number, undisturbed) for number in range(options.rounds)]
        rounds = []
        for task in concurrent.futures.as_completed(tasks):
            rounds.append(task.result())
            for problem in rounds[-1].problems:
                print(problem, file=sys.stderr, flush=True)
    lost = [seconds for done in rounds for seconds in done.lost_seconds]
    return {
        "rounds": len(rounds),
        "identical": sum(not any("model differs" in p for p in r.problems) for r in rounds),
        "problems": sum(len(done.problems) for done in rounds),
        "faults": dict(sorted(Counter(kind for r in rounds for kind in r.kinds).items())),
        "killed_inside_a_save": sum(done.inside_a_save for done in rounds),
        "skipped_and_reported": sum(done.skipped for done in rounds),
        "failed_saves_survived": sum(done.failed_saves for done in rounds),
        "interval_seconds": INTERVAL,
        "lost_seconds_worst": round(max(lost, default=0.0), 3),
        "lost_seconds_mean": round(sum(lost) / len(lost), 3) if lost else 0.0,
        "seconds": round(time.monotonic() - began, 1),
    }


def main(arguments: list[str] | None = None) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--ranks", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=2, help="rounds at a time")
    # In memory by default: on a disk that others use too, fsync decides how long an interval is.
    memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    parser.add_argument("--folder", default=memory, help="where the rounds run")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args(arguments)
    result = drill(options)
    if options.json:
        print(json.dumps(result))
    else:
        for name, value in result.items():
            print(f"{name.replace('_', ' '):24} {value}")
    return 1 if result["problems"] else 0


if __name__ == "__main__":
    sys.exit(main())
