"""The topic of an installation: what people are told goes through it, whoever says it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import aws_cdk as cdk
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_sns as sns
from aws_cdk import aws_sns_subscriptions as subscriptions
from constructs import Construct

from stacks.names import TOPIC

PUBLISHERS = ("events.amazonaws.com", "cloudwatch.amazonaws.com")
USES = ("kms:Decrypt", "kms:GenerateDataKey*")  # of the key, by whoever publishes


class Topic(Construct):
    """Encrypted, TLS only; EventBridge and CloudWatch may publish, and nobody else outside the account."""

    def __init__(
        self,
        scope: Construct,
        id_: str,
        *,
        emails: tuple[str, ...],
        account: str,
        region: str,
        partition: str,
    ) -> None:
        super().__init__(scope, id_)
        # With SNS's own key neither service could publish: its policy cannot be changed. 1 USD a month.
        key = kms.Key(
            self,
            "Key",
            description="Messages of Relay on their way to those who subscribed",
            enable_key_rotation=True,
            # It holds nothing: messages that were delivered are not encrypted with it.
            removal_policy=cdk.RemovalPolicy.DESTROY,
        )
        self.topic = sns.Topic(
            self, "Topic", topic_name=TOPIC, display_name="Relay", master_key=key, enforce_ssl=True
        )
        # Not the topic's own attribute: it names the key, and the key's policy would name it.
        arn = f"arn:{partition}:sns:{region}:{account}:{TOPIC}"
        for service in PUBLISHERS:
            key.add_to_resource_policy(_allow(service, USES, "*", _of_key(service, account, arn)))
            only = {_told(service): {"aws:SourceAccount": account}}
            self.topic.add_to_resource_policy(_allow(service, ["sns:Publish"], self.topic.topic_arn, only))
        for email in emails:
            self.topic.add_subscription(subscriptions.EmailSubscription(email))


def _told(service: str) -> str:
    """The operator for aws:SourceAccount.

    CloudWatch says for whom it publishes. Of EventBridge the guides disagree: its condition keys have
    aws:SourceAccount, and for topics its page on resource policies says that conditions cannot be used
    ("Amazon SNS permissions"). So, if it says an account, it must be ours, and no message is lost if not.
    """
    return "StringEqualsIfExists" if service.startswith("events.") else "StringEquals"


def _of_key(service: str, account: str, topic: str) -> dict[str, Any]:
    """Only for messages of this topic: SNS binds them to it by the encryption context (GameLift's guide has
    the condition for its own topics). aws:SourceAccount is "not supported for EventBridge-to-encrypted
    topics" in a key's policy (SNS developer guide, key management); the topic's ARN names the account."""
    only: dict[str, Any] = {"kms:EncryptionContext:aws:sns:topicArn": topic}
    if not service.startswith("events."):
        only["aws:SourceAccount"] = account
    return {"StringEquals": only}


def _allow(
    service: str, actions: Sequence[str], resource: str, condition: dict[str, Any]
) -> iam.PolicyStatement:
    return iam.PolicyStatement(
        sid="From" + service.partition(".")[0].title(),
        actions=list(actions),
        principals=[iam.ServicePrincipal(service)],
        resources=[resource],
        conditions=condition,
    )
