"""One stack of CloudFormation: its status, a change set for it, and its events while it changes."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import ClientError

from stacks.deployment.changes import Change, changes_in
from stacks.deployment.errors import DeploymentError
from stacks.deployment.status import FRESH, NONE

Pause = Callable[[float], None]  # seconds
PutTemplate = Callable[[str], str]  # template -> its URL
LOOK_AGAIN = 2.0  # seconds
LARGEST_BODY = 51_200  # bytes that a request may hold of a template; more is read from S3
CHANGE_SET = "relay-deploy"
NO_CHANGES = ("didn't contain changes", "No updates are to be performed")


@dataclass(frozen=True)
class Event:
    """What CloudFormation did to one resource."""

    logical_id: str
    kind: str
    status: str
    reason: str = ""

    @property
    def failed(self) -> bool:
        """Whether it is a cause: what was cancelled because of another is none."""
        return self.status.endswith("_FAILED") and "cancelled" not in self.reason


@dataclass(frozen=True)
class Proposal:
    """A change set that waits to be carried out."""

    arn: str
    changes: list[Change]


class Stack:
    """One stack, known by its name; `client` is boto3's for CloudFormation."""

    def __init__(self, client: Any, name: str, pause: Pause) -> None:
        self.client, self.name, self.pause = client, name, pause
        self._seen: set[str] = set()
        self._id = name  # a stack that is gone is known by its id only

    # ------------------------------------------------------------------------------------------ as it is
    def described(self) -> Mapping[str, Any]:
        """What CloudFormation says of it; empty where there is none."""
        try:
            found = self.client.describe_stacks(StackName=self._id)["Stacks"][0]
        except ClientError as error:
            if "does not exist" not in error.response["Error"]["Message"]:
                raise
            return {}
        self._id = found["StackId"]
        return dict(found)

    @property
    def status(self) -> str:
        """Empty where there is no such stack."""
        return str(self.described().get("StackStatus", NONE))

    def outputs(self) -> dict[str, str]:
        """Key -> value."""
        return {each["OutputKey"]: each["OutputValue"] for each in self.described().get("Outputs", [])}

    def resources(self) -> list[tuple[str, str]]:
        """(type, physical id) of what is in it."""
        pages = self.client.get_paginator("list_stack_resources").paginate(StackName=self.name)
        return [
            (each["ResourceType"], each.get("PhysicalResourceId", ""))
            for page in pages
            for each in page["StackResourceSummaries"]
        ]

    # ------------------------------------------------------------------------------------- a change set
    def propose(
        self, template: Mapping[str, Any], tags: Mapping[str, str], put: PutTemplate
    ) -> Proposal | None:
        """A change set to this template; None where nothing would change."""
        text = json.dumps(template, separators=(",", ":"))
        body = {"TemplateBody": text} if len(text.encode()) <= LARGEST_BODY else {"TemplateURL": put(text)}
        status = self.status
        if status != NONE:
            self._forget()  # one of an interrupted deployment; where there is none this does nothing
        made = self.client.create_change_set(
            StackName=self.name,
            ChangeSetName=CHANGE_SET,
            ChangeSetType="CREATE" if status in FRESH else "UPDATE",
            Capabilities=capabilities(template),
            Tags=[{"Key": key, "Value": value} for key, value in tags.items()],
            **body,
        )
        arn = made["Id"]
        pages = self._when_made(arn)
        if pages is None:
            self.drop()
            return None
        return Proposal(arn, changes_in(pages))

    def _when_made(self, arn: str) -> list[Mapping[str, Any]] | None:
        while True:
            # By name and stack: an ARN would do on AWS, too.
            pages = list(
                self.client.get_paginator("describe_change_set").paginate(
                    ChangeSetName=arn, StackName=self.name
                )
            )
            status, reason = pages[0]["Status"], pages[0].get("StatusReason") or ""
            if status == "CREATE_COMPLETE":
                return pages
            if status == "FAILED" and any(words in reason for words in NO_CHANGES):
                return None
            if status == "FAILED":
                self.drop()
                raise DeploymentError(f"CloudFormation refused the template of {self.name}: {reason}")
            self.pause(LOOK_AGAIN)

    def drop(self) -> None:
        """Forgets the change set; a stack that was only made for it goes, too."""
        status = self.status
        if status == NONE:
            return
        if status in FRESH:
            self.client.delete_stack(StackName=self.name)
            return
        self._forget()

    def _forget(self) -> None:
        self.client.delete_change_set(StackName=self.name, ChangeSetName=CHANGE_SET)

    def execute(self, proposal: Proposal) -> None:
        """Begins to carry it out."""
        self._remember()
        # A first deployment that fails leaves nothing: what it has just made holds no data yet, and a bucket
        # that stayed would be in the way of the next one by its name.
        self.client.execute_change_set(
            ChangeSetName=proposal.arn, StackName=self.name, RetainExceptOnCreate=True
        )

    def protect(self) -> None:
        """Turns termination protection on, so that nobody deletes it by accident."""
        self.client.update_termination_protection(StackName=self.name, EnableTerminationProtection=True)

    def delete(self) -> None:
        """Begins to remove it."""
        self._remember()
        self.client.delete_stack(StackName=self._id)

    # -------------------------------------------------------------------------------------------- events
    def follow(self) -> Iterator[Event]:
        """Each event until CloudFormation is done, the oldest first.

        The end is an event of the stack itself: its status may still be the old one for a moment.
        """
        while True:
            events = self._new_events()
            yield from events
            if any(self._is_end(event) for event in events):
                return
            self.pause(LOOK_AGAIN)

    def _is_end(self, event: Event) -> bool:
        own = event.kind == "AWS::CloudFormation::Stack" and event.logical_id == self.name
        return own and not event.status.endswith("_IN_PROGRESS")

    def _new_events(self) -> list[Event]:
        """The newest come first, and a stack of some age has thousands: read until a known one."""
        found = []
        for page in self.client.get_paginator("describe_stack_events").paginate(StackName=self._id):
            for each in page["StackEvents"]:
                if each["EventId"] in self._seen:
                    break
                found.append(each)
            else:
                continue
            break
        self._seen |= {each["EventId"] for each in found}
        return [
            Event(
                each["LogicalResourceId"],
                each["ResourceType"],
                each["ResourceStatus"],
                each.get("ResourceStatusReason") or "",
            )
            for each in reversed(found)
        ]

    def _remember(self) -> None:
        if self.status != NONE:
            self._new_events()


def capabilities(template: Mapping[str, Any]) -> list[str]:
    """What CloudFormation wants to hear before it makes roles: they are in what is shown and asked about."""
    roles = [each for each in template["Resources"].values() if each["Type"].startswith("AWS::IAM::")]
    named = any(key.endswith("Name") for role in roles for key in role.get("Properties", {}))
    return (["CAPABILITY_NAMED_IAM"] if named else ["CAPABILITY_IAM"]) if roles else []
