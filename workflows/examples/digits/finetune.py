"""Goes on from the pretrained network with smaller steps."""

import argparse
import os
import tarfile
from pathlib import Path

from network import Network, Shuffler, read

from workflows.checkpointing import Checkpointer

parser = argparse.ArgumentParser()
parser.add_argument("--epochs", type=int, default=100)
parser.add_argument("--hidden", type=int, default=64)
parser.add_argument("--seed", type=int, default=0)
options = parser.parse_args()

digits, pretrained = Path(os.environ["SM_CHANNEL_DIGITS"]), Path(os.environ["SM_CHANNEL_PRETRAINED"])
with tarfile.open(pretrained / "model.tar.gz") as archive:
    archive.extract("network.npz", pretrained)

images, labels = read(digits, "train")
network, shuffler = Network(options.hidden, options.seed), Shuffler(options.seed)
network.load(pretrained / "network.npz")

with Checkpointer({"network": network, "shuffler": shuffler}) as checkpoints:
    for _epoch in checkpoints.steps(options.epochs):
        losses = [network.learn(*batch, rate=0.005) for batch in shuffler.batches(images, labels)]
        checkpoints.report(loss=sum(losses) / len(losses))

accuracy = network.accuracy(*read(digits, "test"))
network.save(Path(os.environ["SM_MODEL_DIR"]) / "network.npz")
print(f"held-out accuracy: {accuracy:.4f}")
