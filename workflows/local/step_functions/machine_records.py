"""The data that the Step Functions API keeps about a state machine: revisions, versions, aliases, tags."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any


@dataclass(slots=True, kw_only=True)
class Revision:
    """One text of a machine, which executions run."""

    definition: str
    role_arn: str
    revision_id: str
    updated: datetime
    description: str | None = None
    created: datetime | None = None


@dataclass(slots=True, kw_only=True)
class Alias:
    """A name that points at one version, or splits its starts between two."""

    name: str
    description: str | None
    routing: list[dict[str, Any]]
    created: datetime
    updated: datetime


@dataclass(slots=True, kw_only=True)
class Machine:
    """A state machine: its current revision, its numbered versions and its aliases."""

    name: str
    arn: str
    created: datetime
    current: Revision
    logging: dict[str, Any]
    tracing: dict[str, Any]
    versions: dict[int, Revision] = field(default_factory=dict)
    last_version: int = 0
    aliases: dict[str, Alias] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Return the machine as a dict whose only non-JSON values are datetimes."""
        return asdict(self)

    @classmethod
    def from_json(cls, body: dict[str, Any]) -> Machine:
        """Make a machine of what `to_json` returned."""
        versions = {int(number): Revision(**item) for number, item in body["versions"].items()}
        aliases = {name: Alias(**item) for name, item in body["aliases"].items()}
        current = Revision(**body["current"])
        return cls(**{**body, "versions": versions, "aliases": aliases, "current": current})


@dataclass(frozen=True, slots=True)
class Target:
    """The machine and revision that an ARN given to StartExecution stands for."""

    machine: Machine
    revision: Revision
    version_arn: str | None = None
    alias_arn: str | None = None
