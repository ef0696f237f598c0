"""The state of every random generator that the process has: python, numpy, torch, cuda."""

from __future__ import annotations

import logging
import random
import sys
from collections.abc import Callable
from typing import Any

from .errors import RestoreError

log = logging.getLogger(__package__)


def capture() -> dict[str, Any]:
    """The states of the generators of all modules that are loaded."""
    states: dict[str, Any] = {"python": random.getstate()}
    if "numpy" in sys.modules:
        import numpy

        states["numpy"] = numpy.random.get_state()
    if "torch" in sys.modules:
        import torch

        states["torch"] = (
            torch.get_rng_state().numpy().tobytes() if _numpy() else bytes(torch.get_rng_state().tolist())
        )
        if torch.cuda.is_available() and torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
            states["cuda"] = [bytes(s.tolist()) for s in torch.cuda.get_rng_state_all()]
    return states


def restore(states: dict[str, Any]) -> None:
    """Sets every generator that was captured; raises RestoreError where one cannot be set."""
    for name, state in states.items():
        try:
            _SETTERS[name](state)
        except Exception as error:
            raise RestoreError(
                f"The random state of {name} cannot be restored ({type(error).__name__}: {error});"
                " going on would train another model than the undisturbed run"
            ) from error


def _set_python(state: Any) -> None:
    random.setstate(state)


def _set_numpy(state: Any) -> None:
    import numpy

    numpy.random.set_state(state)


def _set_torch(state: bytes) -> None:
    import torch

    torch.set_rng_state(torch.tensor(list(state), dtype=torch.uint8))


def _set_cuda(states: list[bytes]) -> None:
    import torch

    count = torch.cuda.device_count()
    if count != len(states):  # another rung of the ladder: possible, but not bit for bit
        log.warning(
            "The checkpoint has random states of %d CUDA devices and there are %d: the result"
            " will differ from the undisturbed run's in its last bits",
            len(states),
            count,
        )
    for device, state in enumerate(states[:count]):
        torch.cuda.set_rng_state(torch.tensor(list(state), dtype=torch.uint8), device)


def _numpy() -> bool:
    return "numpy" in sys.modules


_SETTERS: dict[str, Callable[[Any], None]] = {
    "python": _set_python,
    "numpy": _set_numpy,
    "torch": _set_torch,
    "cuda": _set_cuda,
}
