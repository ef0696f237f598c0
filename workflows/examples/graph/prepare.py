"""Splits scikit-learn's breast cancer data, and scales it by what the training part shows."""

import os
from pathlib import Path

import numpy as np
from sklearn.datasets import load_breast_cancer

HELD_OUT = 143  # samples that no training sees

output = Path(os.environ["SM_OUTPUT_DATA_DIR"]) / "cells"
output.mkdir(parents=True, exist_ok=True)

data = load_breast_cancer()
order = np.random.default_rng(0).permutation(len(data.data))
held_out, training = order[:HELD_OUT], order[HELD_OUT:]
mean, deviation = data.data[training].mean(axis=0), data.data[training].std(axis=0)
for name, rows in (("train", training), ("test", held_out)):
    measured = (data.data[rows] - mean) / deviation
    np.savez(output / f"{name}.npz", measured=measured, labels=data.target[rows])
print(f"{len(training)} samples to train on, {len(held_out)} held out")
