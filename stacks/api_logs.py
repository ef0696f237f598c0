"""The role with which API Gateway writes logs, for every API of the account in this region."""

from __future__ import annotations

import aws_cdk as cdk
from aws_cdk import aws_apigateway as gateway
from constructs import Construct

from stacks.access import Role
from stacks.grants import Place
from stacks.trigger_grants import api_log_grants


class ApiLogs(Construct):
    """There is one such setting, and making it takes the place of another's: so a team asks for it."""

    def __init__(self, scope: Construct, id_: str, *, place: Place) -> None:
        super().__init__(scope, id_)
        role = Role(
            self,
            "Role",
            service="apigateway.amazonaws.com",
            purpose="API Gateway writes the logs of every API of the account",
            grants=api_log_grants(),
            place=place,
        )
        account = gateway.CfnAccount(self, "Account", cloud_watch_role_arn=role.arn)
        # It stays, with its role: other APIs may have come to need it.
        account.apply_removal_policy(cdk.RemovalPolicy.RETAIN)
        role.role.apply_removal_policy(cdk.RemovalPolicy.RETAIN)
