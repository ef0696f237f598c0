"""A small deterministic training, run as a process of its own by the tests and by the drill.

Its model depends on every random generator draw and on every step, so that a lost, repeated or
half-restored step shows in the model's digest. Pure Python: it starts in a tenth of a second.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import os
import random
import signal
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from workflows.checkpointing import Checkpointer


class Sampler:
    """Order as a function of (seed, epoch, position), restored through its attributes."""

    def __init__(self, size: int, seed: int) -> None:
        self.size, self.seed, self.epoch, self.position = size, seed, 0, 0

    def draw(self) -> int:
        order = list(range(self.size))
        random.Random(f"{self.seed}/{self.epoch}").shuffle(order)
        value = order[self.position]
        self.position += 1
        if self.position == self.size:
            self.epoch, self.position = self.epoch + 1, 0
        return value


def train(options: argparse.Namespace) -> str:
    random.seed(options.seed)
    weights = [random.random() for _ in range(16)]
    ballast = bytearray(options.ballast)
    sampler = Sampler(23, options.seed)
    state = {"weights": weights, "ballast": ballast, "sampler": sampler}
    with Checkpointer(state) as checkpoints:
        for step in checkpoints.steps(options.steps):
            save_at(options, checkpoints, step)
            kill_at(options, step)
            sample = sampler.draw()
            for index in range(len(weights)):
                weights[index] += (sample - 11) * random.gauss(0, 0.01) - 0.001 * weights[index]
            if ballast:
                ballast[(step * 4096) % len(ballast)] = sample
            time.sleep(options.pause)
            checkpoints.report(loss=sum(weights))
            leave_trace(options, step)
    return hashlib.sha256(repr((weights, bytes(ballast), random.random())).encode()).hexdigest()


def save_at(options: argparse.Namespace, checkpoints: Checkpointer, step: int) -> None:
    """Beside the saves that are due, some that are waited for: these are there for sure."""
    if step in options.save_at:
        checkpoints.save(wait=True)


def kill_at(options: argparse.Namespace, step: int) -> None:
    if options.die_at == step:
        os.kill(os.getpid(), getattr(signal, options.signal))


def leave_trace(options: argparse.Namespace, step: int) -> None:
    """Says that a step is done, in a file that no checkpoint knows of: one write, no buffer."""
    if options.trace:
        descriptor = os.open(options.trace, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        with contextlib.suppress(OSError):  # the drill's full disk is full for this file too
            os.write(descriptor, f"\n{step + 1};".encode())
        os.close(descriptor)


def parser() -> argparse.ArgumentParser:
    found = argparse.ArgumentParser()
    found.add_argument("--steps", type=int, default=100)
    found.add_argument("--seed", type=int, default=1)
    found.add_argument("--pause", type=float, default=0.0)
    found.add_argument("--ballast", type=int, default=0)
    found.add_argument("--trace", default="")
    found.add_argument("--save-at", type=int, nargs="*", default=[])
    found.add_argument("--die-at", type=int, default=-1)
    found.add_argument("--signal", default="SIGKILL")
    return found


if __name__ == "__main__":
    print("digest", train(parser().parse_args()), flush=True)
