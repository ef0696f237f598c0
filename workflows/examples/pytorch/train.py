"""PyTorch on any number of instances: distributed data parallel over gloo, on the CPU.

Alone, under torchrun, or as one process per SageMaker instance. The process group is made also
where there is only one process, so that a training may go on with another number of instances.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

import torch
import torch.distributed as dist
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from workflows.checkpointing import Checkpointer


class Sampler:
    """The order of the samples: a function of (seed, epoch, position), shared by all ranks."""

    def __init__(self, size: int, batch: int, seed: int) -> None:
        self.size, self.batch, self.seed = size, batch, seed
        self.epoch = self.position = 0

    def next(self) -> torch.Tensor:
        """The indices of the next batch, for all ranks together."""
        if self.position + self.batch > self.size:
            self.epoch, self.position = self.epoch + 1, 0
        generator = torch.Generator().manual_seed(self.seed * 100_003 + self.epoch)
        order = torch.randperm(self.size, generator=generator)
        chosen = order[self.position : self.position + self.batch]
        self.position += self.batch
        return chosen


def join() -> None:
    """Joins the process group that the environment describes."""
    if "RANK" in os.environ:  # torchrun
        dist.init_process_group("gloo")
    elif int(os.environ.get("SM_HOST_COUNT", "1")) > 1:  # one process per instance
        dist.init_process_group(
            "gloo",
            init_method=f"tcp://{os.environ['SM_MASTER_ADDR']}:{os.environ['SM_MASTER_PORT']}",
            rank=int(os.environ["SM_CURRENT_HOST_RANK"]),
            world_size=int(os.environ["SM_HOST_COUNT"]),
        )
    else:
        dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--batch", type=int, default=64, help="samples over all ranks")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    torch.set_num_threads(1)
    join()
    rank, world = dist.get_rank(), dist.get_world_size()

    data, target = load_digits(return_X_y=True)
    train_x, test_x, train_y, test_y = (
        torch.tensor(part) for part in train_test_split((data / 16).astype("float32"), target, random_state=0)
    )
    torch.manual_seed(options.seed)
    layers = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Dropout(0.1), nn.Linear(64, 10))
    model = DistributedDataParallel(layers)
    torch.manual_seed(options.seed + rank)  # dropout differs from rank to rank
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, options.steps)
    sampler = Sampler(len(train_x), options.batch, options.seed)
    state = {"model": model, "optimizer": optimizer, "schedule": schedule, "sampler": sampler}

    # On SageMaker the checkpoints go to /opt/ml/checkpoints; run alone, to a folder beside you.
    folder = None if "SM_MODEL_DIR" in os.environ else "checkpoints"
    with Checkpointer(state, folder=folder) as checkpoints:
        for _ in checkpoints.steps(options.steps):
            mine = sampler.next()[rank::world]
            loss = nn.functional.cross_entropy(model(train_x[mine]), train_y[mine])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            checkpoints.report(loss=loss.item())

    if rank == 0:
        output = Path(os.environ.get("SM_MODEL_DIR", "model"))
        output.mkdir(parents=True, exist_ok=True)
        torch.save(layers.state_dict(), output / "model.pt")
        layers.eval()
        accuracy = (layers(test_x).argmax(1) == test_y).float().mean().item()
        print(f"held-out accuracy {accuracy:.3f}")
    dist.destroy_process_group()


if __name__ == "__main__":
    main()
