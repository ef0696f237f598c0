"""The data as the stages hand it on: 30 numbers measured on each of 569 samples of cells, harmless or not."""

import os
from pathlib import Path

import numpy as np


def read(name: str) -> tuple[np.ndarray, np.ndarray]:
    """Measurements (n x 30, each scaled to mean 0 and deviation 1) and labels (n) of `train` or `test`."""
    with np.load(Path(os.environ["SM_CHANNEL_CELLS"]) / f"{name}.npz") as data:
        return data["measured"], data["labels"]


def batches(count: int, seed: int, epoch: int, size: int = 64) -> list[np.ndarray]:
    """Rows in an order that follows from (seed, epoch) alone, so that nothing of it has to be saved."""
    order = np.random.default_rng([seed, epoch]).permutation(count)
    return np.array_split(order, count // size)
