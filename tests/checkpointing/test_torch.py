"""PyTorch in one process: modules, optimizers, shared memory, data-loader workers."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from workflows.checkpointing import Checkpointer, RestoreError

torch = pytest.importorskip("torch", reason="torch is not installed")


def build(seed: int) -> dict[str, Any]:
    torch.manual_seed(seed)
    model = torch.nn.Sequential(
        torch.nn.Linear(6, 16), torch.nn.BatchNorm1d(16), torch.nn.Dropout(0.2), torch.nn.Linear(16, 2)
    )
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01)
    return {
        "model": model,
        "optimizer": optimizer,
        "schedule": torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 50),
        "scaler": scaler(),
        "generator": torch.Generator().manual_seed(seed),
        "average": {"weights": [p.detach().clone() for p in model.parameters()]},
        "running": torch.zeros(3),
    }


def scaler() -> Any:
    """Before torch 2.3 there is none for the CPU, and the one for GPUs passes all through there."""
    if hasattr(torch.amp, "GradScaler"):
        return torch.amp.GradScaler("cpu")
    return torch.cuda.amp.GradScaler(enabled=False)


def train(until: int, total: int = 20, seed: int = 1) -> str:
    state = build(seed)
    clock = [0.0]
    arguments: dict[str, Any] = {"shortest": 100, "longest": 100, "clock": lambda: clock[0]}
    with Checkpointer(state, **arguments) as checkpoints:
        for step in checkpoints.steps(total):
            if step == until:
                raise KeyboardInterrupt
            inputs = torch.randn(8, 6, generator=state["generator"])
            loss = state["model"](inputs).square().mean()
            state["optimizer"].zero_grad()
            state["scaler"].scale(loss).backward()
            state["scaler"].step(state["optimizer"])
            state["scaler"].update()
            state["schedule"].step()
            for mean, now in zip(state["average"]["weights"], state["model"].parameters(), strict=True):
                mean.mul_(0.9).add_(now.detach(), alpha=0.1)
            state["running"] += loss.detach()
            clock[0] += 40
    return digest(state)


def digest(state: dict[str, Any]) -> str:
    hashed = hashlib.sha256()
    tensors = [*state["model"].state_dict().values(), *state["average"]["weights"]]
    for moments in state["optimizer"].state_dict()["state"].values():
        tensors += moments.values()
    for tensor in [*tensors, state["running"]]:
        hashed.update(tensor.numpy().tobytes())
    hashed.update(repr((state["schedule"].state_dict(), state["scaler"].state_dict())).encode())
    return hashed.hexdigest()


def test_the_model_after_interruptions_is_bit_identical(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SAGEMAKER_BASE_DIR", str(tmp_path / "undisturbed"))
    undisturbed = train(-1)
    monkeypatch.setenv("SAGEMAKER_BASE_DIR", str(tmp_path / "disturbed"))
    for until in (5, 11, 12):
        with pytest.raises(KeyboardInterrupt):
            train(until)

    # Another seed: whatever is not restored would show.
    assert train(-1, seed=2) == undisturbed


def test_tensors_that_share_memory_share_it_again() -> None:
    whole = torch.arange(10.0)
    first: dict[str, Any] = {"box": {"whole": whole, "part": whole[2:4], "same": whole}}
    with Checkpointer(first) as checkpoints:
        list(checkpoints.steps(1))
    second: dict[str, Any] = {"box": {}}
    with Checkpointer(second):
        pass

    box = second["box"]
    box["whole"][2] = 99.0
    assert box["part"].tolist() == [99.0, 3.0]
    assert box["same"] is box["whole"]


@pytest.mark.parametrize(
    "make",
    [
        lambda: torch.randn(3, 4).T,
        lambda: torch.randn(4).to(torch.bfloat16),
        lambda: torch.tensor(True),
        lambda: torch.empty(0, 3),
        lambda: torch.randn(2, 3).to_sparse(),
        lambda: torch.nn.Parameter(torch.ones(2)),
        lambda: torch.randn(3, dtype=torch.complex64).conj(),
        lambda: torch.randn(5, requires_grad=True),
    ],
    ids=["strided", "bfloat16", "scalar", "empty", "sparse", "parameter", "conjugate", "grad"],
)
def test_every_kind_of_tensor_comes_back(make: Any) -> None:
    tensor = make()
    with Checkpointer({"box": {"tensor": tensor}}) as checkpoints:
        list(checkpoints.steps(1))
    box: dict[str, Any] = {}
    with Checkpointer({"box": box}):
        pass

    back = box["tensor"]
    assert type(back) is type(tensor)
    assert (back.dtype, back.shape, back.requires_grad) == (
        tensor.dtype,
        tensor.shape,
        tensor.requires_grad,
    )
    assert torch.equal(
        back.to_dense() if back.is_sparse else back, tensor.to_dense() if tensor.is_sparse else tensor
    )


def test_the_default_device_of_a_script_is_no_business_of_its_checkpoints() -> None:
    def attempt(tensor: Any, *, stop: bool) -> None:
        with Checkpointer({"t": tensor}) as checkpoints:
            for _ in checkpoints.steps(1):
                if stop:
                    checkpoints.save(wait=True)
                drawn.append(torch.rand(1, device="cpu").item())
                if stop:
                    raise KeyboardInterrupt

    drawn: list[float] = []
    before, after = torch.randn(5), torch.zeros(5)
    # Nothing can be copied out of "meta": what is made without naming a device would show.
    torch.set_default_device("meta")
    try:
        with pytest.raises(KeyboardInterrupt):
            attempt(before, stop=True)
        attempt(after, stop=False)
    finally:
        torch.set_default_device(None)

    assert torch.equal(before, after)
    assert drawn[0] == drawn[1]


def test_a_model_of_another_shape_is_refused_by_name() -> None:
    with Checkpointer({"net": torch.nn.Linear(2, 2)}) as checkpoints:
        list(checkpoints.steps(1))

    with pytest.raises(RestoreError, match="'net'"), Checkpointer({"net": torch.nn.Linear(2, 3)}):
        pass


def test_large_states_are_cut_into_shards(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from workflows.checkpointing import files

    monkeypatch.setattr(files, "SHARD", 4096)
    before = torch.randn(5000)
    with Checkpointer({"t": before.clone()}) as checkpoints:
        list(checkpoints.steps(1))
    after = torch.zeros(5000)
    with Checkpointer({"t": after}):
        pass

    assert len(list(base.glob("checkpoints/step-1-*/buffers-*"))) >= 5
    assert torch.equal(before, after)


WORKERS = """
import os, time, torch
from workflows.checkpointing import Checkpointer
class Data(torch.utils.data.Dataset):
    def __len__(self): return 100_000
    def __getitem__(self, index): return torch.ones(2) * index
with Checkpointer({"a": []}) as checkpoints:
    loader = iter(torch.utils.data.DataLoader(Data(), num_workers=2))
    for step in checkpoints.steps(100_000):
        batch = next(loader)
        if step == 5: print("ready", flush=True)
"""


@pytest.mark.processes
def test_sigterm_with_data_loader_workers_running_ends_all_of_them(base: Path) -> None:
    psutil = pytest.importorskip("psutil", reason="psutil is not installed")
    process = subprocess.Popen(
        [sys.executable, "-c", WORKERS], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n", process.communicate()[1]
    workers = psutil.Process(process.pid).children(recursive=True)

    os.kill(process.pid, signal.SIGTERM)

    _, errors = process.communicate(timeout=60)
    assert process.returncode == 143, errors
    assert "Traceback" not in errors
    assert len(workers) >= 2
    _, alive = psutil.wait_procs(workers, timeout=60)
    assert alive == []
    assert list(base.glob("checkpoints/step-*"))
