"""One run of a distributed Map: its children, how many of them run at once, and how many may fail.

Each child is an execution of its own: it has its own ARN and history, cannot read the variables around it,
and is stopped with the execution that started it. A redrive of that one goes on with the children that have
not succeeded.
"""

from __future__ import annotations

import hashlib
import math
import re
from collections import Counter, deque
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Generic, Protocol, TypeVar

import simpy

from workflows.local.json_texts import text_of
from workflows.local.service_errors import TaskError
from workflows.local.step_functions.branch import Branch, MapRunOfBranch, Owner, Waiting
from workflows.local.step_functions.fanout import inputs_of, number_of
from workflows.local.step_functions.limits import timestamp
from workflows.local.step_functions.program import Program, State

MOST_AT_ONCE = 10_000
THRESHOLD = "States.ExceedToleratedFailureThreshold"
RUNNING, SUCCEEDED, FAILED, ABORTED = "RUNNING", "SUCCEEDED", "FAILED", "ABORTED"

LONGEST_LABEL = 40
_LABEL = re.compile(r"[A-Za-z0-9_-]{1,40}")


class MapExecution(Owner, Protocol):
    """The part of an execution that a Map run needs: of the one that began it, and of its children."""

    name: str
    machine_arn: str
    input: Any
    status: str
    started: datetime
    stopped_at: datetime | None
    error: str | None
    cause: str | None
    redrive_count: int
    root: Branch

    @property
    def begun(self) -> bool:
        """Whether it was started."""

    @property
    def stopped(self) -> bool:
        """Whether it has ended, however it ended."""

    @property
    def full(self) -> bool:
        """Whether its history has no room for a redrive."""

    @property
    def ended(self) -> simpy.Event:
        """An event that succeeds when it has ended."""

    def begin(self) -> None:
        """Start walking."""

    def redrive(self) -> None:
        """Go on from where it failed or was stopped."""

    def stop(self, error: str | None, cause: str | None) -> None:
        """Abort."""


E = TypeVar("E", bound=MapExecution)


@dataclass(slots=True, kw_only=True)
class MapRun(Generic[E]):
    """`max_concurrency` 0 stands for no limit; a tolerance that is None is not asked about."""

    owner: E
    arn: str
    label: str
    started: datetime
    max_concurrency: int = 0
    tolerated_count: int | None = None
    tolerated_percentage: float | None = None
    status: str = RUNNING
    stopped_at: datetime | None = None
    redrive_count: int = 0
    redriven_at: datetime | None = None
    children: list[E] = field(default_factory=list)
    waiting: deque[E] = field(default_factory=deque)
    _changed: simpy.Event = field(init=False)

    def __post_init__(self) -> None:
        self._changed = self.owner.interpreter.env.event()

    # How it ends and goes on

    def redrive(self) -> None:
        """Run again, with the children that have not succeeded."""
        self.status, self.stopped_at = RUNNING, None
        self.redrive_count += 1
        self.redriven_at = self.owner.interpreter.clock.now()

    def end(self, status: str) -> None:
        """Close the run and stop the children that still run."""
        if self.status == RUNNING:
            self.status, self.stopped_at = status, self.owner.interpreter.clock.now()
        self.waiting.clear()
        for child in self.children:
            if child.begun and not child.stopped:
                child.stop(None, None)

    def update(self, changes: dict[str, Any]) -> None:
        """Take over the settings of UpdateMapRun."""
        self.max_concurrency = changes.get("maxConcurrency", self.max_concurrency)
        self.tolerated_count = changes.get("toleratedFailureCount", self.tolerated_count)
        self.tolerated_percentage = changes.get("toleratedFailurePercentage", self.tolerated_percentage)
        self._wake()

    # Walking

    def walk(self, branch: Branch) -> Waiting:
        """Run the children until all have ended; raises THRESHOLD when too many fail."""
        self.waiting = deque(child for child in self.children if child.status != SUCCEEDED)
        ended: deque[E] = deque()
        live = failed = 0
        while self.waiting or live:
            while self.waiting and live < (self.max_concurrency or MOST_AT_ONCE):
                self._go_on(self.waiting.popleft(), ended)
                live += 1
            if not ended:
                self._changed = self.owner.interpreter.env.event()
                yield self._changed
                if branch.history.closed:  # the execution was stopped, and perhaps redriven already
                    raise simpy.Interrupt("stopped")
            while ended:
                live -= 1
                failed += ended.popleft().status != SUCCEEDED
            self.owner.save()
            if failed > self._tolerated():
                raise TaskError(THRESHOLD, "The specified tolerated failure threshold was exceeded")

    def _go_on(self, child: E, ended: deque[E]) -> None:
        if child.full:  # no room in its history: it stays as it is
            ended.append(child)
            return
        if child.begun:
            child.redrive()
        else:
            child.begin()

        def end(_event: simpy.Event) -> None:
            ended.append(child)
            self._wake()

        assert child.ended.callbacks is not None
        child.ended.callbacks.append(end)

    def _wake(self) -> None:
        if not self._changed.triggered:
            self._changed.succeed()

    def _tolerated(self) -> int:
        """Returns how many failures both limits allow; no failure is allowed without a limit."""
        limits = [] if self.tolerated_count is None else [self.tolerated_count]
        if self.tolerated_percentage is not None:
            limits.append(math.floor(len(self.children) * min(self.tolerated_percentage, 100) / 100))
        return min(limits, default=0)

    def results(self) -> list[Any]:
        """Returns the output of each child in order; for one that failed, why it did."""
        return [child.root.output if child.status == SUCCEEDED else _failed(child) for child in self.children]

    # What the API shows

    def describe(self) -> dict[str, Any]:
        """Return what DescribeMapRun shows."""
        counts = self._counts()
        shown = {
            "mapRunArn": self.arn,
            "executionArn": self.owner.arn,
            "status": self.status,
            "startDate": self.started,
            "stopDate": self.stopped_at,
            "maxConcurrency": self.max_concurrency,
            "toleratedFailurePercentage": self.tolerated_percentage or 0.0,
            "toleratedFailureCount": self.tolerated_count or 0,
            "itemCounts": counts,  # one item for each child: items are not batched here
            "executionCounts": dict(counts),
            "redriveCount": self.redrive_count,
            "redriveDate": self.redriven_at,
        }
        return {key: value for key, value in shown.items() if value is not None}

    def _counts(self) -> dict[str, int]:
        found = Counter(child.status if child.begun else "PENDING" for child in self.children)
        return {
            "pending": found["PENDING"],
            "running": found[RUNNING],
            "succeeded": found[SUCCEEDED],
            "failed": found[FAILED],
            "timedOut": 0,  # a child has no time limit of its own
            "aborted": found[ABORTED],
            "total": len(self.children),
            "resultsWritten": 0,
            "failuresNotRedrivable": sum(c.full and c.status in (FAILED, ABORTED) for c in self.children),
            "pendingRedrive": sum(child.begun for child in self.waiting),
        }


