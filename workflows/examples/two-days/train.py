"""Fits a line to noisy points, step by step: a stand-in for a long training, with the same shape."""

import argparse
import os
from pathlib import Path

import numpy as np

from workflows.checkpointing import Checkpointer

parser = argparse.ArgumentParser()
parser.add_argument("--steps", type=int, default=1000)
parser.add_argument("--seed", type=int, default=0)
options = parser.parse_args()

rng = np.random.default_rng(options.seed)
x = rng.normal(size=(256, 8))
y = x @ np.arange(8.0) + rng.normal(scale=0.1, size=256)
state = {"weights": np.zeros(8)}

with Checkpointer({"state": state}) as checkpoints:
    for _ in checkpoints.steps(options.steps):
        error = x @ state["weights"] - y
        state["weights"] -= 0.01 * x.T @ error / len(y)
        checkpoints.report(loss=float(error @ error) / len(y))

np.save(Path(os.environ["SM_MODEL_DIR"], "weights.npy"), state["weights"])
