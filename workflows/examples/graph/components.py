"""The few directions in which the samples differ most, learned batch by batch."""

import argparse
import os
from pathlib import Path

import numpy as np
from cells import batches, read
from sklearn.decomposition import IncrementalPCA

from workflows.checkpointing import Checkpointer

parser = argparse.ArgumentParser()
parser.add_argument("--epochs", type=int, default=100)
parser.add_argument("--components", type=int, default=8)
parser.add_argument("--seed", type=int, default=0)
options = parser.parse_args()

measured, _ = read("train")
model = IncrementalPCA(options.components)

with Checkpointer({"model": model}) as checkpoints:
    for epoch in checkpoints.steps(options.epochs):
        for rows in batches(len(measured), options.seed, epoch):
            model.partial_fit(measured[rows])
        checkpoints.report(explained=model.explained_variance_ratio_.sum())

np.savez(Path(os.environ["SM_MODEL_DIR"]) / "components.npz", directions=model.components_)
print(f"{options.components} components explain {model.explained_variance_ratio_.sum():.1%}")
