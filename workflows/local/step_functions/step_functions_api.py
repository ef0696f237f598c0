"""The Step Functions API of the local world, as boto3 sees it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import simpy

from workflows.local.clock import Clock
from workflows.local.json_texts import Unwritten
from workflows.local.service_errors import ServiceError
from workflows.local.service_model import checked
from workflows.local.step_functions.aliases import Aliases, Tags
from workflows.local.step_functions.execution import Execution
from workflows.local.step_functions.execution_store import ExecutionStore
from workflows.local.step_functions.executions import Executions
from workflows.local.step_functions.integrations import Integrations
from workflows.local.step_functions.interpreter import Interpreter
from workflows.local.step_functions.jsonata.expressions import USES_BEFORE_COMPILING
from workflows.local.step_functions.limits import timestamp
from workflows.local.step_functions.machine_records import Machine
from workflows.local.step_functions.machines import Machines
from workflows.local.step_functions.program import Program
from workflows.local.step_functions.state_tests import StateTests
from workflows.specification.aws_limits import MOST_VALUE

Handler = Callable[[dict[str, Any]], dict[str, Any]]


class StepFunctions:
    """Runs on the clock's thread only and never blocks it, bar a call that a Task makes.

    With `state_dir`, machines and executions outlive the process: executions that were RUNNING
    when it died are ABORTED when the next one reads the folder, and can be redriven. Subscribers
    get each change of an execution's status in EventBridge's shape, on the clock's thread.
    """

    def __init__(
        self,
        clock: Clock,
        integrations: Integrations,
        *,
        region: str = "us-east-1",
        account: str = "000000000000",
        state_dir: Path | None = None,
        seed: int = 0,
        programs: Mapping[str, Program] | None = None,
        compile_after: int | None = USES_BEFORE_COMPILING,
    ) -> None:
        """`programs`: definitions that a world like this one has checked and loaded before.

        `compile_after`: as of `Expressions`.
        """
        self.interpreter = Interpreter(
            clock, integrations, region=region, account=account, seed=seed, compile_after=compile_after
        )
        self.subscribers: list[Callable[[dict[str, Any]], None]] = []
        self._store = ExecutionStore(state_dir) if state_dir is not None else None
        self.machines = Machines(self.interpreter, self._machine_changed, sound=frozenset(programs or ()))
        self.machines.on_delete = self._machine_deleted
        self.executions = Executions(
            self.interpreter,
            self.machines,
            on_save=self._store.save if self._store is not None else None,
            on_change=self._execution_changed,
            programs=programs or {},
        )
        if self._store is not None:
            for machine in self._store.machines():
                self.machines.by_name[machine.name] = machine
            for execution in self._store.executions(self.interpreter):
                self.executions.add(execution)
        self._handlers = self._operations()

    def handle(self, operation: str, request: dict[str, Any]) -> dict[str, Any]:
        """Answer one API request; raises ServiceError for what AWS refuses."""
        handler = self._handlers.get(operation)
        if handler is None:
            message = f"The local world does not support Step Functions' {operation}"
            raise ServiceError("UnknownOperationException", message)
        return handler(checked("stepfunctions", operation, request))

    def start(self, machine: str, name: str, value: Any, text: Unwritten) -> str:
        """StartExecution of a caller in the same process, like a rule's event; returns the execution's ARN.

        `value` is what reading its text would give, and nobody changes it any more: the execution takes it,
        not a copy.
        """
        request = {"stateMachineArn": machine, "name": name}
        if text.at_most > MOST_VALUE:  # perhaps
            return str(self.handle("StartExecution", {**request, "input": str(text)})["executionArn"])
        return str(self.executions.start_with(request, value, text)["executionArn"])

    def ended(self, execution_arn: str) -> simpy.Event:
        """Return an event that succeeds with the description of the ended execution."""
        return self.executions.ended(execution_arn)

    def _operations(self) -> dict[str, Handler]:
        machines, executions = self.machines, self.executions
        aliases, tags = Aliases(machines), Tags(machines)
        return {
            "CreateStateMachine": machines.create,
            "UpdateStateMachine": machines.update,
            "DescribeStateMachine": machines.describe,
            "ListStateMachines": machines.list_machines,
            "DeleteStateMachine": machines.delete,
            "PublishStateMachineVersion": machines.publish,
            "ListStateMachineVersions": machines.list_versions,
            "DeleteStateMachineVersion": machines.delete_version,
            "CreateStateMachineAlias": aliases.create,
            "UpdateStateMachineAlias": aliases.update,
            "DescribeStateMachineAlias": aliases.describe,
            "ListStateMachineAliases": aliases.list_aliases,
            "DeleteStateMachineAlias": aliases.delete,
            "TagResource": tags.add,
            "UntagResource": tags.remove,
            "ListTagsForResource": tags.list_tags,
            "ValidateStateMachineDefinition": self._validate,
            "TestState": StateTests(self.interpreter, machines).test,
            "StartExecution": executions.start,
            "DescribeExecution": executions.describe,
            "ListExecutions": executions.list_executions,
            "StopExecution": executions.stop,
            "RedriveExecution": executions.redrive,
            "GetExecutionHistory": executions.history,
            "DescribeStateMachineForExecution": executions.machine_of,
            "ListMapRuns": executions.list_map_runs,
            "DescribeMapRun": executions.map_runs.describe,
            "UpdateMapRun": executions.map_runs.update,
        }

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
        if self._store is not None:
            self._store.save_machine(machine)

    def _machine_deleted(self, machine: Machine) -> None:
        self.executions.forget(machine)
        if self._store is not None:
            self._store.delete_machine(machine)

    def _execution_changed(self, execution: Execution) -> None:
        """Tell subscribers, as EventBridge does of each change of status."""
        if not self.subscribers:
            return
        shown = execution.describe()
        dates = ("startDate", "stopDate", "redriveDate")
        detail = {
            key: round(value.timestamp() * 1000) if key in dates else value for key, value in shown.items()
        }
        event = {
            "version": "0",
            "id": self.interpreter.new_id(),
            "detail-type": "Step Functions Execution Status Change",
            "source": "aws.states",
            "account": self.interpreter.account,
            "time": timestamp(self.interpreter.clock.now()),
            "region": self.interpreter.region,
            "resources": [execution.arn],
            "detail": detail,
        }
        for subscriber in list(self.subscribers):
            subscriber(event)
