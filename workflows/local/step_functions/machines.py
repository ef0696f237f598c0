"""State machines and their versions: the operations of the Step Functions API."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from workflows.local.service_errors import ServiceError
from workflows.local.step_functions import definition
from workflows.local.step_functions.arns import check_name, check_role, parse_arn
from workflows.local.step_functions.interpreter import Interpreter
from workflows.local.step_functions.machine_records import Machine, Revision, Target
from workflows.local.step_functions.paging import page

LOGGING = {"level": "OFF", "includeExecutionData": False}


class Machines:
    """All state machines of a world and the operations on them."""

    def __init__(
        self,
        interpreter: Interpreter,
        on_change: Callable[[Machine], None],
        *,
        sound: frozenset[str] = frozenset(),
    ) -> None:
        """`sound`: definitions in which nothing was found before."""
        self.interpreter = interpreter
        self.on_change = on_change
        self._sound = sound
        self.on_delete: Callable[[Machine], None] = lambda _machine: None
        self.by_name: dict[str, Machine] = {}

    # Finding

    def find(self, arn: str) -> Machine:
        """Return the machine of an unqualified or qualified ARN."""
        return self.target(arn).machine

    def target(self, arn: str) -> Target:
        """Return the machine and the revision that an ARN names."""
        name, _, qualifier = parse_arn(arn, "stateMachine").partition(":")
        machine = self.by_name.get(name)
        if machine is None:
            raise _absent(arn)
        if not qualifier:
            return Target(machine, machine.current)
        if qualifier.isdigit():
            revision = machine.versions.get(int(qualifier))
            if revision is None:
                raise _absent(arn)
            return Target(machine, revision, version_arn=arn)
        alias = machine.aliases.get(qualifier)
        if alias is None:
            raise _absent(arn)
        weights = [route["weight"] for route in alias.routing]
        route = self.interpreter.random.choices(alias.routing, weights)[0]
        version = route["stateMachineVersionArn"]
        revision = machine.versions[int(version.rpartition(":")[2])]
        return Target(machine, revision, version_arn=version, alias_arn=arn)

    def problems(self, text: str) -> list[definition.Problem]:
        """Return what is wrong with a definition."""
        interpreter = self.interpreter
        return definition.check(text, interpreter.expressions, interpreter.integrations.refusal)

    def _checked(self, text: str) -> str:
        problems = [] if text in self._sound else self.problems(text)
        if problems:
            shown = ", ".join(str(problem) for problem in problems)
            message = f"Invalid State Machine Definition: '{shown}'"
            raise ServiceError("InvalidDefinition", message)
        return text

    # Machines

    def create(self, request: dict[str, Any]) -> dict[str, Any]:
        name = request["name"]
        check_name(name)
        if request.get("type", "STANDARD") != "STANDARD":
            message = "The local world runs STANDARD state machines; EXPRESS is not supported"
            raise ServiceError("StateMachineTypeNotSupported", message)
        check_role(request["roleArn"])
        self._checked(request["definition"])
        known = self.by_name.get(name)
        if known is not None:
            return self._created_before(known, request)
        now = self.interpreter.clock.now()
        machine = Machine(
            name=name,
            arn=self._arn(f"stateMachine:{name}"),
            created=now,
            current=self._revision(request["definition"], request["roleArn"]),
            logging=request.get("loggingConfiguration") or LOGGING,
            tracing=request.get("tracingConfiguration") or {"enabled": False},
            tags={tag["key"]: tag["value"] for tag in request.get("tags", ())},
        )
        self.by_name[name] = machine
        answer = {"stateMachineArn": machine.arn, "creationDate": now}
        if request.get("publish"):
            answer["stateMachineVersionArn"] = self._publish(machine, request.get("versionDescription"))
        self.on_change(machine)
        return answer

    def _created_before(self, machine: Machine, request: dict[str, Any]) -> dict[str, Any]:
        """Answer a repeated create: the same definition is the same machine, role and tags apart."""
        if machine.current.definition != request["definition"]:
            message = f"State Machine Already Exists: '{machine.arn}'"
            raise ServiceError("StateMachineAlreadyExists", message)
        return {"stateMachineArn": machine.arn, "creationDate": machine.created}

    def update(self, request: dict[str, Any]) -> dict[str, Any]:
        machine = self.find(request["stateMachineArn"])
        settings = ("definition", "roleArn", "loggingConfiguration", "tracingConfiguration")
        if not any(key in request for key in (*settings, "encryptionConfiguration")):
            message = (
                "Either the definition, the role ARN, the LoggingConfiguration, the "
                "EncryptionConfiguration or the TracingConfiguration must be specified"
            )
            raise ServiceError("MissingRequiredParameter", message)
        text = machine.current.definition
        if "definition" in request:
            text = self._checked(request["definition"])
        role = request.get("roleArn", machine.current.role_arn)
        check_role(role)
        machine.current = self._revision(text, role)
        machine.logging = request.get("loggingConfiguration", machine.logging)
        machine.tracing = request.get("tracingConfiguration", machine.tracing)
        answer: dict[str, Any] = {
            "updateDate": machine.current.updated,
            "revisionId": machine.current.revision_id,
        }
        if request.get("publish"):
            answer["stateMachineVersionArn"] = self._publish(machine, request.get("versionDescription"))
        self.on_change(machine)
        return answer

    def describe(self, request: dict[str, Any]) -> dict[str, Any]:
        target = self.target(request["stateMachineArn"])
        machine, revision = target.machine, target.revision
        return {
            "stateMachineArn": target.alias_arn or target.version_arn or machine.arn,
            "name": machine.name,
            "status": "ACTIVE",
            "definition": revision.definition,
            "roleArn": revision.role_arn,
            "type": "STANDARD",
            "creationDate": revision.created or machine.created,
            "loggingConfiguration": machine.logging,
            "tracingConfiguration": machine.tracing,
            "revisionId": revision.revision_id,
            **({"description": revision.description} if revision.description else {}),
        }

    def list_machines(self, request: dict[str, Any]) -> dict[str, Any]:
        machines = sorted(self.by_name.values(), key=lambda machine: machine.name)
        shown, token = page(machines, request, 100)
        items = [
            {
                "stateMachineArn": machine.arn,
                "name": machine.name,
                "type": "STANDARD",
                "creationDate": machine.created,
            }
            for machine in shown
        ]
        return {"stateMachines": items, **token}

    def delete(self, request: dict[str, Any]) -> dict[str, Any]:
        name = parse_arn(request["stateMachineArn"], "stateMachine")
        machine = self.by_name.pop(name, None)
        if machine is not None:
            self.on_delete(machine)
        return {}

    # Versions

    def publish(self, request: dict[str, Any]) -> dict[str, Any]:
        machine = self.find(request["stateMachineArn"])
        wanted = request.get("revisionId", machine.current.revision_id)
        if wanted != machine.current.revision_id:
            message = f"The revisionId {wanted} is not the current one of {machine.arn}"
            raise ServiceError("ConflictException", message)
        arn = self._publish(machine, request.get("description"))
        self.on_change(machine)
        created = machine.versions[int(arn.rpartition(":")[2])].created
        return {"stateMachineVersionArn": arn, "creationDate": created}

    def _publish(self, machine: Machine, description: str | None) -> str:
        current = machine.current
        for number, version in machine.versions.items():
            if version.revision_id == current.revision_id:
                return f"{machine.arn}:{number}"
        machine.last_version += 1
        machine.versions[machine.last_version] = Revision(
            definition=current.definition,
            role_arn=current.role_arn,
            revision_id=current.revision_id,
            updated=current.updated,
            description=description,
            created=self.interpreter.clock.now(),
        )
        return f"{machine.arn}:{machine.last_version}"

    def list_versions(self, request: dict[str, Any]) -> dict[str, Any]:
        machine = self.find(request["stateMachineArn"])
        shown, token = page(sorted(machine.versions, reverse=True), request, 100)
        versions = [
            {
                "stateMachineVersionArn": f"{machine.arn}:{number}",
                "creationDate": machine.versions[number].created,
            }
            for number in shown
        ]
        return {"stateMachineVersions": versions, **token}

    def delete_version(self, request: dict[str, Any]) -> dict[str, Any]:
        arn = request["stateMachineVersionArn"]
        target = self.target(arn)
        for alias in target.machine.aliases.values():
            if any(route["stateMachineVersionArn"] == arn for route in alias.routing):
                message = f"Version {arn} is in use by alias {alias.name}"
                raise ServiceError("ConflictException", message)
        del target.machine.versions[int(arn.rpartition(":")[2])]
        self.on_change(target.machine)
        return {}

    # Internals

    def _revision(self, text: str, role: str) -> Revision:
        return Revision(
            definition=text,
            role_arn=role,
            revision_id=self.interpreter.new_id(),
            updated=self.interpreter.clock.now(),
        )

    def _arn(self, rest: str) -> str:
        return f"arn:aws:states:{self.interpreter.region}:{self.interpreter.account}:{rest}"


def _absent(arn: str) -> ServiceError:
    return ServiceError("StateMachineDoesNotExist", f"State Machine Does Not Exist: '{arn}'")
