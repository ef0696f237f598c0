"""A callback for Lightning's Trainer.

    checkpoints = RelayCallback()
    trainer = Trainer(callbacks=[checkpoints], enable_checkpointing=False, ...)
    trainer.fit(module, loader, ckpt_path=checkpoints.resume_from())

Lightning's checkpoint holds no random state, so ours goes into it. In the middle of an epoch
Lightning starts the loader from its beginning unless the loader has state_dict/load_state_dict:
give it one whose order is a function of (seed, epoch, position).
"""

from __future__ import annotations

import base64
import pickle
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import random_state
from .errors import RestoreError
from .sealing import Seals

if TYPE_CHECKING:
    Base: Any = object
else:
    try:
        from lightning.pytorch.callbacks import Callback as Base
    except ImportError:
        from pytorch_lightning.callbacks import Callback as Base

_KEY = "relay_random_state"
_FILE = "lightning.ckpt"


class RelayCallback(Base):  # type: ignore[misc]
    """Saves when it is due or SIGTERM came, and seals what Lightning wrote."""

    def __init__(self, **settings: Any) -> None:
        self.seals = Seals(**settings)
        self._random: Any = None

    def resume_from(self) -> str | None:
        """What to give to Trainer.fit(ckpt_path=...)."""
        found = self.seals.resume_from()
        return None if found is None else str(found / _FILE)

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        """The loop begins."""
        total = trainer.estimated_stepping_batches
        known = total if isinstance(total, int) else None
        self.seals.begin(trainer.global_step, known)

    def on_save_checkpoint(self, trainer: Any, pl_module: Any, checkpoint: dict[str, Any]) -> None:
        """Adds the random state, as a text that a loader of plain tensors accepts."""
        state = pickle.dumps(random_state.capture())
        checkpoint[_KEY] = base64.b64encode(state).decode()

    def on_load_checkpoint(self, trainer: Any, pl_module: Any, checkpoint: dict[str, Any]) -> None:
        """Keeps the random state for the first batch."""
        if _KEY not in checkpoint:
            raise RestoreError("the Lightning checkpoint holds no random state of ours")
        self._random = pickle.loads(base64.b64decode(checkpoint[_KEY]))

    def on_train_batch_start(self, trainer: Any, pl_module: Any, batch: Any, batch_idx: int) -> None:
        """Restores the random state after all that Lightning draws while it sets up."""
        if self._random is not None:
            state, self._random = self._random, None
            random_state.restore(state)

    def on_train_batch_end(
        self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Between two steps: save if it is due."""
        step = trainer.global_step
        self.seals.show(step, {n: v.item() for n, v in trainer.callback_metrics.items()})
        if self.seals.save_now(step):
            began = self.seals.clock()
            written = Path(trainer.default_root_dir) / f"relay-{step}"
            trainer.save_checkpoint(written / _FILE)
            self.seals.seal(written, step, stall_began=began)
        self.seals.stop_if_asked(step)

    def on_fit_end(self, trainer: Any, pl_module: Any) -> None:
        """The loop came to its end."""
        self.seals.end(trainer.global_step)
