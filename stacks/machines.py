"""A state machine from its compiled text, with its log, traces, version and alias."""

from __future__ import annotations

import aws_cdk as cdk
from aws_cdk import aws_logs as logs
from aws_cdk import aws_stepfunctions as sfn
from constructs import Construct

from stacks.grants import ALIAS


class Machine(Construct):
    """What is started is the alias: it names the version of the last deployment that went well."""

    def __init__(
        self,
        scope: Construct,
        id_: str,
        *,
        name: str,
        text: str,
        role_arn: str,
        log_days: int,
        log_data: bool,
    ) -> None:
        super().__init__(scope, id_)
        log = logs.CfnLogGroup(
            self,
            "Log",
            # Under this prefix AWS needs no resource policy for each group, of which there may be few.
            log_group_name=f"/aws/vendedlogs/states/{name}",
            retention_in_days=log_days,
        )
        # Its name is fixed: one that stayed would be in the way of the next deployment.
        log.apply_removal_policy(cdk.RemovalPolicy.DESTROY)
        # CDK's own tasks know no spot, no checkpoints and no JSONata of ours: the text is the machine.
        self.machine = sfn.CfnStateMachine(
            self,
            "Machine",
            state_machine_name=name,
            definition_string=text,
            role_arn=role_arn,
            logging_configuration=sfn.CfnStateMachine.LoggingConfigurationProperty(
                level="ALL",
                include_execution_data=log_data,
                destinations=[
                    sfn.CfnStateMachine.LogDestinationProperty(
                        cloud_watch_logs_log_group=sfn.CfnStateMachine.CloudWatchLogsLogGroupProperty(
                            log_group_arn=log.attr_arn
                        )
                    )
                ],
            ),
            tracing_configuration=sfn.CfnStateMachine.TracingConfigurationProperty(enabled=True),
        )
        version = sfn.CfnStateMachineVersion(
            self,
            "Version",
            state_machine_arn=self.machine.ref,
            state_machine_revision_id=self.machine.attr_state_machine_revision_id,
        )
        # A run that began with an older version can be redriven, and the alias be turned back to it. All
        # versions go with the machine itself.
        version.apply_removal_policy(cdk.RemovalPolicy.RETAIN)
        self.alias = sfn.CfnStateMachineAlias(
            self,
            "Alias",
            name=ALIAS,
            routing_configuration=[
                sfn.CfnStateMachineAlias.RoutingConfigurationVersionProperty(
                    state_machine_version_arn=version.ref, weight=100
                )
            ],
        )

    @property
    def arn(self) -> str:
        """The ARN of the machine itself, by which events and metrics know it; a token of CDK."""
        return self.machine.ref

    @property
    def alias_arn(self) -> str:
        """What triggers start, a token of CDK."""
        return self.alias.ref
