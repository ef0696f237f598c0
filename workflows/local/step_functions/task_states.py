"""Task states: one call of an integration, with its events, its timeouts and its end."""

from __future__ import annotations

from collections.abc import Generator
from functools import cache
from typing import Any, NamedTuple, NoReturn, cast

import simpy

from workflows.local.json_texts import Text, text_of
from workflows.local.service_errors import TaskError
from workflows.local.step_functions.branch import Branch, Waiting
from workflows.local.step_functions.history import NOT_TRUNCATED
from workflows.local.step_functions.integrations import ABORTED, TIMED_OUT, Answer
from workflows.local.step_functions.jsonata.templates import evaluate_as
from workflows.local.step_functions.limits import RUNTIME, fitting
from workflows.local.step_functions.program import State
from workflows.local.step_functions.retry import HEARTBEAT_TIMEOUT, TIMEOUT
from workflows.local.step_functions.states import arguments_of

Working = Generator[simpy.Event, Any, Any]
LONGEST = 99_999_999


class _Ended(NamedTuple):
    """How a call ended: with a result, or with an error."""

    result: Any
    text: Text | None = None
    error: TaskError | None = None


_AT_ONCE = (Answer, _Ended)


@cache
def resource_names(resource: str) -> dict[str, str]:
    """Split a resource ARN into the resourceType and resource of its events."""
    service, _, action = resource.removeprefix("arn:aws:states:::").partition(":")
    if service == "aws-sdk":
        name, _, action = action.partition(":")
        service = f"aws-sdk:{name}"
    if not action:
        service, action = "lambda" if ":lambda:" in resource else "unknown", resource
    return {"resourceType": service[:80], "resource": action[:80]}


def attempt_task(branch: Branch, state: State) -> Waiting:
    """Run one attempt and return its result; raises TaskError."""
    attempt = _Attempt(branch, state, arguments_of(branch, state))
    timeout = _seconds(branch, state, "TimeoutSeconds")
    heartbeat = _seconds(branch, state, "HeartbeatSeconds")
    names = attempt.names
    scheduled: dict[str, Any] = {
        **names,
        "region": branch.interpreter.region,
        "parameters": branch.arguments_text,
    }
    if timeout is not None:
        scheduled["timeoutInSeconds"] = timeout
    if heartbeat is not None:
        scheduled["heartbeatInSeconds"] = heartbeat
    branch.event("TaskScheduled", "taskScheduledEventDetails", scheduled)
    branch.event("TaskStarted", "taskStartedEventDetails", names)
    try:
        begun: Answer | _Ended | Working = branch.interpreter.integrations.run(attempt)
    except TaskError as error:
        begun = _Ended(None, error=error)
    if isinstance(begun, _AT_ONCE):
        # What is answered at once needs no process of its own. An answer takes a moment, in which other
        # executions go on: two that look at one job both look before either acts, as on AWS.
        ended = begun
        yield branch.interpreter.env.timeout(0)
    else:
        ended = yield from attempt.wait(begun, timeout, heartbeat)
    attempt.ended = True
    if isinstance(ended, _Ended) and ended.error is not None:
        attempt.fail(ended.error)
    result = ended.result
    text = fitting(text_of(result) if ended.text is None else ended.text, state.name)
    branch.take(result, text)
    done = {**names, "output": text, "outputDetails": NOT_TRUNCATED}
    branch.event("TaskSucceeded", "taskSucceededEventDetails", done)
    return result


class _Attempt:
    """One attempt of a Task as its integration sees it (a `TaskCall`): its process, and its timeouts."""

    was_submitted = False
    ended = False
    beat: simpy.Event | None = None

    def __init__(self, branch: Branch, state: State, arguments: Any) -> None:
        self.branch = branch
        self.resource = state.literals["Resource"]
        self.names = resource_names(self.resource)
        self.arguments = arguments
        self.execution_arn = branch.execution.arn
        self.state_name = state.name

    def wait(
        self, begun: Working, timeout: float | None, heartbeat: float | None
    ) -> Generator[simpy.Event, Any, _Ended]:
        """Wait for the process of a job or an execution; raises TaskError for a timeout."""
        process = self.branch.interpreter.env.process(self._guarded(begun))
        try:
            late = yield from self._until(process, timeout, heartbeat)
        except simpy.Interrupt:
            self.ended = True
            if process.is_alive:
                process.interrupt(ABORTED)
                yield process
            raise
        if late is not None:
            self.ended = True
            process.interrupt(TIMED_OUT)
            self._event("TaskTimedOut", error=late)
            raise TaskError(late)
        return cast("_Ended", process.value)

    def _until(
        self, process: simpy.Process, timeout: float | None, heartbeat: float | None
    ) -> Generator[simpy.Event, Any, str | None]:
        """Wait for the process; return the name of the timeout that came first, if one did."""
        if timeout is None and heartbeat is None:
            yield process
            return None
        env = self.branch.interpreter.env
        deadline = env.event() if timeout is None else env.timeout(timeout)
        while True:
            self.beat = env.event()
            silence = env.event() if heartbeat is None else env.timeout(heartbeat)
            yield process | deadline | silence | self.beat
            if process.processed or not process.is_alive:
                return None
            if deadline.processed:
                return TIMEOUT
            if silence.processed:
                return HEARTBEAT_TIMEOUT

    def _guarded(self, begun: Working) -> Generator[simpy.Event, Any, _Ended]:
        try:
            return _Ended((yield from begun))
        except TaskError as error:
            return _Ended(None, error=error)
        except simpy.Interrupt:
            return _Ended(None)

    def submitted(self, output: Any) -> None:
        """The job exists."""
        if not self.ended:
            self.was_submitted = True
            self._event("TaskSubmitted", output=text_of(output), outputDetails=NOT_TRUNCATED)
            self.branch.execution.save()

    def heartbeat(self) -> None:
        """The job gave a sign of life."""
        if self.beat is not None and not self.beat.triggered:
            self.beat.succeed()

    def fail(self, error: TaskError) -> NoReturn:
        """Record the failure and raise it."""
        details = {"error": error.error[:256]}
        if error.cause is not None:
            error.cause = error.cause[:32768]
            details["cause"] = error.cause
        is_job = ".sync" in self.names["resource"]
        kind = "TaskSubmitFailed" if is_job and not self.was_submitted else "TaskFailed"
        self._event(kind, **details)
        raise error

    def _event(self, kind: str, **details: Any) -> None:
        key = f"{kind[0].lower()}{kind[1:]}EventDetails"
        self.branch.event(kind, key, {**self.names, **details})


def _seconds(branch: Branch, state: State, key: str) -> int | None:
    if key not in state.fields:
        return None
    value = evaluate_as(state.fields[key], "integer", branch.interpreter.expressions, branch)
    if not 1 <= value <= LONGEST:
        problem = f"{key} is {value}; it must be 1 to {LONGEST}."
        raise TaskError(RUNTIME, branch.blame(state, problem))
    return int(value)
