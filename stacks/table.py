"""The table of attempts: what every run has cost and met with, kept when histories and stacks are gone."""

from __future__ import annotations

import aws_cdk as cdk
from aws_cdk import aws_dynamodb as dynamodb
from aws_cdk import aws_kms as kms
from constructs import Construct

from workflows.ledger.attempts import PARTITION_KEY, SORT_KEY


class Table(Construct):
    """Encrypted, with a copy of every moment of the last 35 days; and never deleted with its stack."""

    def __init__(self, scope: Construct, id_: str, *, table_name: str, kms_key_arn: str | None) -> None:
        super().__init__(scope, id_)
        key = kms.Key.from_key_arn(self, "Key", kms_key_arn) if kms_key_arn else None
        encryption = dynamodb.TableEncryption
        self.table = dynamodb.Table(
            self,
            "Table",
            table_name=table_name,
            partition_key=dynamodb.Attribute(name=PARTITION_KEY, type=dynamodb.AttributeType.STRING),
            sort_key=dynamodb.Attribute(name=SORT_KEY, type=dynamodb.AttributeType.STRING),
            # An attempt takes minutes at least: capacity that is paid by the hour would idle.
            billing_mode=dynamodb.BillingMode.PAY_PER_REQUEST,
            encryption=encryption.CUSTOMER_MANAGED if key else encryption.DEFAULT,
            encryption_key=key,
            point_in_time_recovery_specification=dynamodb.PointInTimeRecoverySpecification(
                point_in_time_recovery_enabled=True
            ),
            deletion_protection=True,
            removal_policy=cdk.RemovalPolicy.RETAIN,
        )
