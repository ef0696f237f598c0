"""A whole AWS in virtual time: the interpreter, SageMaker and S3 of the local world, with the work modelled.

Nothing here waits: a week of training passes as fast as its events can be computed.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from workflows.local.capacity import from_scenario
from workflows.local.clock import VirtualClock
from workflows.local.errors import ServiceError
from workflows.local.integrations import AwsIntegrations
from workflows.local.modelled import ModelledWorkload, WorkModel
from workflows.local.objects import MemoryObjects
from workflows.local.sagemaker import SageMaker
from workflows.local.scenario import Scenario
from workflows.local.step_functions import StepFunctions

ROLE = "arn:aws:iam::000000000000:role/relay-machine"


class VirtualWorld:
    """Runs state machines over modelled jobs.

    `models`: how much work each stage is; `scenario`: what spot capacity does. `stopped_is_success` is the
    other reading of what `.sync` does with a stopped job.
    """

    def __init__(
        self,
        models: Mapping[str, WorkModel],
        *,
        bucket: str,
        scenario: Scenario | None = None,
        seed: int = 0,
        stopped_is_success: bool = False,
        **platform: Any,
    ) -> None:
        self.clock = VirtualClock()
        self.objects = MemoryObjects(self.clock.now, (bucket,))
        self.sagemaker = SageMaker(
            self.clock,
            capacity=from_scenario(scenario or Scenario(), seed=seed),
            workload=ModelledWorkload(self.clock, self.objects, models),
            seed=seed,
            **platform,
        )
        integrations = AwsIntegrations(self.sagemaker, self._other, stopped_is_success=stopped_is_success)
        self.step_functions = StepFunctions(self.clock, integrations, seed=seed)

    def run(self, definition: Mapping[str, Any], run_input: Any = None, *, name: str = "run") -> str:
        """Installs the machine, runs it to its end, and returns the execution's ARN."""
        machine = self.step_functions.handle(
            "CreateStateMachine",
            {"name": "machine", "definition": json.dumps(definition), "roleArn": ROLE},
        )
        started = self.step_functions.handle(
            "StartExecution",
            {
                "stateMachineArn": machine["stateMachineArn"],
                "name": name,
                "input": json.dumps(run_input or {}),
            },
        )
        arn = str(started["executionArn"])
        self.wait(arn)
        return arn

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

    def _other(self, service: str, operation: str, arguments: dict[str, Any]) -> dict[str, Any]:
        if service != "s3":
            raise ServiceError("UnknownOperationException", f"a virtual world has no {service}")
        return self.objects.call(operation, arguments)
