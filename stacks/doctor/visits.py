"""A run of the compiled machine on this computer, in virtual time, and each way that it took through a state.

A week of training passes in a second. Every stage's first spot attempt is interrupted, so that the run also
takes the states that follow from it. What a visit knows, input, variables, result and what came of them, is
read from the history as Step Functions writes it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from workflows.jobs.watch_pattern import watch_pattern
from workflows.local.sagemaker.work_model import WorkModel
from workflows.local.scenario import parse_scenario
from workflows.local.virtual import VirtualWorld, Watch
from workflows.specification.pipeline import Pipeline
from workflows.specification.stages import JobStage

_LOST = {"interrupt": "50%"}  # and back after the patience: the watch stops it
Event = Mapping[str, Any]


@dataclass(frozen=True)
class Visit:
    """One way through a state. Everything is JSON text, as Step Functions keeps it.

    `error`: name and cause of what was caught; of an expression that failed the cause is None, because its
    words are the interpreter's.
    """

    machine: str
    state: str
    input: str
    variables: Mapping[str, str]
    context: Mapping[str, Any]
    result: str | None
    error: tuple[str, str | None] | None
    retries: int
    next: str | None
    output: str
    assigned: Mapping[str, str]


def rehearse(
    pipeline: Pipeline, machine: str, watch: str, *, bucket: str, table: str, now: datetime
) -> list[Visit]:
    """The visits of one run of the machine and of its capacity watch, each way through a state once.

    The run begins `now`: what a machine decides by the clock, a deadline, it decides alike when it is asked
    again at once.
    """
    lost = {
        stage.name: [_LOST, "none"]
        for stage in pipeline.stages
        if isinstance(stage, JobStage) and stage.on_spot and not stage.has_trials
    }
    world = VirtualWorld(
        {stage.name: _model(stage) for stage in pipeline.jobs},
        bucket=bucket,
        table=table,
        epoch=now,
        scenario=parse_scenario({"spot": lost}),
        watch=Watch(json.loads(watch), watch_pattern(pipeline.name)),
    )
    run = world.run(json.loads(machine))
    found = list(_visits("machine", world.history(run), world.describe(run)))
    for arn in world.watches:
        world.wait(arn)
        found += _visits("watch", world.history(arn), world.describe(arn))
    ways = {(each.machine, each.state, each.next, each.error and each.error[0]): each for each in found[::-1]}
    return list(ways.values())[::-1]


def _model(stage: JobStage) -> WorkModel:
    """Twenty minutes, or half of what a stage may take; every metric that somebody asks for is 0.9."""
    seconds = min(1200.0, stage.limit.total_seconds() / 2)
    best = getattr(stage, "best", None)
    metrics = {best.metric: 0.9} if best else {}
    return WorkModel(seconds=seconds, steps=100, save_every=seconds / 20, metrics=metrics)


def _visits(machine: str, events: Sequence[Event], execution: Mapping[str, Any]) -> Iterator[Visit]:
    story = _Story(events)
    for event in events:
        if "stateExitedEventDetails" in event:
            yield story.visit(machine, event, execution)


class _Story:
    """The events of a history, and the chains in which they follow each other."""

    def __init__(self, events: Sequence[Event]) -> None:
        self.by_id = {each["id"]: each for each in events}
        self.after = {
            each["previousEventId"]: each["stateEnteredEventDetails"]["name"]
            for each in events
            if "stateEnteredEventDetails" in each
        }

    def visit(self, machine: str, exited: Event, execution: Mapping[str, Any]) -> Visit:
        """The visit that ends with this event."""
        left = exited["stateExitedEventDetails"]
        entered, between = self._within(exited)
        result, error, failures = _outcome(between)
        return Visit(
            machine,
            left["name"],
            entered["stateEnteredEventDetails"]["input"],
            self._variables(entered),
            _context(execution, left["name"], entered["timestamp"]),
            result,
            error,
            max(0, failures - 1) if error else failures,
            self.after.get(exited["id"]),
            left["output"],
            left.get("assignedVariables", {}),
        )

    def _within(self, exited: Event) -> tuple[Event, list[Event]]:
        """(the event with which the state was entered, the state's own events in between in their order)."""
        name, between, event = exited["stateExitedEventDetails"]["name"], [], exited
        while event.get("stateEnteredEventDetails", {}).get("name") != name:
            event = self.by_id[event["previousEventId"]]
            between.append(event)
        return event, between[-2::-1]

    def _variables(self, entered: Event) -> dict[str, str]:
        """What was assigned on the way to the state, the newest value of each name."""
        found: dict[str, str] = {}
        event = entered
        while event["previousEventId"]:
            event = self.by_id[event["previousEventId"]]
            left = event.get("stateExitedEventDetails")
            if left:
                found = {**left.get("assignedVariables", {}), **found}
                if event["type"] in ("ParallelStateExited", "MapStateExited"):
                    event = self._within(event)[0]  # what was assigned inside is not seen outside
        return found


def _outcome(between: Sequence[Event]) -> tuple[str | None, tuple[str, str | None] | None, int]:
    """(a task's result, the error of its last attempt, how many attempts failed)."""
    result, error, failures = None, None, 0
    for event in between:
        kind = event["type"]
        if kind == "TaskSucceeded":
            result, error = event["taskSucceededEventDetails"]["output"], None
        elif kind in ("TaskFailed", "TaskSubmitFailed"):
            told = event[f"{kind[0].lower()}{kind[1:]}EventDetails"]
            error, failures = (told["error"], told.get("cause")), failures + 1
        elif kind == "EvaluationFailed":
            error, failures = (event["evaluationFailedEventDetails"]["error"], None), failures + 1
    return result, error, failures


def _context(execution: Mapping[str, Any], state: str, entered: datetime) -> dict[str, Any]:
    started = execution["startDate"]
    machine = execution["stateMachineArn"]
    return {
        "Execution": {
            "Id": execution["executionArn"],
            "Input": json.loads(execution["input"]),
            "Name": execution["name"],
            "StartTime": _moment(started),
            "RedriveCount": 0,
        },
        "StateMachine": {"Id": machine, "Name": machine.rpartition(":")[2]},
        "State": {"Name": state, "EnteredTime": _moment(entered), "RetryCount": 0},
    }


def _moment(moment: datetime) -> str:
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{moment.microsecond // 1000:03d}Z"
