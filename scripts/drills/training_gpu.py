"""A small deterministic training on a GPU, with all that draws, scales or counts there.

    dropout from the GPU's own generator, inputs from another one, half precision with a scaler
    that grows and backs off, fused AdamW (its step counts are on the GPU), a schedule, an average

It runs on the CPU too (`--device cpu`), where the same pieces exist.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import sys
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import torch
from torch import nn

from scripts.drills.training import kill_at, leave_trace, parser, save_at
from workflows.checkpointing import Checkpointer


def deterministic() -> None:
    """Before the first product of matrices: cuBLAS reads its setting once."""
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(True)


def build(seed: int, device: str) -> dict[str, Any]:
    torch.manual_seed(seed)
    model = nn.Sequential(
        nn.Linear(16, 64), nn.BatchNorm1d(64), nn.GELU(), nn.Dropout(0.2), nn.Linear(64, 4)
    ).to(device)
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01, fused=True)
    return {
        "model": model,
        "optimizer": optimizer,
        "schedule": torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 50),
        # Doubled every third step from there, it passes what half precision can hold, and backs off.
        "scaler": torch.amp.GradScaler(device, init_scale=2.0**14, growth_interval=3),
        "generator": torch.Generator(device).manual_seed(seed),
        "average": {"weights": [p.detach().clone() for p in model.parameters()]},
        "running": torch.zeros(4, device=device),
    }


def advance(state: dict[str, Any], device: str) -> float:
    """One step; returns the loss."""
    model, scaler = state["model"], state["scaler"]
    inputs = torch.randn(32, 16, generator=state["generator"], device=device)
    with torch.autocast(device, dtype=torch.float16):
        outputs = model(inputs)
    loss = (outputs.float() - inputs[:, :4]).square().mean()
    state["optimizer"].zero_grad()
    scaler.scale(loss).backward()
    scaler.step(state["optimizer"])
    scaler.update()
    state["schedule"].step()
    for mean, now in zip(state["average"]["weights"], model.parameters(), strict=True):
        mean.mul_(0.9).add_(now.detach(), alpha=0.1)
    state["running"] += outputs.detach().float().mean(0)
    return float(loss.item())


def digest(state: dict[str, Any]) -> str:
    """Of every bit of the state, and of the next numbers that the generators would draw."""
    device = state["running"].device
    tensors = [*state["model"].state_dict().values(), *state["average"]["weights"], state["running"]]
    for moments in state["optimizer"].state_dict()["state"].values():
        tensors += [moments[name] for name in sorted(moments)]
    tensors += [torch.rand(8, device=device), torch.rand(8, generator=state["generator"], device=device)]
    hashed = hashlib.sha256()
    for tensor in tensors:
        hashed.update(tensor.cpu().numpy().tobytes())
    hashed.update(repr((state["schedule"].state_dict(), state["scaler"].state_dict())).encode())
    return hashed.hexdigest()


def train(options: argparse.Namespace) -> str:
    state = build(options.seed, options.device)
    with Checkpointer(state) as checkpoints:
        for step in checkpoints.steps(options.steps):
            save_at(options, checkpoints, step)
            kill_at(options, step)
            checkpoints.report(loss=advance(state, options.device))
            leave_trace(options, step)
            time.sleep(options.pause)
    return digest(state)


def main() -> None:
    options = parser()
    options.add_argument("--device", choices=["cpu", "cuda"], default="cuda")
    arguments = options.parse_args()
    torch.set_num_threads(1)
    deterministic()
    print("digest", train(arguments), flush=True)


if __name__ == "__main__":
    main()
