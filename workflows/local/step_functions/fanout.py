"""Parallel and inline Map: branches that walk side by side, and what happens when one of them fails."""

from __future__ import annotations

from collections import deque
from collections.abc import Generator
from typing import Any

import simpy

from workflows.local.service_errors import TaskError
from workflows.local.step_functions.branch import Branch, Waiting
from workflows.local.step_functions.jsonata.templates import EvaluationFailedError, evaluate_as
from workflows.local.step_functions.limits import RUNTIME
from workflows.local.step_functions.program import State
from workflows.local.step_functions.states import arguments_of

INLINE_CONCURRENCY = 40
"""Most iterations of an inline Map at once (AWS quota); more may be asked for, not had."""


class _Gathering:
    """Runs children as processes, at most `limit` at once, until all are done or one fails."""

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

    def run(self) -> Waiting:
        """Gather; raises the error of the first child that fails."""
        try:
            while self.pending or self.live:
                self._start_more()
                if not self.ended:
                    yield self.wake
                self.wake = self.env.event()
                while self.ended:
                    self._settle(self.ended.popleft())
        except TaskError:
            yield from self._stop()
            raise
        except simpy.Interrupt:
            yield from self._stop()
            raise

    def _start_more(self) -> None:
        while self.pending and len(self.live) < self.limit:
            place, child = self.pending.popleft()
            if self.state.type == "Map":
                child.last_event = self.start_event
                self._iteration("Started", child)
            self.live[place] = self.env.process(child.walk(self._on_end))

    def _on_end(self, child: Branch) -> None:
        self.ended.append(child)
        if not self.wake.triggered:
            self.wake.succeed()

    def _settle(self, child: Branch) -> None:
        del self.live[self.places[id(child)]]
        if self.state.type == "Map":
            self._iteration(_iteration_end(child), child)
        self.parent.last_event = child.last_event
        self.parent.execution.save()
        if child.cut_off:
            raise simpy.Interrupt("stopped")
        if child.error is not None:
            raise TaskError(child.error.error, child.error.cause)

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
            if self.state.type == "Map":
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
        branch.children = [branch.child(program, value, item=branch.item) for program in state.branches]
    try:
        yield from _Gathering(branch, state, branch.children, len(branch.children)).run()
    except TaskError:
        branch.event("ParallelStateFailed")
        raise
    branch.event("ParallelStateSucceeded")
    return [child.output for child in branch.children]


def attempt_map(branch: Branch, state: State) -> Waiting:
    """Run the body once for each item, inline; the result is the list of outputs, in order."""
    asked = number_of(branch, state, "MaxConcurrency", "integer")
    if branch.children is None:
        branch.children = [
            branch.child(state.branches[0], value, item=item) for item, value in inputs_of(branch, state)
        ]
    limit = int(min(INLINE_CONCURRENCY, asked or INLINE_CONCURRENCY))
    try:
        yield from _Gathering(branch, state, branch.children, limit).run()
    except TaskError:
        branch.event("MapStateFailed")
        raise
    branch.event("MapStateSucceeded")
    return [child.output for child in branch.children]


def inputs_of(branch: Branch, state: State) -> list[tuple[dict[str, Any], Any]]:
    """Return (Map.Item of the context object, input) of each iteration of a Map that begins."""
    expressions = branch.interpreter.expressions
    if "Items" in state.fields:
        values = evaluate_as(state.fields["Items"], "array", expressions, branch)
    elif isinstance(branch.input, list):
        values = branch.input
    else:
        problem = "The Map has no Items and its input is not an array."
        raise TaskError(RUNTIME, branch.blame(state, problem))
    branch.event("MapStateStarted", "mapStateStartedEventDetails", {"length": len(values)})
    items = [{"Index": place, "Value": value} for place, value in enumerate(values)]
    return [(item, _selected(branch, state, item)) for item in items]


def _selected(branch: Branch, state: State, item: dict[str, Any]) -> Any:
    if "ItemSelector" not in state.fields:
        return item["Value"]
    outside, branch.item = branch.item, item
    try:
        return state.fields["ItemSelector"].evaluate(branch.interpreter.expressions, branch)
    finally:
        branch.item = outside


def number_of(branch: Branch, state: State, key: str, kind: str) -> float | None:
    """Return the number in a field of a Map, None where it has none; raises for a negative one."""
    if key not in state.fields:
        return None
    value = evaluate_as(state.fields[key], kind, branch.interpreter.expressions, branch)
    if value < 0:
        raise EvaluationFailedError(f"{key} is {value}; it must not be negative.", key)
    return float(value)
