"""A small deterministic training of several ranks, run under torchrun or one process per rank."""

from __future__ import annotations

import argparse
import hashlib
import os
import random
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import torch
import torch.distributed as dist
from torch import nn

from scripts.drills.training import Sampler, kill_at, leave_trace, parser, save_at
from workflows.checkpointing import Checkpointer


class Unwilling:
    """Does not give its state when it is asked for the n-th time, as a library with a defect does."""

    def __init__(self, time: int) -> None:
        self._time, self._asked = time, 0

    def state_dict(self) -> dict[str, int]:
        self._asked += 1
        if self._asked == self._time:
            raise KeyError("a defect")
        return {}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """There is nothing to restore."""


def build(kind: str, device: str) -> nn.Module:
    model = nn.Sequential(nn.Linear(8, 32), nn.Dropout(0.1), nn.ReLU(), nn.Linear(32, 4)).to(device)
    if kind == "fsdp":
        return sharded_by_tensor(model, device)
    if kind == "fsdp1":
        return sharded_flat(model, device)
    return nn.parallel.DistributedDataParallel(model)


def sharded_by_tensor(model: nn.Module, device: str) -> nn.Module:
    """FSDP's second edition: parameters are DTensors. Before torch 2.7 it works on GPUs only."""
    from torch.distributed.device_mesh import init_device_mesh

    try:
        from torch.distributed.fsdp import fully_shard
    except ImportError:  # torch 2.4 and 2.5
        from torch.distributed._composable.fsdp import fully_shard

    mesh = init_device_mesh(device, (dist.get_world_size(),))  # by itself it takes a GPU if it can
    for layer in model:
        if isinstance(layer, nn.Linear):
            fully_shard(layer, mesh=mesh)
    fully_shard(model, mesh=mesh)
    return model


def sharded_flat(model: nn.Module, device: str) -> nn.Module:
    """FSDP's first edition: parameters are views of one flat tensor, states are ShardedTensors."""
    from torch.distributed.fsdp import FullyShardedDataParallel
    from torch.distributed.fsdp.wrap import ModuleWrapPolicy

    policy = ModuleWrapPolicy({nn.Linear})
    place = torch.device(device) if device == "cpu" else torch.device(device, torch.cuda.current_device())
    return FullyShardedDataParallel(model, auto_wrap_policy=policy, device_id=place, use_orig_params=True)


def train(options: argparse.Namespace) -> str:
    rank = dist.get_rank()
    torch.manual_seed(options.seed)
    random.seed(options.seed + rank)
    model = build(options.kind, options.device)
    torch.manual_seed(options.seed + rank)  # dropout differs from rank to rank
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01)
    schedule = torch.optim.lr_scheduler.StepLR(optimizer, 10, 0.9)
    sampler = Sampler(23, options.seed)
    state = {
        "model": model,
        "optimizer": optimizer,
        "schedule": schedule,
        "sampler": sampler,
        "unwilling": Unwilling(options.defect if rank == 1 else 0),
    }
    with Checkpointer(state) as checkpoints:
        for step in checkpoints.steps(options.steps):
            save_at(options, checkpoints, step)
            if options.die_rank in (-1, rank):
                kill_at(options, step)
            inputs = torch.randn(4, 8, device=options.device) + sampler.draw()
            loss = model(inputs).square().mean() * random.random()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            time.sleep(options.pause)
            checkpoints.report(loss=loss.item())
            if rank == 0:
                leave_trace(options, step)
    return digest(model, optimizer)


def digest(model: nn.Module, optimizer: torch.optim.Optimizer) -> str:
    """Of every bit that this rank holds: comparable between equal numbers of ranks."""
    hashed = hashlib.sha256()
    for parameter in model.parameters():
        moments = optimizer.state.get(parameter, {})
        for tensor in [parameter.detach(), *(moments[name] for name in sorted(moments))]:
            local = tensor.to_local() if hasattr(tensor, "to_local") else tensor
            hashed.update(local.cpu().numpy().tobytes())
    return hashed.hexdigest()


def main() -> None:
    options = parser()
    options.add_argument("--kind", choices=["ddp", "fsdp", "fsdp1"], default="ddp")
    options.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    options.add_argument("--die-rank", type=int, default=-1)
    options.add_argument("--defect", type=int, default=0, help="a save in which rank 1 cannot copy")
    options.add_argument("--meet", help="a new file, by which the ranks find each other")
    arguments = options.parse_args()
    torch.set_num_threads(1)
    meeting = f"file://{arguments.meet}" if arguments.meet else None
    rank, world_size = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
    backend = "gloo"
    if arguments.device == "cuda":
        backend = "cpu:gloo,cuda:nccl"
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        torch.use_deterministic_algorithms(True)
        torch.cuda.set_device(rank)
    dist.init_process_group(backend, init_method=meeting, rank=rank, world_size=world_size)
    result = train(arguments)
    print("digest", result, flush=True)
    dist.destroy_process_group()


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    main()
