"""What is deployed already, and what around it waits for a person."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from botocore.exceptions import ClientError

from stacks.deployment.stack import Stack
from stacks.deployment.status import EMPTY, FRESH, WELL, busy, told
from stacks.doctor.findings import FAIL, OK, WARN, Finding, is_missing

PENDING = "PendingConfirmation"
AS_BEFORE = "UPDATE_ROLLBACK_COMPLETE"


def check_stacks(cloudformation: Any, names: Sequence[str], region: str) -> Iterator[Finding]:
    """Looks at the stacks; one that is not deployed yet is nothing bad."""
    for name in names:
        status, subject = Stack(cloudformation, name, lambda seconds: None).status, f"stack {name}"
        if status in FRESH:
            yield Finding(subject, WARN, "not deployed yet", "relay deploy")
        elif status in WELL:
            yield Finding(subject, OK, status)
        elif busy(status):
            yield Finding(subject, WARN, status, "wait for its end")
        elif status == EMPTY:
            yield Finding(subject, WARN, "its first deployment failed and was undone", "relay deploy")
        elif status == AS_BEFORE:
            yield Finding(subject, WARN, "the last update failed and was undone", "relay deploy shows why")
        else:
            yield Finding(subject, FAIL, status, told(name, status, region))


def check_topic(sns: Any, arn: str) -> Iterator[Finding]:
    """Whether those who are to be told have said yes to the mail that AWS sent them."""
    subject = "notifications"
    try:
        pages = list(sns.get_paginator("list_subscriptions_by_topic").paginate(TopicArn=arn))
    except ClientError as error:
        is_missing(error, "NotFound", "NotFoundException")
        yield Finding(subject, WARN, "not deployed yet", "relay deploy")
        return
    found = [each for page in pages for each in page["Subscriptions"]]
    waiting = [each["Endpoint"] for each in found if each["SubscriptionArn"] == PENDING]
    if waiting:
        to_do = "confirm the mail from AWS Notifications"
        yield Finding(subject, WARN, f"not confirmed: {', '.join(waiting)}", to_do)
    elif found:
        yield Finding(subject, OK, f"{len(found)} confirmed")
    else:
        yield Finding(subject, WARN, "nobody is told of failures", "`notify` in cdk.json")


def check_api_logs(apigateway: Any, *, made: bool) -> Iterator[Finding]:
    """Looks at API Gateway's role for logs. `made`: whether the stack `relay` names it."""
    role = apigateway.get_account().get("cloudwatchRoleArn")
    subject = "API Gateway's logs"
    if role:
        yield Finding(subject, OK, f"written as {role.rpartition('/')[2]}")
    elif made:
        yield Finding(subject, WARN, "not set up yet", "relay deploy sets it up")
    else:
        to_do = "name a role for the account's API logs, or set `api_gateway_logs` in cdk.json"
        yield Finding(subject, FAIL, "the account has no role for them: the stack would fail", to_do)
