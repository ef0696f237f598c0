"""The runs of distributed Maps as the Step Functions API sees them: listed, described, changed on the way."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from workflows.local.service_errors import ServiceError
from workflows.local.step_functions.arns import parse_arn
from workflows.local.step_functions.execution import RUNNING, Execution
from workflows.local.step_functions.map_run import MapRun
from workflows.local.step_functions.paging import page


class MapRuns:
    """Finds Map runs, and the executions that are their children, among the executions of a world."""

    def __init__(self, executions: dict[str, Execution]) -> None:
        self._executions = executions

    def find(self, arn: str) -> MapRun[Execution]:
        """Return a Map run; raises InvalidArn or ResourceNotFound."""
        parse_arn(arn, "mapRun")
        for run in self._all():
            if run.arn == arn:
                return run
        raise ServiceError("ResourceNotFound", f"Resource not found: '{arn}'")

    def child(self, arn: str) -> Execution | None:
        """Return the child with this ARN, None where there is none, or none that was started yet."""
        children = (child for run in self._all() for child in run.children)
        return next((child for child in children if child.arn == arn and child.begun), None)

    def list_runs(self, execution: Execution, request: dict[str, Any]) -> dict[str, Any]:
        shown, token = page(execution.map_runs[::-1], request, 100)
        return {"mapRuns": [_item(run) for run in shown], **token}

    def describe(self, request: dict[str, Any]) -> dict[str, Any]:
        return self.find(request["mapRunArn"]).describe()

    def update(self, request: dict[str, Any]) -> dict[str, Any]:
        run = self.find(request["mapRunArn"])
        if run.status != RUNNING:
            message = f"Map Run is {run.status} and cannot be updated: '{run.arn}'"
            raise ServiceError("ValidationException", message)
        run.update(request)
        run.owner.save()
        return {}

    def _all(self) -> Iterator[MapRun[Execution]]:
        waiting = list(self._executions.values())
        while waiting:
            for run in waiting.pop().map_runs:
                yield run
                waiting += run.children


def _item(run: MapRun[Execution]) -> dict[str, Any]:
    shown = {
        "executionArn": run.owner.arn,
        "mapRunArn": run.arn,
        "stateMachineArn": run.owner.machine_arn,
        "startDate": run.started,
        "stopDate": run.stopped_at,
    }
    return {key: value for key, value in shown.items() if value is not None}
