"""scikit-learn: digits, classified by a network that learns epoch by epoch with `partial_fit`."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier

from workflows.checkpointing import Checkpointer

parser = argparse.ArgumentParser()
parser.add_argument("--epochs", type=int, default=60)
parser.add_argument("--hidden", type=int, default=32)
parser.add_argument("--seed", type=int, default=0)
options = parser.parse_args()

images, labels = load_digits(return_X_y=True)
train_x, test_x, train_y, test_y = train_test_split(images / 16, labels, random_state=options.seed)
model = MLPClassifier((options.hidden,), random_state=np.random.RandomState(options.seed))

# On SageMaker the checkpoints go to /opt/ml/checkpoints; run alone, to a folder beside you.
folder = None if "SM_MODEL_DIR" in os.environ else "checkpoints"
with Checkpointer({"model": model}, folder=folder) as checkpoints:
    for _epoch in checkpoints.steps(options.epochs):
        model.partial_fit(train_x, train_y, classes=np.arange(10))
        # One line in the log, which the `metric_definitions` of the estimator read.
        checkpoints.report(accuracy=model.score(test_x, test_y), loss=model.loss_)

output = Path(os.environ.get("SM_MODEL_DIR", "model"))
output.mkdir(parents=True, exist_ok=True)
layers = [*model.coefs_, *model.intercepts_]
np.savez(output / "model.npz", *layers)
print(f"held-out accuracy {model.score(test_x, test_y):.3f}")
