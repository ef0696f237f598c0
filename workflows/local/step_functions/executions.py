"""Executions as the Step Functions API sees them: started, listed, stopped, redriven, read."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any

import simpy

from workflows.local.json_texts import Text, read_json, size_of
from workflows.local.service_errors import ServiceError
from workflows.local.step_functions.arns import check_name, parse_arn
from workflows.local.step_functions.execution import RUNNING, SUCCEEDED, Execution
from workflows.local.step_functions.history import History, without_data
from workflows.local.step_functions.interpreter import Interpreter
from workflows.local.step_functions.limits import MAX_OPEN_DAYS, MAX_PAYLOAD, REDRIVABLE_DAYS
from workflows.local.step_functions.machine_records import Machine, Target
from workflows.local.step_functions.machines import Machines
from workflows.local.step_functions.map_runs import MapRuns
from workflows.local.step_functions.paging import page
from workflows.local.step_functions.program import Program, load_program

NAME_KEPT = timedelta(days=90)
"""How long after an execution closed its name stays taken."""


class Executions:
    """All executions of a world and the operations on them."""

    def __init__(
        self,
        interpreter: Interpreter,
        machines: Machines,
        *,
        on_save: Callable[[Execution], None] | None,
        on_change: Callable[[Execution], None],
        programs: Mapping[str, Program],
    ) -> None:
        self.interpreter = interpreter
        self.machines = machines
        self.on_save = on_save
        self.on_change = on_change
        self.by_arn: dict[str, Execution] = {}  # without the children of Map runs
        self.map_runs = MapRuns(self.by_arn)
        self.programs = dict(programs)

    def find(self, arn: str) -> Execution:
        """Return an execution; raises InvalidArn or ExecutionDoesNotExist."""
        parse_arn(arn, "execution")
        execution = self.by_arn.get(arn) or self.map_runs.child(arn)
        if execution is None:
            message = f"Execution Does Not Exist: '{arn}'"
            raise ServiceError("ExecutionDoesNotExist", message)
        return execution

    def ended(self, arn: str) -> simpy.Event:
        """Return an event that succeeds with the description of the ended execution."""
        return self.find(arn).ended

    def program(self, text: str) -> Program:
        """Compile a definition, once for each text."""
        known = self.programs.get(text)
        if known is None:
            known = self.programs[text] = load_program(text, self.interpreter.expressions)
        return known

    def start(self, request: dict[str, Any]) -> dict[str, Any]:
        text = request.get("input", "{}")
        return self.start_with(request, _input(text), text)

    def start_with(self, request: dict[str, Any], value: Any, text: Text) -> dict[str, Any]:
        """Start an execution with an input that has been read and is not too large."""
        target = self.machines.target(request["stateMachineArn"])
        prefix = target.machine.arn.replace(":stateMachine:", ":execution:")
        name = request.get("name") or self._new_name(prefix)
        check_name(name)
        arn = f"{prefix}:{name}"
        known = self.by_arn.get(arn)
        if known is not None and not self._free_again(known):
            if known.status == RUNNING and known.input == value:
                return {"executionArn": arn, "startDate": known.started}
            raise ServiceError("ExecutionAlreadyExists", f"Execution Already Exists: '{arn}'")
        execution = self._make(target, name, arn, text, value, request.get("traceHeader"))
        self.add(execution)
        execution.begin()
        self.on_change(execution)
        return {"executionArn": arn, "startDate": execution.started}

    def _new_name(self, prefix: str) -> str:
        """Make a name that is still free: a world that is opened anew draws the same numbers again."""
        name = self.interpreter.new_id()
        while f"{prefix}:{name}" in self.by_arn:
            name = self.interpreter.new_id()
        return name

    def add(self, execution: Execution) -> None:
        """Take in an execution, new or read from disk."""
        execution.on_save, execution.on_end = self.on_save, self.on_change
        self.by_arn[execution.arn] = execution

    def forget(self, machine: Machine) -> None:
        """Stop and drop the executions of a machine that was deleted."""
        for arn, execution in list(self.by_arn.items()):
            if execution.machine_arn == machine.arn:
                if not execution.stopped:
                    execution.stop(None, None)
                del self.by_arn[arn]

    def _make(
        self, target: Target, name: str, arn: str, text: Text, value: Any, trace: str | None
    ) -> Execution:
        revision = target.revision
        return Execution(
            interpreter=self.interpreter,
            arn=arn,
            name=name,
            machine_arn=target.machine.arn,
            machine_name=target.machine.name,
            role_arn=revision.role_arn,
            definition=revision.definition,
            program=self.program(revision.definition),
            input=value,
            written_input=text,
            version_arn=target.version_arn,
            alias_arn=target.alias_arn,
            trace_header=trace,
            started=self.interpreter.clock.now(),
            history=History(self.interpreter.clock),
        )

    def _free_again(self, execution: Execution) -> bool:
        stopped = execution.stopped_at
        return stopped is not None and self.interpreter.clock.now() > stopped + NAME_KEPT

    def describe(self, request: dict[str, Any]) -> dict[str, Any]:
        execution = self.find(request["executionArn"])
        shown = execution.describe()
        reason = self.not_redrivable(execution)
        redrivable = "REDRIVABLE" if execution.map_run is None else "REDRIVABLE_BY_MAP_RUN"
        shown["redriveStatus"] = "NOT_REDRIVABLE" if reason else redrivable
        if reason:
            shown["redriveStatusReason"] = reason
        if request.get("includedData") == "METADATA_ONLY":
            for key in ("input", "output", "error", "cause"):
                shown.pop(key, None)
            for key in ("inputDetails", "outputDetails"):
                if key in shown:
                    shown[key] = {"included": False}
        return shown

    def list_executions(self, request: dict[str, Any]) -> dict[str, Any]:
        if ("stateMachineArn" in request) == ("mapRunArn" in request):
            message = "Exactly one of stateMachineArn and mapRunArn must be given"
            raise ServiceError("ValidationException", message)
        if "mapRunArn" in request:
            found = [child for child in self.map_runs.find(request["mapRunArn"]).children if child.begun]
        else:
            arn = request["stateMachineArn"]
            self.machines.target(arn)
            found = [execution for execution in self.by_arn.values() if arn in _arns(execution)]
        found = [execution for execution in found if _listed(execution, request)]
        found.sort(key=_recency, reverse=True)
        shown, token = page(found, request, 100)
        return {"executions": [_item(execution) for execution in shown], **token}

    def list_map_runs(self, request: dict[str, Any]) -> dict[str, Any]:
        return self.map_runs.list_runs(self.find(request["executionArn"]), request)

    def stop(self, request: dict[str, Any]) -> dict[str, Any]:
        """Abort a running execution; for one that ended, answer when it did and change nothing."""
        execution = self.find(request["executionArn"])
        if not execution.stopped:
            execution.stop(request.get("error"), request.get("cause"))
        return {"stopDate": execution.stopped_at}

    def redrive(self, request: dict[str, Any]) -> dict[str, Any]:
        execution = self.find(request["executionArn"])
        reason = self.not_redrivable(execution)
        if execution.map_run is not None:
            reason = f"Execution is a child of a Map Run: redrive {execution.map_run.owner.arn} instead"
        if reason:
            raise ServiceError("ExecutionNotRedrivable", reason)
        execution.redrive()
        self.on_change(execution)
        return {"redriveDate": execution.redriven_at}

    def not_redrivable(self, execution: Execution) -> str | None:
        """Return AWS's reason why an execution cannot be redriven, None when it can."""
        if execution.status in (RUNNING, SUCCEEDED):
            return f"Execution is {execution.status} and cannot be redriven"
        if execution.full:
            return "Execution history event limit exceeded"
        now = self.interpreter.clock.now()
        if now > execution.started + timedelta(days=MAX_OPEN_DAYS):
            return "Execution has exceeded the max execution time"
        if now > execution.expires(REDRIVABLE_DAYS):
            return "Execution redrivable period exceeded"
        return None

    def history(self, request: dict[str, Any]) -> dict[str, Any]:
        events = self.find(request["executionArn"]).history.events
        shown, token = page(events[::-1] if request.get("reverseOrder") else events, request, 100)
        if not request.get("includeExecutionData", True):
            shown = [without_data(event) for event in shown]
        return {"events": shown, **token}

    def machine_of(self, request: dict[str, Any]) -> dict[str, Any]:
        execution = self.find(request["executionArn"])
        run = execution.map_run
        return {
            "stateMachineArn": execution.machine_arn,
            "name": execution.machine_name,
            "definition": execution.definition,
            "roleArn": execution.role_arn,
            "updateDate": execution.started,
            **({"mapRunArn": run.arn, "label": run.label} if run else {}),
        }


