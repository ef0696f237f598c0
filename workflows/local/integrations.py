"""What Task states call: SageMaker jobs with `.sync`, and any AWS API through `aws-sdk`."""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Any, Protocol

import simpy

ABORTED = "aborted"
"""Cause of the Interrupt when the execution was stopped or a sibling failed: stop the job."""

TIMED_OUT = "timed out"
"""Cause of the Interrupt when TimeoutSeconds ran out: leave the job alone, as AWS does."""


@dataclass(slots=True)
class TaskCall:
    """One attempt of a Task, as its integration sees it.

    `arguments` are shared with the machine: read, never change. `submitted(output)` records that
    the job exists (TaskSubmitted, `.sync` only); `heartbeat()` restarts the HeartbeatSeconds.
    """

    resource: str
    arguments: Any
    execution_arn: str
    state_name: str
    submitted: Callable[[Any], None] = lambda _output: None
    heartbeat: Callable[[], None] = lambda: None


class Integrations(Protocol):
    """What Task states call."""

    def run(self, task: TaskCall) -> Generator[simpy.Event, Any, Any]:
        """Do one task and return its result as JSON; raises TaskError.

        On simpy.Interrupt the task ends at once: with cause "aborted" (the execution was stopped,
        or a sibling failed) it first stops the job that it started, as Step Functions does on its
        best effort; with cause "timed out" it leaves the job alone, as Step Functions does.
        """

    def refusal(self, resource: str) -> str | None:
        """Say why a machine with this Task resource cannot be created, None when it can."""
