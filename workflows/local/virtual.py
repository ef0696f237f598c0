"""A whole AWS in virtual time: the interpreter, SageMaker and S3 of the local world, with the work modelled,
a table and metrics in memory.

Nothing here waits: a week of training passes as fast as its events can be computed.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property, partial
from typing import Any

from workflows.ledger.attempts import PARTITION_KEY, SORT_KEY, TABLE
from workflows.local.capacity import Capacity, from_scenario
from workflows.local.clock import EPOCH, VirtualClock
from workflows.local.front_door.event_patterns import EventPattern
from workflows.local.json_texts import Unwritten, text_of
from workflows.local.objects import MemoryObjects
from workflows.local.sagemaker.modelled import ModelledWorkload
from workflows.local.sagemaker.sagemaker_api import SageMaker
from workflows.local.sagemaker.state_change import Event as StateChange
from workflows.local.sagemaker.work_model import WorkModel
from workflows.local.sagemaker.workload import s3_location
from workflows.local.scenario import Scenario
from workflows.local.service_errors import ServiceError
from workflows.local.step_functions.integrations import AwsIntegrations
from workflows.local.step_functions.jsonata.expressions import USES_BEFORE_COMPILING
from workflows.local.step_functions.program import Program
from workflows.local.step_functions.step_functions_api import StepFunctions
from workflows.local.table_and_metrics import MemoryMetrics, MemoryTable

ROLE = "arn:aws:iam::000000000000:role/relay-machine"


Event = Mapping[str, Any]


def once(event: Event) -> Iterable[float]:
    """Delivers an event in the usual way: one copy, at once."""
    return (0.0,)


@dataclass(frozen=True)
class Watch:
    """A machine that EventBridge starts for each state change of SageMaker that its pattern wants.

    `arrivals`: for each event, after how many seconds a copy of it comes: EventBridge promises at least one,
    `(0, 5)` is one that comes twice, `()` one that is lost.
    """

    definition: Mapping[str, Any] | Definition
    pattern: Mapping[str, Any]
    arrivals: Callable[[Event], Iterable[float]] = once

    @cached_property
    def wanted(self) -> EventPattern:
        """The pattern, read once for all worlds."""
        return EventPattern(self.pattern)


@dataclass(frozen=True)
class Definition:
    """A machine's text, and the data that are assumed to be at the places that it names."""

    text: str
    given: tuple[str, ...]

    @classmethod
    def of(cls, definition: Mapping[str, Any] | Definition) -> Definition:
        """The definition as it is given to CreateStateMachine."""
        if isinstance(definition, cls):
            return definition
        assert isinstance(definition, Mapping)
        return cls(json.dumps(definition), tuple(dict.fromkeys(_given(definition))))


