"""What a checkpoint costs: ours against torch.save and torch.distributed.checkpoint.async_save.

The state is a model with AdamW's moments, 100 MB and 400 MB together (2 GB on a GPU). Stall is the
time for which training stands still; latency the time until the checkpoint is on the disk. "First"
is the first save, which still has to get its memory; the others are medians of REPEATS saves, and
"least" is the shortest of them: what the method takes when nothing else wants the machine.

torch.save is run as people run it, without fsync, digests or rename; ours includes all of them.
DCP runs as documented (`async_save(state, checkpoint_id=...)`), and once more with a DefaultStager
that keeps its buffers from save to save, which is DCP at its best; where this torch has none, or one
that works once only, the row says so.
"""

from __future__ import annotations

import hashlib
import itertools
import os
import shutil
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

TITLE = "Saves of 100 MB and 400 MB: ours, torch.save, torch.distributed.checkpoint (about 1 min)"
REPEATS = 7
LAYERS = 24
Saves = Generator[tuple[float, float], None, None]  # stall and latency of one save after the other
TURNS, TURN_SECONDS = 4, 1.5
FIGURES = ("first_stall_seconds", "stall_seconds", "least_stall_seconds", "latency_seconds")
MB = 1_000_000


class NotAvailableError(Exception):
    """This version of torch has not what a method needs."""


def run() -> dict[str, Any]:
    """All figures; seconds, and megabytes of 10^6 bytes."""
    import logging

    import torch

    warnings.filterwarnings("ignore")
    logging.disable(logging.WARNING)
    os.environ["RELAY_CHECKPOINT_LONGEST"] = os.environ["RELAY_CHECKPOINT_SHORTEST"] = "3600"
    cuda = torch.cuda.is_available()
    sizes = [2000] if cuda else [100, 400]
    rows: list[dict[str, Any]] = []
    ratios: dict[str, float] = {}
    for size in sizes:
        measured = measure(size, "cuda" if cuda else "cpu")
        rows += measured
        stalls = {row["method"]: row["stall_seconds"] for row in measured}
        ratios[f"stall_against_torch_save_{size}_mb"] = stalls["ours"] / stalls["torch.save"]
        best = min(stalls[name] for name in stalls if name.startswith("DCP") and stalls[name])
        ratios[f"stall_against_best_dcp_{size}_mb"] = stalls["ours"] / best
    result: dict[str, Any] = {"saves": rows, **ratios}
    result["training"] = training_speed(sizes[0], "cuda" if cuda else "cpu")
    result |= hash_throughput()
    if cuda:
        result["pinned_copy_limit_seconds"] = pinned_copy(sizes[-1])
    result |= {"torch": torch.__version__, "processors": os.cpu_count(), "device": "cpu"}
    if cuda:
        result["device"] = torch.cuda.get_device_name()
    return result


def build(size: int, device: str) -> tuple[Any, Any]:
    """A model and its optimizer of `size` MB together: a third each for weights and moments."""
    import torch

    width = int((size * MB / 3 / 4 / LAYERS) ** 0.5)
    layers = [torch.nn.Linear(width, width, bias=False) for _ in range(LAYERS)]
    model = torch.nn.Sequential(*layers).to(device)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4)
    for parameter in model.parameters():
        parameter.grad = torch.randn_like(parameter)
    optimizer.step()
    optimizer.zero_grad()
    return model, optimizer


def measure(size: int, device: str) -> list[dict[str, Any]]:
    """All methods on one state, taking turns: what else the machine does then hits all alike."""
    model, optimizer = build(size, device)
    methods: dict[str, Callable[[Path, Any, Any], Saves]] = {
        "torch.save": torch_save,
        "ours, synchronous": ours_synchronous,
        "ours": ours,
        "DCP async_save": dcp_plain,
        "DCP async_save, kept buffers": dcp_kept,
    }
    with tempfile.TemporaryDirectory(prefix="relay-bench-") as folder:
        running: dict[str, Saves] = {}
        missing: dict[str, str] = {}
        for name, method in methods.items():
            (Path(folder) / name).mkdir()
            try:
                running[name] = method(Path(folder) / name, model, optimizer)
            except NotAvailableError as reason:
                missing[name] = str(reason)
        measured: dict[str, list[tuple[float, float]]] = {name: [] for name in running}
        for _ in range(REPEATS + 1):
            for name, saves in running.items():
                measured[name].append(next(saves))
        for saves in running.values():
            saves.close()
    rows = [{"mb": size, "method": name, **summary(got)} for name, got in measured.items()]
    return rows + [
        {"mb": size, "method": f"{name}: not available, {reason}", **dict.fromkeys(FIGURES)}
        for name, reason in missing.items()
    ]


def summary(measured: list[tuple[float, float]]) -> dict[str, Any]:
    """First, median and least stall, and the median latency."""
    stalls = [stall for stall, _ in measured]
    return {
        "first_stall_seconds": stalls[0],
        "stall_seconds": statistics.median(stalls[1:]),
        "least_stall_seconds": min(stalls[1:]),
        "latency_seconds": statistics.median(latency for _, latency in measured[1:]),
    }


def timed(action: Callable[[], Any]) -> tuple[float, Any]:
    """How long an action took, the device's work included, and its result."""
    import torch

    if torch.cuda.is_available():
        torch.cuda.synchronize()
    began = time.perf_counter()
    result = action()
    return time.perf_counter() - began, result


