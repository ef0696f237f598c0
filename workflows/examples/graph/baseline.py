"""A linear model: what a network has to be measured against."""

import argparse
import os
from pathlib import Path

import numpy as np
from cells import batches, read
from sklearn.linear_model import SGDClassifier

from workflows.checkpointing import Checkpointer

parser = argparse.ArgumentParser()
parser.add_argument("--epochs", type=int, default=100)
parser.add_argument("--seed", type=int, default=0)
options = parser.parse_args()

measured, labels = read("train")
model = SGDClassifier(loss="log_loss", alpha=0.01, random_state=np.random.RandomState(options.seed))

with Checkpointer({"model": model}) as checkpoints:
    for epoch in checkpoints.steps(options.epochs):
        for rows in batches(len(labels), options.seed, epoch):
            model.partial_fit(measured[rows], labels[rows], classes=[0, 1])
        checkpoints.report(accuracy=model.score(*read("test")))

np.savez(Path(os.environ["SM_MODEL_DIR"]) / "baseline.npz", weights=model.coef_, bias=model.intercept_)
print(f"held-out accuracy: {model.score(*read('test')):.4f}")