class VirtualWorld:
    """Runs state machines over modelled jobs.

    `models`: how much work each stage is; `scenario`, or `capacity`, what spot capacity does (a capacity may
    know what it has given: one world, one capacity). `stopped_is_success` is the other reading of what
    `.sync` does with a stopped job. `watch` is the machine that looks after its jobs. `programs` are
    definitions that another world has checked and loaded. The data and code that a machine names by their
    place in S3 are taken to be there.
    """

    def __init__(
        self,
        models: Mapping[str, WorkModel],
        *,
        bucket: str,
        scenario: Scenario | None = None,
        capacity: Capacity | None = None,
        seed: int = 0,
        stopped_is_success: bool = False,
        watch: Watch | None = None,
        programs: Mapping[str, Program] | None = None,
        compile_after: int | None = USES_BEFORE_COMPILING,
        table: str = TABLE,
        epoch: datetime = EPOCH,
        **platform: Any,
    ) -> None:
        self.clock = VirtualClock(epoch)
        self.objects = MemoryObjects(self.clock.now, (bucket,))
        self.workload = ModelledWorkload(self.clock, self.objects, models)
        self.table, self.metrics = MemoryTable(table, (PARTITION_KEY, SORT_KEY)), MemoryMetrics()
        self.sagemaker = SageMaker(
            self.clock,
            capacity=capacity or from_scenario(scenario or Scenario(), seed=seed),
            workload=self.workload,
            seed=seed,
            **{"last_upload": scenario.last_upload if scenario else "sent", **platform},
        )
        integrations = AwsIntegrations(self.sagemaker, self._other, stopped_is_success=stopped_is_success)
        self.step_functions = StepFunctions(
            self.clock, integrations, seed=seed, programs=programs, compile_after=compile_after
        )
        self.watches: list[str] = []  # ARNs of the watch's executions
        if watch is not None:
            self._install(watch)

    def run(
        self, definition: Mapping[str, Any] | Definition, run_input: Any = None, *, name: str = "run"
    ) -> str:
        """Installs the machine, runs it to its end, and returns the execution's ARN."""
        arn = self.start(self.install("machine", definition), name, {} if run_input is None else run_input)
        self.wait(arn)
        return arn

    def install(self, name: str, definition: Mapping[str, Any] | Definition) -> str:
        """Creates the machine, or updates it to this definition; returns its ARN."""
        known = Definition.of(definition)
        text = known.text
        for uri in known.given:
            self.objects.put(*s3_location(f"{uri.rstrip('/')}/data"), b"")
        for known in self.step_functions.handle("ListStateMachines", {})["stateMachines"]:
            if known["name"] == name:
                arn = str(known["stateMachineArn"])
                self.step_functions.handle("UpdateStateMachine", {"stateMachineArn": arn, "definition": text})
                return arn
        request = {"name": name, "definition": text, "roleArn": ROLE}
        return str(self.step_functions.handle("CreateStateMachine", request)["stateMachineArn"])

    def start(self, machine: str, name: str, run_input: Any) -> str:
        """Starts a run without waiting for it; returns its ARN."""
        request = {"stateMachineArn": machine, "name": name, "input": text_of(run_input)}
        return str(self.step_functions.handle("StartExecution", request)["executionArn"])

    def wait(self, execution_arn: str) -> None:
        """Lets time pass until the execution has ended."""
        self.clock.run(self.step_functions.ended(execution_arn))

    def describe(self, execution_arn: str) -> dict[str, Any]:
        """DescribeExecution."""
        return self.step_functions.handle("DescribeExecution", {"executionArn": execution_arn})

    def history(self, execution_arn: str) -> list[dict[str, Any]]:
        """All events of the execution, in their order."""
        events: list[dict[str, Any]] = []
        request: dict[str, Any] = {"executionArn": execution_arn, "maxResults": 1000}
        while True:
            page = self.step_functions.handle("GetExecutionHistory", request)
            events += page["events"]
            if not page.get("nextToken"):
                return events
            request["nextToken"] = page["nextToken"]

    def _install(self, watch: Watch) -> None:
        """Delivers as EventBridge does."""
        machine = self.install("watch", watch.definition)

        def arrive(told: dict[str, Any], text: Unwritten, name: str, _passed: object) -> None:
            self.watches.append(self.step_functions.start(machine, name, told, text))

        def deliver(event: StateChange) -> None:
            arrivals, told = watch.arrivals(event), dict(event)
            text = Unwritten(told, event.at_most)
            for copy, delay in enumerate(arrivals):
                name = f"{event['id']}_{copy}"
                self.clock.env.timeout(delay).callbacks.append(partial(arrive, told, text, name))

        self.sagemaker.subscribe(watch.wanted, deliver)

    def _other(self, service: str, operation: str, arguments: dict[str, Any]) -> dict[str, Any]:
        known = {
            "stepfunctions": self.step_functions.handle,
            "s3": self.objects.call,
            "dynamodb": self.table.call,
            "cloudwatch": self.metrics.call,
        }
        if service not in known:
            raise ServiceError("UnknownOperationException", f"a virtual world has no {service}")
        return known[service](operation, arguments)


def _given(value: Any) -> Iterator[str]:
    """Returns the S3 URIs of channels that are constants: nothing in the machine makes those data."""
    if isinstance(value, Mapping):
        uri = value.get("S3Uri", "")
        if "S3DataType" in value and isinstance(uri, str) and not uri.startswith("{%"):
            yield uri
        value = list(value.values())
    if isinstance(value, list):
        for inner in value:
            yield from _given(inner)
