"""The topic of an installation: what people are told goes through it, whoever says it."""

from __future__ import annotations

from typing import Any

import aws_cdk as cdk
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_sns as sns
from aws_cdk import aws_sns_subscriptions as subscriptions
from constructs import Construct

from stacks.names import TOPIC

PUBLISHERS = ("events.amazonaws.com", "cloudwatch.amazonaws.com")


class Topic(Construct):
    """Encrypted, TLS only; EventBridge and CloudWatch may publish, and nobody else outside the account."""

    def __init__(self, scope: Construct, id_: str, *, emails: tuple[str, ...], account: str) -> None:
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
        for service in PUBLISHERS:
            # In the key's policy EventBridge sends no aws:SourceAccount (SNS developer guide), and with a
            # condition that never holds no message would arrive; so its statements have none.
            only = None if service.startswith("events") else {"StringEquals": {"aws:SourceAccount": account}}
            key.add_to_resource_policy(
                _allow(service, ["kms:Decrypt", "kms:GenerateDataKey*"], "*", only)  # of this key
            )
            self.topic.add_to_resource_policy(_allow(service, ["sns:Publish"], self.topic.topic_arn, only))
        for email in emails:
            self.topic.add_subscription(subscriptions.EmailSubscription(email))


def _allow(
    service: str, actions: list[str], resource: str, condition: dict[str, Any] | None
) -> iam.PolicyStatement:
    return iam.PolicyStatement(
        sid="From" + service.partition(".")[0].title(),
        actions=actions,
        principals=[iam.ServicePrincipal(service)],
        resources=[resource],
        conditions=condition,
    )
