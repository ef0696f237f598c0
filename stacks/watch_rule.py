"""The rule that starts the capacity watch when a job of the pipeline waits."""

from __future__ import annotations

from aws_cdk import aws_events as events
from constructs import Construct

from workflows.jobs.watch_pattern import watch_name, watch_pattern

LONGEST_DELIVERY_SECONDS = 3600  # of a day: a job that waits says so again, and MaxWait is behind it


class WatchRule(Construct):
    """The pattern is the one that the local world installs, too."""

    def __init__(self, scope: Construct, id_: str, *, pipeline: str, target_arn: str, role_arn: str) -> None:
        super().__init__(scope, id_)
        self.rule = events.CfnRule(
            self,
            "Rule",
            name=watch_name(pipeline),
            description=f"Jobs of the pipeline {pipeline} that wait for capacity",
            event_pattern=watch_pattern(pipeline),
            state="ENABLED",
            targets=[
                events.CfnRule.TargetProperty(
                    id="watch",
                    arn=target_arn,
                    role_arn=role_arn,
                    retry_policy=events.CfnRule.RetryPolicyProperty(
                        maximum_event_age_in_seconds=LONGEST_DELIVERY_SECONDS
                    ),
                )
            ],
        )
