"""Decides which errors a Retry or Catch answers, and how long a retrier waits."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass

from workflows.local.step_functions.limits import DATA_LIMIT, RUNTIME

ALL = "States.ALL"
TASK_FAILED = "States.TaskFailed"
TIMEOUT = "States.Timeout"
HEARTBEAT_TIMEOUT = "States.HeartbeatTimeout"


def matches(patterns: Sequence[str], error: str) -> bool:
    """Say whether `ErrorEquals` answers an error.

    Nothing answers States.Runtime, and States.ALL does not answer DataLimitExceeded either (AWS.md 9.1).
    States.TaskFailed stands for every error but a timeout, and a missed heartbeat is a timeout.
    """
    if error == RUNTIME:
        return False
    for pattern in patterns:
        if pattern == error:
            return True
        if pattern == ALL and error != DATA_LIMIT:
            return True
        if pattern == TASK_FAILED and error not in (TIMEOUT, HEARTBEAT_TIMEOUT):
            return True
        if pattern == TIMEOUT and error == HEARTBEAT_TIMEOUT:
            return True
    return False


@dataclass(frozen=True, slots=True)
class Retrier:
    """One entry of `Retry`, with the defaults of the States Language."""

    errors: tuple[str, ...]
    interval: float = 1.0
    rate: float = 2.0
    attempts: int = 3
    longest: float | None = None
    jitter: bool = False

    def delay(self, retries: int, randomness: random.Random) -> float | None:
        """Return the seconds to wait before retry number `retries` + 1, None when none is left."""
        if retries >= self.attempts:
            return None
        # 31,622,400 s is the longest that MaxDelaySeconds allows (AWS.md 9.2).
        # A power beyond e^500 would not fit into a float, and is over any ceiling.
        ceiling = 31_622_400.0 if self.longest is None else self.longest
        wait = ceiling
        if retries * math.log(self.rate) < 500:
            wait = min(self.interval * self.rate**retries, ceiling)
        return randomness.uniform(0.0, wait) if self.jitter else wait
