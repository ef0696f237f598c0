"""A callback for Hugging Face's Trainer.

    checkpoints = RelayCallback()
    trainer = Trainer(..., args=TrainingArguments(save_strategy="no", ...), callbacks=[checkpoints])
    trainer.train(resume_from_checkpoint=checkpoints.resume_from())

The Trainer writes its own checkpoint (model, optimizer, schedule, random states) when we ask for
one; we seal it. Needs transformers; a resumed Trainer skips the batches already seen itself.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from .sealing import Seals

if TYPE_CHECKING:
    Base: Any = object
else:
    from transformers import TrainerCallback as Base


class RelayCallback(Base):  # type: ignore[misc]
    """Asks the Trainer for a save when one is due or SIGTERM came, and seals what it wrote."""

    def __init__(self, **settings: Any) -> None:
        self.seals = Seals(**settings)
        self._asked_at: float | None = None

    def resume_from(self) -> str | None:
        """What to give to Trainer.train(resume_from_checkpoint=...)."""
        found = self.seals.resume_from()
        return None if found is None else str(found)

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """The loop begins."""
        if state.save_steps and str(args.save_strategy).endswith("STEPS"):
            raise ValueError("set save_strategy='no': two who save would seal each other's folders")
        self.seals.begin(state.global_step, state.max_steps)

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> Any:
        """Between two steps: save if it is due."""
        self.seals.show(state.global_step, {})
        if self.seals.save_now(state.global_step) and state.global_step < state.max_steps:
            self._asked_at = self.seals.clock()
            control.should_save = True
        else:
            self.seals.stop_if_asked(state.global_step)
        return control

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **kwargs: Any) -> None:
        """The Trainer's metrics are the progress's metrics."""
        self.seals.show(state.global_step, logs or {})

    def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """The Trainer has written its folder."""
        written = Path(args.output_dir) / f"checkpoint-{state.global_step}"
        self.seals.seal(written, state.global_step, stall_began=self._asked_at)
        self._asked_at = None
        self.seals.stop_if_asked(state.global_step)

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """The loop came to its end."""
        self.seals.end(state.global_step)
