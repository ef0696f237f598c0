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


def build(kind: str, device: str) -> nn.Module:
    model = nn.Sequential(nn.Linear(8, 32), nn.Dropout(0.1), nn.ReLU(), nn.Linear(32, 4)).to(device)
    if kind == "fsdp":
        from torch.distributed.device_mesh import init_device_mesh
        from torch.distributed.fsdp import fully_shard

        mesh = init_device_mesh(device, (dist.get_world_size(),))  # by itself it takes a GPU if it can
        for layer in model:
            if isinstance(layer, nn.Linear):
                fully_shard(layer, mesh=mesh)
        fully_shard(model, mesh=mesh)
        return model
    return nn.parallel.DistributedDataParallel(model)


def train(options: argparse.Namespace) -> str:
    rank = dist.get_rank()
    torch.manual_seed(options.seed)
    random.seed(options.seed + rank)
    model = build(options.kind, options.device)
    torch.manual_seed(options.seed + rank)  # dropout differs from rank to rank
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01)
    schedule = torch.optim.lr_scheduler.StepLR(optimizer, 10, 0.9)
    sampler = Sampler(23, options.seed)
    state = {"model": model, "optimizer": optimizer, "schedule": schedule, "sampler": sampler}
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
    from torch.distributed.checkpoint.state_dict import StateDictOptions, get_state_dict

    options = StateDictOptions(full_state_dict=True, cpu_offload=True)
    states, moments = get_state_dict(model, optimizer, options=options)
    hashed = hashlib.sha256()
    for name in sorted(states):
        hashed.update(states[name].numpy().tobytes())
    for name in sorted(moments.get("state", {})):
        for key in sorted(moments["state"][name]):
            hashed.update(moments["state"][name][key].numpy().tobytes())
    return hashed.hexdigest()


def main() -> None:
    options = parser()
    options.add_argument("--kind", choices=["ddp", "fsdp"], default="ddp")
    options.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    options.add_argument("--die-rank", type=int, default=-1)
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
    if dist.get_rank() == 0:
        print("digest", result, flush=True)
    dist.destroy_process_group()


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    main()
