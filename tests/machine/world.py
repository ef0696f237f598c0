"""A small world for tests of the interpreter: virtual time and a Task that does as it is told."""

from __future__ import annotations

import json
from collections.abc import Generator
from pathlib import Path
from typing import Any

import simpy
from botocore.validate import ParamValidator

from workflows.local.clock import VirtualClock
from workflows.local.service_errors import TaskError
from workflows.local.service_model import operation_model
from workflows.local.step_functions.integrations import TaskCall
from workflows.local.step_functions.step_functions_api import StepFunctions

ROLE = "arn:aws:iam::000000000000:role/relay"
TASK = "arn:aws:states:::aws-sdk:test:act"
JOB = "arn:aws:states:::test:run.sync"


class Script:
    """Tasks whose arguments say what they do: `seconds`, `fail`, `cause`, `result`.

    `calls` holds the arguments of each call, `stopped` the (state, cause) of each that was cut off.
    A `.sync` resource reports that its job was submitted.
    """

    def __init__(self, env: simpy.Environment) -> None:
        self.env = env
        self.calls: list[Any] = []
        self.times: list[float] = []
        self.stopped: list[tuple[str, Any]] = []
        self.outcomes: list[Any] = []

    def refusal(self, resource: str) -> str | None:
        return "refused here" if resource.endswith(":unknown") else None

    def run(self, task: TaskCall) -> Generator[simpy.Event, Any, Any]:
        told = task.arguments if isinstance(task.arguments, dict) else {}
        self.calls.append(task.arguments)
        self.times.append(self.env.now)
        if task.resource.endswith(".sync") and not told.get("refuse"):
            task.submitted({"Job": task.state_name})
        try:
            for _ in range(told.get("beats", 0)):
                yield self.env.timeout(1)
                task.heartbeat()
            yield self.env.timeout(told.get("seconds", 1))
        except simpy.Interrupt as interrupt:
            self.stopped.append((task.state_name, interrupt.cause))
            raise
        outcome = self.outcomes.pop(0) if self.outcomes else told.get("result", {"ok": True})
        if told.get("fail"):
            raise TaskError(told["fail"], told.get("cause", "it was told to"))
        if isinstance(outcome, TaskError):
            raise outcome
        return outcome


class World:
    """Virtual time, the API, and shortcuts that read well in a test."""

    def __init__(self, state_dir: Path | None = None, clock: VirtualClock | None = None) -> None:
        self.clock = clock or VirtualClock()
        self.script = Script(self.clock.env)
        self.api = StepFunctions(self.clock, self.script, state_dir=state_dir)

    def create(self, definition: dict[str, Any], name: str = "machine") -> str:
        text = json.dumps({"QueryLanguage": "JSONata", **definition})
        request = {"name": name, "definition": text, "roleArn": ROLE}
        return str(self.api.handle("CreateStateMachine", request)["stateMachineArn"])

    def start(self, definition: dict[str, Any], value: Any = None, name: str = "run") -> str:
        machine = self.create(definition, f"machine-of-{name}")
        request = {"stateMachineArn": machine, "name": name, "input": json.dumps(value or {})}
        return str(self.api.handle("StartExecution", request)["executionArn"])

    def finish(self, execution: str) -> dict[str, Any]:
        self.clock.run(self.api.ended(execution))
        # A stopped execution cleans up in the same moment, after it has ended.
        self.clock.run(self.clock.seconds() + 0.001)
        self.events(execution)
        return self.describe(execution)

    def run(self, definition: dict[str, Any], value: Any = None, name: str = "run") -> Any:
        return self.finish(self.start(definition, value, name))

    def output(self, definition: dict[str, Any], value: Any = None, name: str = "run") -> Any:
        ended = self.run(definition, value, name)
        assert ended["status"] == "SUCCEEDED", ended
        return json.loads(ended["output"])

    def describe(self, execution: str) -> dict[str, Any]:
        shown = self.api.handle("DescribeExecution", {"executionArn": execution})
        assert_shape("DescribeExecution", shown)
        return shown

    def stop(self, execution: str, **more: str) -> dict[str, Any]:
        return self.api.handle("StopExecution", {"executionArn": execution, **more})

    def redrive(self, execution: str) -> dict[str, Any]:
        return self.api.handle("RedriveExecution", {"executionArn": execution})

    def events(self, execution: str) -> list[dict[str, Any]]:
        """Every event, each held against botocore's model of GetExecutionHistory."""
        events: list[dict[str, Any]] = []
        request: dict[str, Any] = {"executionArn": execution, "maxResults": 1000}
        while True:
            page = self.api.handle("GetExecutionHistory", request)
            assert_shape("GetExecutionHistory", page)
            events += page["events"]
            if "nextToken" not in page:
                return events
            request["nextToken"] = page["nextToken"]

    def types(self, execution: str) -> list[str]:
        return [event["type"] for event in self.events(execution)]


def assert_shape(operation: str, answer: dict[str, Any]) -> None:
    """Hold an answer against botocore's output shape, and its enums against theirs."""
    shape = operation_model("stepfunctions", operation).output_shape
    report = ParamValidator().validate(answer, shape)
    assert not report.has_errors(), report.generate_report()
    for event in answer.get("events", ()):
        event_shape = shape.members["events"].member
        assert event["type"] in event_shape.members["type"].enum
        assert set(event) <= set(event_shape.members)
        for key, details in event.items():
            if key.endswith("Details"):
                assert set(details) <= set(event_shape.members[key].members), event


def machine(*states: tuple[str, dict[str, Any]]) -> dict[str, Any]:
    """Chain states in the order given; the last one ends unless it says otherwise."""
    chained: dict[str, Any] = {}
    for place, (name, state) in enumerate(states):
        chained[name] = dict(state)
        if state["Type"] in ("Choice", "Succeed", "Fail") or {"Next", "End"} & state.keys():
            continue
        if place + 1 < len(states):
            chained[name]["Next"] = states[place + 1][0]
        else:
            chained[name]["End"] = True
    return {"StartAt": states[0][0], "States": chained}
