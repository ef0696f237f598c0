"""Aliases of state machine versions, and the tags of machines."""

from __future__ import annotations

from typing import Any

from workflows.local.service_errors import ServiceError
from workflows.local.step_functions.arns import parse_arn
from workflows.local.step_functions.machine_records import Alias, Machine
from workflows.local.step_functions.machines import Machines
from workflows.local.step_functions.paging import page

MOST_TAGS = 50


class Aliases:
    """The alias operations of the Step Functions API."""

    def __init__(self, machines: Machines) -> None:
        self.machines = machines

    def create(self, request: dict[str, Any]) -> dict[str, Any]:
        routing = request["routingConfiguration"]
        machine = self._routed(routing)
        name, now = request["name"], self.machines.interpreter.clock.now()
        if name.isdigit():
            raise ServiceError("InvalidName", f"Invalid Name: '{name}'")
        known = machine.aliases.get(name)
        if known is None:
            machine.aliases[name] = Alias(
                name=name,
                description=request.get("description"),
                routing=routing,
                created=now,
                updated=now,
            )
            self.machines.on_change(machine)
        elif known.routing != routing or known.description != request.get("description"):
            message = f"An alias {name} with another configuration exists for {machine.arn}"
            raise ServiceError("ConflictException", message)
        created = machine.aliases[name].created
        return {"stateMachineAliasArn": f"{machine.arn}:{name}", "creationDate": created}

    def update(self, request: dict[str, Any]) -> dict[str, Any]:
        machine, alias = self._find(request["stateMachineAliasArn"])
        if "routingConfiguration" in request:
            self._routed(request["routingConfiguration"])
            alias.routing = request["routingConfiguration"]
        alias.description = request.get("description", alias.description)
        alias.updated = self.machines.interpreter.clock.now()
        self.machines.on_change(machine)
        return {"updateDate": alias.updated}

    def describe(self, request: dict[str, Any]) -> dict[str, Any]:
        machine, alias = self._find(request["stateMachineAliasArn"])
        return {
            "stateMachineAliasArn": f"{machine.arn}:{alias.name}",
            "name": alias.name,
            "routingConfiguration": alias.routing,
            "creationDate": alias.created,
            "updateDate": alias.updated,
            **({"description": alias.description} if alias.description else {}),
        }

    def list_aliases(self, request: dict[str, Any]) -> dict[str, Any]:
        target = self.machines.target(request["stateMachineArn"])
        aliases = [
            alias
            for _, alias in sorted(target.machine.aliases.items())
            if target.version_arn is None
            or any(r["stateMachineVersionArn"] == target.version_arn for r in alias.routing)
        ]
        shown, token = page(aliases, request, 100)
        items = [
            {
                "stateMachineAliasArn": f"{target.machine.arn}:{alias.name}",
                "creationDate": alias.created,
            }
            for alias in shown
        ]
        return {"stateMachineAliases": items, **token}

    def delete(self, request: dict[str, Any]) -> dict[str, Any]:
        machine, alias = self._find(request["stateMachineAliasArn"])
        del machine.aliases[alias.name]
        self.machines.on_change(machine)
        return {}

    def _find(self, arn: str) -> tuple[Machine, Alias]:
        name, _, alias_name = parse_arn(arn, "stateMachine").partition(":")
        machine = self.machines.by_name.get(name)
        alias = machine.aliases.get(alias_name) if machine else None
        if machine is None or alias is None:
            raise ServiceError("ResourceNotFound", f"Resource not found: '{arn}'")
        return machine, alias

    def _routed(self, routing: list[dict[str, Any]]) -> Machine:
        """Return the one machine whose versions the routes name."""
        targets = [self.machines.target(route["stateMachineVersionArn"]) for route in routing]
        if any(target.version_arn is None or target.alias_arn for target in targets):
            message = "routingConfiguration must name state machine versions"
            raise ServiceError("ValidationException", message)
        if len({target.machine.name for target in targets}) > 1:
            message = "routingConfiguration must name versions of one state machine"
            raise ServiceError("ValidationException", message)
        if sum(route["weight"] for route in routing) != 100:
            message = "Sum of routing configuration weights must equal 100"
            raise ServiceError("ValidationException", message)
        return targets[0].machine


class Tags:
    """The tag operations, on state machines."""

    def __init__(self, machines: Machines) -> None:
        self.machines = machines

    def add(self, request: dict[str, Any]) -> dict[str, Any]:
        machine = self._find(request["resourceArn"])
        tags = {**machine.tags, **{tag["key"]: tag.get("value", "") for tag in request["tags"]}}
        if len(tags) > MOST_TAGS:
            message = f"{machine.arn} would have {len(tags)} tags; {MOST_TAGS} are allowed"
            raise ServiceError("TooManyTags", message)
        machine.tags = tags
        self.machines.on_change(machine)
        return {}

    def remove(self, request: dict[str, Any]) -> dict[str, Any]:
        machine = self._find(request["resourceArn"])
        for key in request["tagKeys"]:
            machine.tags.pop(key, None)
        self.machines.on_change(machine)
        return {}

    def list_tags(self, request: dict[str, Any]) -> dict[str, Any]:
        machine = self._find(request["resourceArn"])
        return {"tags": [{"key": key, "value": value} for key, value in machine.tags.items()]}

    def _find(self, arn: str) -> Machine:
        machine = self.machines.by_name.get(parse_arn(arn, "stateMachine"))
        if machine is None:
            raise ServiceError("ResourceNotFound", f"Resource not found: '{arn}'")
        return machine
