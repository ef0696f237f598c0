"""The roles, with the statements that `grants.py` lists."""

from __future__ import annotations

from collections.abc import Iterable

import aws_cdk as cdk
from aws_cdk import aws_iam as iam
from constructs import Construct

from stacks.grants import Grant, Place

ACCOUNT_SHOWN = "<AWS::AccountId>"  # how cdk-nag writes the account in the name of a finding


class Role(Construct):
    """A role that one AWS service takes on for this account, and for no other."""

    def __init__(
        self, scope: Construct, id_: str, *, service: str, purpose: str, grants: Iterable[Grant], place: Place
    ) -> None:
        super().__init__(scope, id_)
        grants = list(grants)
        statements = [_statement(grant) for grant in grants]
        boundary = place.settings.permissions_boundary
        self.role = iam.Role(
            self,
            "Role",
            description=purpose,
            assumed_by=iam.ServicePrincipal(
                service, conditions={_told(service): {"aws:SourceAccount": place.account}}
            ),
            # Inline, so that what a role may do is there before the machine, and goes after it.
            inline_policies={"relay": iam.PolicyDocument(statements=statements)} if statements else {},
            permissions_boundary=iam.ManagedPolicy.from_managed_policy_arn(self, "Boundary", boundary)
            if boundary
            else None,
        )
        for resource, reasons in _open_resources(grants).items():
            # The reason stands in the template, at the role.
            finding = f"AwsSolutions-IAM5[Resource::{resource.replace(place.account, ACCOUNT_SHOWN)}]"
            known = cdk.Acknowledgment(id=finding, reason="; ".join(reasons))
            cdk.Validations.of(self.role).acknowledge(known)

    @property
    def arn(self) -> str:
        """The role's ARN, a token of CDK."""
        return self.role.role_arn


def _told(service: str) -> str:
    """Whether API Gateway says for whom it takes a role on is not documented: if it does, it must be us."""
    return "StringEqualsIfExists" if service.startswith("apigateway.") else "StringEquals"


def _open_resources(grants: Iterable[Grant]) -> dict[str, list[str]]:
    """Each resource with a `*`, and why it is not named more closely."""
    found: dict[str, list[str]] = {}
    for grant in grants:
        for resource in grant.resources:
            if "*" in resource and grant.reason not in found.setdefault(resource, []):
                found[resource].append(grant.reason)
    return found


def _statement(grant: Grant) -> iam.PolicyStatement:
    return iam.PolicyStatement(
        sid=grant.sid,
        actions=list(grant.actions),
        resources=list(grant.resources),
        conditions=dict(grant.condition),
    )