def attempt_map_run(branch: Branch, state: State) -> Waiting:
    """Run the body once for each item; the result is the list of outputs, in order."""
    run = branch.map_run
    if run is None:
        run = branch.map_run = _open(branch, state)
        branch.event("MapRunStarted", "mapRunStartedEventDetails", {"mapRunArn": run.arn})
        branch.execution.save()
    else:
        run.redrive()
        details = {"mapRunArn": run.arn, "redriveCount": run.redrive_count}
        branch.event("MapRunRedriven", "mapRunRedrivenEventDetails", details)
    try:
        yield from run.walk(branch)
    except TaskError as error:
        run.end(FAILED)
        failure = {"error": error.error, "cause": error.cause or ""}
        branch.event("MapRunFailed", "mapRunFailedEventDetails", failure)
        branch.event("MapStateFailed")
        raise
    except simpy.Interrupt:
        if not branch.history.closed:  # else the execution ended, and its Map runs with it
            run.end(ABORTED)
            branch.event("MapRunAborted")
        raise
    run.end(SUCCEEDED)
    branch.event("MapRunSucceeded")
    branch.event("MapStateSucceeded")
    return run.results()


def label_of(state: State) -> str:
    """The Map's label, which stands in the ARNs of its runs; made of the state's name where it has none."""
    label = str(state.literals.get("Label", state.name))
    if _LABEL.fullmatch(label):
        return label
    digest = hashlib.sha256(label.encode("utf-8", "surrogatepass")).hexdigest()[:8]
    return re.sub(r"[^A-Za-z0-9_-]+", "-", label)[: LONGEST_LABEL - 9] + f"-{digest}"


def processor(program: Program, label: str) -> Program:
    """The body of the distributed Map with this label, wherever in the program it stands."""
    return next(body for name, body in _processors(program) if name == label)


def _processors(program: Program) -> list[tuple[str, Program]]:
    found = []
    for state in program.states.values():
        if state.distributed:
            found.append((label_of(state), state.branches[0]))  # what is in there is another execution's
        else:
            found += [each for inner in state.branches for each in _processors(inner)]
    return found


def _open(branch: Branch, state: State) -> MapRunOfBranch:
    label = label_of(state)
    most = number_of(branch, state, "MaxConcurrency", "integer")
    count = number_of(branch, state, "ToleratedFailureCount", "integer")
    percentage = number_of(branch, state, "ToleratedFailurePercentage", "number")
    inputs = [value for _item, value in inputs_of(branch, state)]
    return branch.execution.open_map_run(
        label,
        state.branches[0],
        inputs,
        max_concurrency=int(most or 0),
        tolerated_count=None if count is None else int(count),
        tolerated_percentage=percentage,
    )


def _failed(child: MapExecution) -> dict[str, Any]:
    """Returns the entry of the result for a child whose failure was tolerated.

    Step Functions returns the child's execution result unchanged (AWS.md 9.8); its members are those that a
    public repository's test has from a real Map run.
    """
    assert child.stopped_at is not None
    answer = {
        "ExecutionArn": child.arn,
        "Error": child.error,
        "Cause": child.cause,
        "Input": text_of(child.input),
        "InputDetails": {"Included": True},
        "Name": child.name,
        "OutputDetails": {"Included": True},
        "RedriveCount": child.redrive_count,
        "RedriveStatus": "REDRIVABLE_BY_MAP_RUN",
        "StartDate": timestamp(child.started),
        "StateMachineArn": child.machine_arn,
        "Status": child.status,
        "StopDate": timestamp(child.stopped_at),
    }
    return {name: value for name, value in answer.items() if value is not None}
