"""Parallel and Map: branches that walk side by side, and what happens when one of them fails."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Generator
from dataclasses import dataclass
from typing import Any

import simpy

from workflows.local.errors import TaskError
from workflows.local.step_functions.branch import Branch, Waiting
from workflows.local.step_functions.history import NOT_TRUNCATED, History
from workflows.local.step_functions.jsonata.templates import EvaluationFailedError, evaluate_as
from workflows.local.step_functions.limits import RUNTIME, text_of, timestamp
from workflows.local.step_functions.program import State
from workflows.local.step_functions.states import arguments_of

INLINE_CONCURRENCY = 40
"""Most iterations of an inline Map at once (AWS quota); more may be asked for, not had."""

DISTRIBUTED_CONCURRENCY = 10_000
THRESHOLD = "States.ExceedToleratedFailureThreshold"


@dataclass(slots=True)
class _Tolerance:
    """How many iterations may fail; None for a Map or Parallel in which none may."""

    failures: int
    failed: int = 0


class _Gathering:
    """Runs children as processes, at most `limit` at once, until all are done or one is fatal."""

    def __init__(self, parent: Branch, state: State, children: list[Branch], limit: int) -> None:
        self.parent = parent
        self.state = state
        self.env = parent.interpreter.env
        self.pending = deque((p, c) for p, c in enumerate(children) if not c.done)
        self.places = {id(child): place for place, child in enumerate(children)}
        self.limit = limit
        self.live: dict[int, simpy.Process] = {}
        self.ended: deque[Branch] = deque()
        self.wake = self.env.event()
        self.start_event = parent.last_event

    def run(self, tolerance: _Tolerance | None) -> Waiting:
        """Gather; raises the error of the first child that may not fail."""
        try:
            while self.pending or self.live:
                self._start_more()
                if not self.ended:
                    yield self.wake
                self.wake = self.env.event()
                while self.ended:
                    self._settle(self.ended.popleft(), tolerance)
        except TaskError:
            yield from self._stop()
            raise
        except simpy.Interrupt:
            yield from self._stop()
            raise

    def _start_more(self) -> None:
        while self.pending and len(self.live) < self.limit:
            place, child = self.pending.popleft()
            if self.state.type == "Map" and not self.state.distributed:
                child.last_event = self.start_event
                self._iteration("Started", child)
            self.live[place] = self.env.process(child.walk(self._on_end))

    def _on_end(self, child: Branch) -> None:
        self.ended.append(child)
        if not self.wake.triggered:
            self.wake.succeed()

    def _settle(self, child: Branch, tolerance: _Tolerance | None) -> None:
        del self.live[self.places[id(child)]]
        if self.state.type == "Map" and not self.state.distributed:
            self._iteration(_iteration_end(child), child)
        if child.history is self.parent.history:
            self.parent.last_event = child.last_event
        self.parent.execution.save()
        if child.cut_off:
            raise simpy.Interrupt("stopped")
        if child.error is None:
            return
        if tolerance is None:
            raise TaskError(child.error.error, child.error.cause)
        tolerance.failed += 1
        if tolerance.failed > tolerance.failures:
            raise TaskError(THRESHOLD, "The specified tolerated failure threshold was exceeded")

    def _stop(self) -> Generator[simpy.Event, Any, None]:
        """Cut off the children that still walk and wait until they have cleaned up."""
        processes = list(self.live.values())
        for process in processes:
            if process.is_alive:
                process.interrupt("aborted")
        if processes:
            yield self.env.all_of(processes)
        while self.ended:
            child = self.ended.popleft()
            if self.state.type == "Map" and not self.state.distributed:
                self._iteration(_iteration_end(child), child)

    def _iteration(self, what: str, child: Branch) -> None:
        child.event(
            f"MapIteration{what}",
            f"mapIteration{what}EventDetails",
            {"name": self.state.name, "index": self.places[id(child)]},
        )


def _iteration_end(child: Branch) -> str:
    if child.cut_off:
        return "Aborted"
    return "Succeeded" if child.error is None else "Failed"


def attempt_parallel(branch: Branch, state: State) -> Waiting:
    """Run all branches once; the result is the list of their outputs."""
    if branch.children is None:
        value = arguments_of(branch, state)
        branch.event("ParallelStateStarted")
        branch.children = [
            branch.child(program, value, history=branch.history, outer=branch.seen, item=branch.item)
            for program in state.branches
        ]
    try:
        yield from _Gathering(branch, state, branch.children, len(branch.children)).run(None)
    except TaskError:
        branch.event("ParallelStateFailed")
        raise
    branch.event("ParallelStateSucceeded")
    return [child.output for child in branch.children]


def attempt_map(branch: Branch, state: State) -> Waiting:
    """Run the body once for each item; the result is the list of outputs, in order.

    Each iteration of a DISTRIBUTED Map is an execution of its own: it has its own history budget,
    cannot read the variables around it, and its failures may be tolerated.
    """
    limit = _concurrency(branch, state)
    if branch.children is None:
        branch.children = _iterations(branch, state)
    elif branch.map_run is not None:
        branch.map_run = {**branch.map_run, "redriveCount": branch.map_run["redriveCount"] + 1}
        branch.event("MapRunRedriven", "mapRunRedrivenEventDetails", branch.map_run)
    tolerance = _tolerance(branch, state, len(branch.children)) if state.distributed else None
    gathering = _Gathering(branch, state, branch.children, limit)
    try:
        yield from gathering.run(tolerance)
    except TaskError as error:
        if state.distributed:
            details = {"error": error.error, "cause": error.cause or ""}
            branch.event("MapRunFailed", "mapRunFailedEventDetails", details)
        branch.event("MapStateFailed")
        raise
    except simpy.Interrupt:
        if state.distributed:
            branch.event("MapRunAborted")
        raise
    if state.distributed:
        branch.event("MapRunSucceeded")
    branch.event("MapStateSucceeded")
    return [child.output if child.done else _failed(child) for child in branch.children]


def _failed(child: Branch) -> dict[str, Any]:
    """What stands in the result for an iteration whose failure was tolerated.

    "If a child workflow execution fails, Step Functions returns its execution result unchanged" (developer
    guide, ResultWriter); its members as a public repository's test has them from a real Map run.
    """
    assert child.identity is not None
    assert child.error is not None
    assert child.failed_at is not None
    execution = child.identity["Execution"]
    answer = {
        "ExecutionArn": execution["Id"],
        "Error": child.error.error,
        "Cause": child.error.cause,
        "Input": text_of(execution["Input"]),
        "InputDetails": {"Included": True},
        "Name": execution["Name"],
        "OutputDetails": {"Included": True},
        "RedriveCount": execution["RedriveCount"],
        "RedriveStatus": "REDRIVABLE_BY_MAP_RUN",
        "StartDate": execution["StartTime"],
        "StateMachineArn": child.identity["StateMachine"]["Id"],
        "Status": "FAILED",
        "StopDate": timestamp(child.failed_at),
    }
    return {name: value for name, value in answer.items() if value is not None}


def _iterations(branch: Branch, state: State) -> list[Branch]:
    expressions = branch.interpreter.expressions
    if "Items" in state.fields:
        items = evaluate_as(state.fields["Items"], "array", expressions, branch)
    elif isinstance(branch.input, list):
        items = branch.input
    else:
        problem = "The Map has no Items and its input is not an array."
        raise TaskError(RUNTIME, branch.blame(state, problem))
    branch.event("MapStateStarted", "mapStateStartedEventDetails", {"length": len(items)})
    if state.distributed:
        arn = branch.execution.map_run_arn(state.literals.get("Label", state.name))
        branch.map_run = {"mapRunArn": arn, "redriveCount": 0}
        branch.event("MapRunStarted", "mapRunStartedEventDetails", {"mapRunArn": arn})
    return [_iteration(branch, state, place, value) for place, value in enumerate(items)]


def _iteration(branch: Branch, state: State, place: int, value: Any) -> Branch:
    item = {"Index": place, "Value": value}
    outside, branch.item = branch.item, item
    try:
        if "ItemSelector" in state.fields:
            value = state.fields["ItemSelector"].evaluate(branch.interpreter.expressions, branch)
    finally:
        branch.item = outside
    child = empty_iteration(branch, state)
    child.input = value
    if state.distributed:
        label = state.literals.get("Label", state.name)
        child.identity = branch.execution.child_identity(label, value)
        _begin_history(child)
    else:
        child.item = item  # of an execution of its own, the context object knows no Map
    return child


def empty_iteration(branch: Branch, state: State) -> Branch:
    """Make the branch of an iteration that has no input yet."""
    history = History(branch.interpreter.clock.now) if state.distributed else branch.history
    outer = {} if state.distributed else branch.seen
    return branch.child(state.branches[0], None, history=history, outer=outer, item=None)


def _begin_history(child: Branch) -> None:
    child.history.append(
        "ExecutionStarted",
        0,
        "executionStartedEventDetails",
        {
            "input": text_of(child.input),
            "inputDetails": NOT_TRUNCATED,
            "roleArn": child.execution.role_arn,
        },
    )


def _concurrency(branch: Branch, state: State) -> int:
    most = DISTRIBUTED_CONCURRENCY if state.distributed else INLINE_CONCURRENCY
    asked = _number(branch, state, "MaxConcurrency", "integer", math.inf)
    return int(min(most, asked or most))


def _tolerance(branch: Branch, state: State, count: int) -> _Tolerance:
    """The failures that both ToleratedFailureCount and ToleratedFailurePercentage allow."""
    given = [key for key in state.fields if key.startswith("ToleratedFailure")]
    if not given:
        return _Tolerance(0)
    most = _number(branch, state, "ToleratedFailureCount", "integer", math.inf)
    percent = _number(branch, state, "ToleratedFailurePercentage", "number", 100)
    return _Tolerance(int(min(most, math.floor(count * min(percent, 100) / 100))))


def _number(branch: Branch, state: State, key: str, kind: str, absent: float) -> float:
    if key not in state.fields:
        return absent
    value = evaluate_as(state.fields[key], kind, branch.interpreter.expressions, branch)
    if value < 0:
        raise EvaluationFailedError(f"{key} is {value}; it must not be negative.", key)
    return float(value)
