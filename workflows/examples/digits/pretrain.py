"""Trains the network from nothing. Interrupt it wherever you like: the model comes out the same."""

import argparse
import os
from pathlib import Path

from network import Network, Shuffler, read

from workflows.checkpointing import Checkpointer

parser = argparse.ArgumentParser()
parser.add_argument("--epochs", type=int, default=200)
parser.add_argument("--hidden", type=int, default=64)
parser.add_argument("--seed", type=int, default=0)
options = parser.parse_args()

digits = Path(os.environ["SM_CHANNEL_DIGITS"])
images, labels = read(digits, "train")
network, shuffler = Network(options.hidden, options.seed), Shuffler(options.seed)

with Checkpointer({"network": network, "shuffler": shuffler}) as checkpoints:
    for _epoch in checkpoints.steps(options.epochs):
        losses = [network.learn(*batch, rate=0.03) for batch in shuffler.batches(images, labels)]
        checkpoints.report(loss=sum(losses) / len(losses))

network.save(Path(os.environ["SM_MODEL_DIR"]) / "network.npz")
print(f"held-out accuracy: {network.accuracy(*read(digits, 'test')):.4f}")