def _input(text: str) -> Any:
    if size_of(text) > MAX_PAYLOAD:
        message = f"Invalid State Machine Execution Input: input is larger than {MAX_PAYLOAD} bytes"
        raise ServiceError("InvalidExecutionInput", message)
    try:
        return read_json(text)
    except (ValueError, RecursionError) as error:
        message = f"Invalid State Machine Execution Input: '{error}'"
        raise ServiceError("InvalidExecutionInput", message) from error


def _arns(execution: Execution) -> set[str | None]:
    return {execution.machine_arn, execution.version_arn, execution.alias_arn}


def _listed(execution: Execution, request: dict[str, Any]) -> bool:
    if request.get("statusFilter", execution.status) != execution.status:
        return False
    wanted = request.get("redriveFilter")
    return wanted is None or (wanted == "REDRIVEN") == (execution.redrive_count > 0)


def _recency(execution: Execution) -> datetime:
    return execution.stopped_at or execution.redriven_at or execution.started


def _item(execution: Execution) -> dict[str, Any]:
    keys = (
        "executionArn",
        "stateMachineArn",
        "name",
        "status",
        "startDate",
        "stopDate",
        "stateMachineVersionArn",
        "stateMachineAliasArn",
        "redriveCount",
        "redriveDate",
        "mapRunArn",
    )
    shown = execution.describe()
    if execution.map_run is not None:
        shown["itemCount"] = 1
    return {key: shown[key] for key in (*keys, "itemCount") if key in shown}
