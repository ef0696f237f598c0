"""The Step Functions API of the local world, as boto3 sees it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import simpy

from workflows.local.clock import Clock
from workflows.local.errors import ServiceError
from workflows.local.executions import Executions
from workflows.local.integrations import Integrations
from workflows.local.interpreter import Interpreter
from workflows.local.machines import Machine, Machines
from workflows.local.service_requests import check_request

Handler = Callable[[dict[str, Any]], dict[str, Any]]


class StepFunctions:
    """Runs on the clock's thread only and never blocks it, bar a call that a Task makes."""

    def __init__(
        self,
        clock: Clock,
        integrations: Integrations,
        *,
        region: str = "us-east-1",
        account: str = "000000000000",
        state_dir: Path | None = None,
        seed: int = 0,
    ) -> None:
        self.interpreter = Interpreter(clock, integrations, region=region, account=account, seed=seed)
        self.machines = Machines(self.interpreter, self._machine_changed)
        self.executions = Executions(self.interpreter, self.machines)
        machines, executions = self.machines, self.executions
        self._handlers: dict[str, Handler] = {
            "CreateStateMachine": machines.create,
            "UpdateStateMachine": machines.update,
            "DescribeStateMachine": machines.describe,
            "ListStateMachines": machines.list,
            "DeleteStateMachine": machines.delete,
            "PublishStateMachineVersion": machines.publish,
            "ListStateMachineVersions": machines.list_versions,
            "DeleteStateMachineVersion": machines.delete_version,
            "ValidateStateMachineDefinition": self._validate,
            "StartExecution": executions.start,
            "DescribeExecution": executions.describe,
            "ListExecutions": executions.list,
            "StopExecution": executions.stop,
            "RedriveExecution": executions.redrive,
            "GetExecutionHistory": executions.history,
            "DescribeStateMachineForExecution": executions.machine_of,
        }

    def handle(self, operation: str, request: dict[str, Any]) -> dict[str, Any]:
        """Answer one API request; raises ServiceError for what AWS refuses."""
        handler = self._handlers.get(operation)
        if handler is None:
            message = f"The local world does not support Step Functions' {operation}"
            raise ServiceError("UnknownOperationException", message)
        check_request("stepfunctions", operation, request)
        return handler(request)

    def ended(self, execution_arn: str) -> simpy.Event:
        """Return an event that succeeds with the description of the ended execution."""
        return self.executions.ended(execution_arn)

    def _validate(self, request: dict[str, Any]) -> dict[str, Any]:
        problems = self.machines.problems(request["definition"])
        most = request.get("maxResults") or 100
        shown = [
            {
                "severity": "ERROR",
                "code": problem.code,
                "message": problem.message,
                **({"location": problem.location} if problem.location else {}),
            }
            for problem in problems[:most]
        ]
        return {
            "result": "FAIL" if problems else "OK",
            "diagnostics": shown,
            "truncated": len(problems) > most,
        }

    def _machine_changed(self, machine: Machine) -> None:
        """Keep the machine, where there is a place for it."""
