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

        states["torch"] = _bytes(torch.get_rng_state())
        if torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
            states["cuda"] = [_bytes(state) for state in torch.cuda.get_rng_state_all()]
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

    torch.set_rng_state(_tensor(state))


def _set_cuda(states: list[bytes]) -> None:
    import torch

    count = torch.cuda.device_count()
    if count != len(states):  # another rung of the ladder: possible, but not bit for bit
        log.warning(
            "The checkpoint has random states of %d CUDA devices and there are %d: the result"
            " will not be the undisturbed run's bit for bit",
            len(states),
            count,
        )
    if count:
        # Now and not by itself later: at its start torch first sets what was asked for before it, and
        # then what manual_seed() asked for, so that the seed would win.
        torch.cuda.init()  # type: ignore[no-untyped-call]
    for device, state in enumerate(states[:count]):
        torch.cuda.set_rng_state(_tensor(state), device)


def _bytes(state: Any) -> bytes:
    return bytes(state.numpy()) if "numpy" in sys.modules else bytes(state.tolist())


def _tensor(state: bytes) -> Any:
    """A script's default device may be the GPU; the states of generators are on the CPU."""
    import torch

    return torch.tensor(list(state), dtype=torch.uint8, device="cpu")


_SETTERS: dict[str, Callable[[Any], None]] = {
    "python": _set_python,
    "numpy": _set_numpy,
    "torch": _set_torch,
    "cuda": _set_cuda,
}
