"""What a change set would do, resource by resource, and which of it touches data. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

# What is lost with one of these cannot be made anew. The topic's key holds nothing, and the queue of a
# schedule holds starts that failed, for two weeks at most.
HOLDING_DATA = frozenset({"AWS::S3::Bucket", "AWS::DynamoDB::Table"})
HISTORIES = "AWS::StepFunctions::StateMachine"  # they go with their machine
KEPT = "Retain"


@dataclass(frozen=True)
class Change:
    """One resource: what CloudFormation would do to it."""

    action: str  # Add, Modify, Remove, Import, Dynamic
    logical_id: str
    kind: str
    physical_id: str = ""
    replacement: str = "False"  # True, False, Conditional
    policy: str = ""  # Delete, Retain, Snapshot, ReplaceAndDelete, ... ; empty where nothing goes
    properties: tuple[str, ...] = ()

    @property
    def replaces(self) -> bool:
        """Whether the resource is, or may be, made anew."""
        return self.action == "Modify" and self.replacement != "False"

    @property
    def goes(self) -> bool:
        """Whether what is there now leaves the stack."""
        return self.action == "Remove" or self.replaces

    @property
    def kept(self) -> bool:
        """Whether what leaves the stack stays in the account."""
        return self.policy.endswith(KEPT)

    @property
    def remark(self) -> str:
        """What a person should know of it; empty for most."""
        if not self.goes:
            return ""
        if self.kind in HOLDING_DATA:
            return "leaves the stack, and its data stay where they are" if self.kept else "ITS DATA ARE LOST"
        if self.kind == HISTORIES:
            return "the histories of its runs are lost"
        return "stays in the account, outside the stack" if self.kept else ""


def changes_in(described: Iterable[Mapping[str, Any]]) -> list[Change]:
    """The changes of the pages of DescribeChangeSet, what goes first."""
    found = [_change(each["ResourceChange"]) for page in described for each in page.get("Changes", [])]
    return sorted(found, key=lambda each: (not each.goes, each.action, each.kind, each.logical_id))


def added(template: Mapping[str, Any]) -> list[Change]:
    """What a template adds where there is no stack yet: each of its resources. Nobody has to be asked."""
    resources = template["Resources"].items()
    return sorted(
        (Change("Add", name, each["Type"]) for name, each in resources),
        key=lambda each: (each.kind, each.logical_id),
    )


def of_data(changes: Iterable[Change]) -> list[Change]:
    """The changes after which a pipeline no longer finds what it wrote: nobody wants them by accident."""
    return [each for each in changes if each.goes and each.kind in HOLDING_DATA]


def _change(told: Mapping[str, Any]) -> Change:
    targets = [detail.get("Target", {}) for detail in told.get("Details", [])]
    names = [target.get("Name") or target.get("Attribute", "") for target in targets]
    return Change(
        action=told["Action"],
        logical_id=told["LogicalResourceId"],
        kind=told["ResourceType"],
        physical_id=told.get("PhysicalResourceId", ""),
        replacement=told.get("Replacement", "False"),
        policy=told.get("PolicyAction", ""),
        properties=tuple(sorted({name for name in names if name})),
    )
