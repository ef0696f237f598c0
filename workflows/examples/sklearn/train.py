"""scikit-learn: a classifier of handwritten digits that learns batch by batch."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

import numpy as np
from sklearn.datasets import load_digits
from sklearn.linear_model import SGDClassifier
from sklearn.model_selection import train_test_split

from workflows.checkpointing import Checkpointer

parser = argparse.ArgumentParser()
parser.add_argument("--steps", type=int, default=300)
parser.add_argument("--batch", type=int, default=64)
parser.add_argument("--seed", type=int, default=0)
options = parser.parse_args()

images, labels = load_digits(return_X_y=True)
train_x, test_x, train_y, test_y = train_test_split(images / 16, labels, random_state=options.seed)
model = SGDClassifier(loss="log_loss", random_state=np.random.RandomState(options.seed))

# On SageMaker the checkpoints go to /opt/ml/checkpoints; run alone, to a folder beside you.
folder = None if "SM_MODEL_DIR" in os.environ else "checkpoints"
with Checkpointer({"model": model}, folder=folder) as checkpoints:
    for step in checkpoints.steps(options.steps):
        # The batch is a function of (seed, step), so nothing of it has to be saved.
        chosen = np.random.default_rng([options.seed, step]).integers(0, len(train_x), options.batch)
        model.partial_fit(train_x[chosen], train_y[chosen], classes=np.arange(10))
        if step % 25 == 24:
            checkpoints.report(accuracy=model.score(test_x, test_y))

output = Path(os.environ.get("SM_MODEL_DIR", "model"))
output.mkdir(parents=True, exist_ok=True)
# Arrays and no pickle: the same weights are the same bytes, whatever the objects went through.
weights = {"coef": model.coef_, "intercept": model.intercept_, "classes": model.classes_}
np.savez(output / "model.npz", **weights)
print(f"held-out accuracy {model.score(test_x, test_y):.3f}")
