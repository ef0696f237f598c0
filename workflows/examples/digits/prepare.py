"""Writes scikit-learn's 1,797 handwritten digits as one training and one held-out file."""

import os
from pathlib import Path

import numpy as np
from sklearn.datasets import load_digits

HELD_OUT = 360  # images that no training sees

output = Path(os.environ["SM_OUTPUT_DATA_DIR"]) / "digits"
output.mkdir(parents=True, exist_ok=True)

digits = load_digits()
images = (digits.data / 16.0).astype(np.float64)  # 64 pixels, 0..1
order = np.random.default_rng(0).permutation(len(images))
held_out, training = order[:HELD_OUT], order[HELD_OUT:]
for name, rows in (("train", training), ("test", held_out)):
    np.savez(output / f"{name}.npz", images=images[rows], labels=digits.target[rows])
print(f"{len(training)} images to train on, {len(held_out)} held out")