def torch_save(folder: Path, model: Any, optimizer: Any) -> Saves:
    import torch

    def save() -> None:
        state = {"model": model.state_dict(), "optimizer": optimizer.state_dict()}
        torch.save(state, folder / "checkpoint.pt")

    while True:
        stall = timed(save)[0]
        yield stall, stall


def ours_synchronous(folder: Path, model: Any, optimizer: Any) -> Saves:
    return checkpointer(folder, model, optimizer, wait=True)


def ours(folder: Path, model: Any, optimizer: Any) -> Saves:
    return checkpointer(folder, model, optimizer, wait=False)


def checkpointer(folder: Path, model: Any, optimizer: Any, *, wait: bool) -> Saves:
    from workflows.checkpointing import Checkpointer

    state = {"model": model, "optimizer": optimizer}
    with Checkpointer(state, folder=folder, keep=2) as checkpoints:
        for _ in checkpoints.steps():
            began = time.perf_counter()
            stall = timed(lambda: checkpoints.save(wait=wait))[0]
            while checkpoints.saving:
                time.sleep(0.001)
            yield stall, time.perf_counter() - began


def dcp_plain(folder: Path, model: Any, optimizer: Any) -> Saves:
    return dcp(folder, model, optimizer, stager=None)


def dcp_kept(folder: Path, model: Any, optimizer: Any) -> Saves:
    return dcp(folder, model, optimizer, stager=keeping_stager())


def keeping_stager() -> Any:
    """torch's stager; raises NotAvailableError where it is not there or cannot be used again."""
    import torch

    try:
        from torch.distributed.checkpoint.staging import DefaultStager, StagingOptions
    except ImportError:
        raise NotAvailableError(f"torch {torch.__version__} has no DefaultStager") from None
    cuda = torch.cuda.is_available()
    stager = DefaultStager(
        StagingOptions(
            use_pinned_memory=cuda,
            use_shared_memory=False,
            use_async_staging=False,
            use_non_blocking_copy=cuda,
        )
    )
    try:
        for _ in range(2):
            stager.stage({"weights": torch.zeros(2)})
    except Exception as error:
        reason = f"torch {torch.__version__}'s DefaultStager works once ({type(error).__name__}: {error})"
        raise NotAvailableError(reason) from error
    return stager


def dcp(folder: Path, model: Any, optimizer: Any, *, stager: Any) -> Saves:
    from torch.distributed.checkpoint import state_dict_saver

    for number in itertools.count():
        path = folder / str(number % 2)
        shutil.rmtree(path, ignore_errors=True)

        def save(path: Path = path) -> Any:
            state = {"model": model.state_dict(), "optimizer": optimizer.state_dict()}
            return state_dict_saver.async_save(state, checkpoint_id=path, async_stager=stager)

        began = time.perf_counter()
        stall, future = timed(save)
        getattr(future, "upload_completion", future).result()
        yield stall, time.perf_counter() - began


def training_speed(size: int, device: str) -> list[dict[str, Any]]:
    """Steps per second undisturbed, and with one save after the other in flight, taking turns."""
    from workflows.checkpointing import Checkpointer

    model, optimizer = build(size, device)
    kinds = {"undisturbed": [0.0] * 3, "saving without a pause": [0.0] * 3}
    state = {"model": model, "optimizer": optimizer}
    with (
        tempfile.TemporaryDirectory(prefix="relay-bench-") as folder,
        Checkpointer(state, folder=folder) as checkpoints,
    ):
        for _ in range(TURNS):
            for name, sums in kinds.items():
                got = train(model, device, None if name == "undisturbed" else checkpoints)
                kinds[name] = [old + new for old, new in zip(sums, got, strict=True)]
                while checkpoints.saving:
                    time.sleep(0.01)
    seconds = TURNS * TURN_SECONDS
    return [
        {
            "training": name,
            "steps_per_second": steps / seconds,
            "relative": steps / kinds["undisturbed"][0],
            "saves": int(saves),
            "stalled_share": stalled / seconds,
        }
        for name, (steps, saves, stalled) in kinds.items()
    ]


def train(model: Any, device: str, checkpoints: Any) -> tuple[int, int, float]:
    """Forward and backward passes for some seconds; how many, how many saves, and their stall."""
    import torch

    inputs = torch.randn(32, next(model.parameters()).shape[1], device=device)
    model(inputs).square().mean().backward()  # warm
    steps = saves = 0
    stalled = 0.0
    end = time.perf_counter() + TURN_SECONDS
    while time.perf_counter() < end:
        model.zero_grad()
        model(inputs).square().mean().backward()
        steps += 1
        if checkpoints is not None and not checkpoints.saving:
            stalled += timed(checkpoints.save)[0]
            saves += 1
    return steps, saves, stalled


def hash_throughput() -> dict[str, float]:
    """Megabytes of 10^6 bytes a second, in pieces as our writer hashes them."""
    from workflows.checkpointing.manifest import PIECE

    piece = os.urandom(PIECE)
    result = {}
    for name in ("sha256", "blake2b"):
        hashed = hashlib.new(name)
        began = time.perf_counter()
        for _ in range(32):
            hashed.update(piece)
        result[f"{name}_mb_per_second"] = 32 * PIECE / MB / (time.perf_counter() - began)
    return result


def pinned_copy(size: int) -> float:
    """The least that copying so much from the GPU into pinned memory takes."""
    import torch

    source = torch.empty(size * MB, dtype=torch.uint8, device="cuda")
    target = torch.empty(size * MB, dtype=torch.uint8, pin_memory=True)

    def copy() -> None:
        target.copy_(source)
        torch.cuda.synchronize()

    return min(timed(copy)[0] for _ in range(5))
