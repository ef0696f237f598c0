"""Host memory for the copies of a state: kept from save to save, page-locked where a GPU fills it.

Fresh memory costs a page fault per 4 KiB: a first copy takes about three times as long as the next
ones. A GPU copies into page-locked memory about three times as fast as into other memory.
"""

from __future__ import annotations

import contextlib
import logging
import mmap
import sys
import weakref
from typing import Any

log = logging.getLogger(__package__)

_PORTABLE = 1  # cudaHostRegisterPortable: page-locked for every GPU, not for the current one alone


class HostBuffer:
    """Pages of our own. torch's `pin_memory` would take the next power of two: up to twice as much."""

    def __init__(self) -> None:
        self.view = memoryview(b"")
        self.tensor: Any = None  # the same memory as torch sees it, once torch is loaded
        self._unlock: weakref.finalize[Any, HostBuffer] | None = None
        self._refused = False

    def reserve(self, size: int, *, pinned: bool) -> None:
        """Makes room for so many bytes; keeps what there is if it is enough. Raises OSError."""
        if size > len(self.view):
            self._let_go()
            pages = mmap.mmap(-1, -(-size // mmap.PAGESIZE) * mmap.PAGESIZE)
            if hasattr(mmap, "MADV_HUGEPAGE"):
                pages.madvise(mmap.MADV_HUGEPAGE)
            self.view = memoryview(pages)
        if self.tensor is None and len(self.view) and "torch" in sys.modules:
            import torch

            self.tensor = torch.frombuffer(self.view, dtype=torch.uint8)
        if pinned and self._unlock is None and not self._refused:
            self._lock()

    def _let_go(self) -> None:
        if self._unlock is not None:
            self._unlock()  # before the pages go: their addresses may be given out again
        self.view, self.tensor, self._unlock, self._refused = memoryview(b""), None, None, False

    def _lock(self) -> None:
        if self.tensor is None:
            return  # nothing to copy
        import torch

        address = self.tensor.data_ptr()
        error = int(_runtime().cudaHostRegister(address, len(self.view), _PORTABLE))
        self._refused = error != 0
        if not self._refused:
            self._unlock = weakref.finalize(self, _unlock, address)
            self._unlock.atexit = False  # the device's context may be gone by then
            return
        # CUDA keeps the error for the next kernel, which would be one of the training's: take it in.
        with contextlib.suppress(RuntimeError):
            torch.ones(1, device="cuda")
        log.warning(
            "%d bytes cannot be page-locked (CUDA error %d): saves work, and copying from the GPU"
            " takes about three times as long",
            len(self.view),
            error,
        )


def _unlock(address: int) -> None:
    _runtime().cudaHostUnregister(address)


def _runtime() -> Any:
    import torch

    return torch.cuda.cudart()  # type: ignore[no-untyped-call]
