"""Lightning: handwritten digits, with a loader that can begin in the middle of an epoch."""

from __future__ import annotations

import argparse
import logging
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import lightning
import torch
from sklearn.datasets import load_digits
from torch import nn

from workflows.checkpointing.lightning import RelayCallback


class Batches:
    """Batches in an order that is a function of (seed, epoch, position); Lightning saves it."""

    def __init__(self, data: torch.Tensor, target: torch.Tensor, batch: int, seed: int) -> None:
        self.data, self.target, self.batch, self.seed = data, target, batch, seed
        self.epoch = self.position = 0

    def __len__(self) -> int:
        return len(self.data) // self.batch

    def __iter__(self) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        generator = torch.Generator().manual_seed(self.seed * 100_003 + self.epoch)
        order = torch.randperm(len(self.data), generator=generator)
        while self.position < len(self):
            chosen = order[self.position * self.batch :][: self.batch]
            self.position += 1  # before the batch is used: what is saved after it is the next one
            yield self.data[chosen], self.target[chosen]
        self.epoch, self.position = self.epoch + 1, 0

    def state_dict(self) -> dict[str, int]:
        return {"epoch": self.epoch, "position": self.position}

    def load_state_dict(self, state: dict[str, int]) -> None:
        self.epoch, self.position = state["epoch"], state["position"]


class Digits(lightning.LightningModule):
    """A small classifier."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Dropout(0.1), nn.Linear(64, 10))

    def training_step(self, batch: Any, index: int) -> torch.Tensor:
        loss = nn.functional.cross_entropy(self.layers(batch[0]), batch[1])
        self.log("loss", loss)
        return loss

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.AdamW(self.parameters(), lr=3e-3)


parser = argparse.ArgumentParser()
parser.add_argument("--steps", type=int, default=300)
parser.add_argument("--seed", type=int, default=0)
options = parser.parse_args()

lightning.seed_everything(options.seed, verbose=False)
logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
images, labels = load_digits(return_X_y=True)
data, target = torch.tensor((images / 16).astype("float32")), torch.tensor(labels)
module = Digits()
# On SageMaker the checkpoints go to /opt/ml/checkpoints; run alone, to a folder beside you.
folder = None if "SM_MODEL_DIR" in os.environ else "checkpoints"
checkpoints = RelayCallback(folder=folder)
trainer = lightning.Trainer(
    max_steps=options.steps,
    callbacks=[checkpoints],
    enable_checkpointing=False,  # the callback saves
    enable_progress_bar=False,
    enable_model_summary=False,
    logger=False,
    accelerator="cpu",
    default_root_dir=os.environ.get("SM_OUTPUT_DATA_DIR", "output"),
)
loader = Batches(data, target, 64, options.seed)
trainer.fit(module, loader, ckpt_path=checkpoints.resume_from())

output = Path(os.environ.get("SM_MODEL_DIR", "model"))
output.mkdir(parents=True, exist_ok=True)
torch.save(module.state_dict(), output / "model.pt")
accuracy = (module.layers.eval()(data).argmax(1) == target).float().mean().item()
print(f"training accuracy {accuracy:.3f}")
