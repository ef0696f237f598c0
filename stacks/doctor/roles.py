"""Whether SageMaker may take on the roles that stages name. Relay's own come with the pipeline's stack."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from botocore.exceptions import ClientError

from stacks.doctor.findings import FAIL, OK, Finding, is_missing

SERVICE = "sagemaker.amazonaws.com"


def check_roles(iam: Any, arns: Iterable[str]) -> Iterator[Finding]:
    """Each role by its ARN: there, and trusting SageMaker. What it may do is the team's matter."""
    for arn in sorted(set(arns)):
        subject = f"role {arn.rpartition('/')[2]}"
        try:
            role = iam.get_role(RoleName=arn.rpartition("/")[2])["Role"]
        except ClientError as error:
            is_missing(error, "NoSuchEntity")
            yield Finding(subject, FAIL, "there is no such role", "make it, or leave out `role`")
            continue
        if role["Arn"] != arn:
            yield Finding(subject, FAIL, f"it is {role['Arn']}", "correct `role`")
        elif trusts(role["AssumeRolePolicyDocument"]):
            yield Finding(subject, OK, "trusts SageMaker")
        else:
            yield Finding(
                subject, FAIL, "does not trust SageMaker", f"let {SERVICE} assume it (sts:AssumeRole)"
            )


def trusts(policy: Mapping[str, Any]) -> bool:
    """Whether a trust policy lets SageMaker take the role on."""
    statements = policy.get("Statement", [])
    for each in statements if isinstance(statements, list) else [statements]:
        principal = each.get("Principal", {})
        services = [principal] if isinstance(principal, str) else principal.get("Service", [])
        services = [services] if isinstance(services, str) else services
        actions = each.get("Action", [])
        actions = [actions] if isinstance(actions, str) else actions
        if each.get("Effect") == "Allow" and SERVICE in services and "sts:AssumeRole" in actions:
            return True
    return False
