"""The GPUs that a state lies on: waiting for them, and finding them again after a restore.

A process's own GPU is the current one (`torch.cuda.set_device(local_rank)`), and a rank may come
back as another number on another machine. So what lies on the current GPU is said to be on "cuda",
and comes back on the GPU that is current then.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import Any


def settle(devices: Iterable[Any] = ()) -> None:
    """Waits for everything that the current GPU and the given ones were asked to do.

    Not for the current stream alone: a script may train on streams of its own, and the default
    stream, on which the state is read between two steps, does not wait for them.
    """
    torch = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_initialized():
        return
    for device in {torch.device("cuda", torch.cuda.current_device()), *devices}:
        torch.cuda.synchronize(device)


def place(device: Any) -> str:
    """What is written down about where a tensor lies: "cpu", "cuda", or "cuda:1" for another GPU."""
    import torch

    if device.type == "cuda" and device.index == torch.cuda.current_device():
        return "cuda"
    return str(device)


def available(place: str) -> str:
    """The device of a place: the current GPU where there is no such GPU, the CPU where there is none."""
    import torch

    if place == "cpu" or not torch.cuda.is_available():
        return "cpu"
    _, _, index = place.partition(":")
    if index and int(index) < torch.cuda.device_count():
        return place
    return f"cuda:{torch.cuda.current_device()}"
