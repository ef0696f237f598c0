"""Describes the work of a stage's jobs and their failures, for `modelled.py` to work through."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

from workflows.local.sagemaker.job_records import INTERNAL_ERROR


@dataclass(frozen=True)
class Failure:
    """How one job of a stage fails, `after` seconds of its training (restore included).

    `exit_code` 0 is a script that ends without complete.json. `fault` is a platform fault, `stuck`
    a job whose checkpoint never moves although it works (it then ends as it would otherwise).
    """

    exit_code: int = 1
    text: str = ""
    after: float = 0.0
    fault: str | None = None
    stuck: bool = False


PLATFORM_FAULT = Failure(exit_code=0, fault=INTERNAL_ERROR)


@dataclass(frozen=True)
class WorkModel:
    """The work of one stage; times in seconds.

    `seconds` of undisturbed work in `steps` equal steps; a checkpoint after every `save_every`
    seconds of work holds it up for `stall`; each start costs `download` before and `restore` in
    training. `failures` say how its first, second, ... job fails; None for a job that does not.
    """

    seconds: float
    steps: int = 1000
    save_every: float = 600.0
    stall: float = 0.0
    restore: float = 0.0
    download: float = 0.0
    upload: float = 0.0
    on_sigterm: Literal["save", "exit", "ignore"] = "save"
    failures: tuple[Failure | None, ...] = ()
    metrics: Mapping[str, float | Callable[[Mapping[str, str]], float]] = field(default_factory=dict)
    """What the job's output says last: numbers, or functions of its hyperparameters (a sweep's jobs differ in
    nothing else). SageMaker sees those that the request defines."""
    live: bool = True
    """Whether progress.json is written at each save; False writes it only when training ends."""
    outputs: bool = True
    """Whether it leaves a model, or something in each output of a processing job."""
    speeds: Mapping[str, float] = field(default_factory=dict)
    """Instance type -> how many times as fast as `seconds` says; 1 for a type that is not named."""

    def on(self, instance_type: str) -> WorkModel:
        """Returns the same work on another instance type."""
        speed = self.speeds.get(instance_type, 1.0)
        return self if speed == 1.0 else replace(self, seconds=self.seconds / speed)
