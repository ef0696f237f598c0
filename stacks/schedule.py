"""A schedule that starts the pipeline, and the queue of the starts that could not be made."""

from __future__ import annotations

import json

import aws_cdk as cdk
from aws_cdk import aws_scheduler as scheduler
from aws_cdk import aws_sqs as sqs
from constructs import Construct

from stacks.access import Role
from stacks.grants import Place
from stacks.trigger_grants import schedule_grants
from stacks.trigger_settings import ScheduleSettings
from workflows.specification.pipeline import Pipeline
from workflows.specification.run_input import SCHEDULED

# EventBridge Scheduler puts the time in its place; nothing else tells that two deliveries are one.
TIME = "<aws.scheduler.scheduled-time>"
DAYS_OF_DEAD_LETTERS = 14  # the most that SQS keeps


class Schedule(Construct):
    """Calls StartExecution itself, as a universal target: its parameters stand in the template, so it is
    certain that the alias is started. (The templated target of Step Functions would call the same.)"""

    def __init__(
        self,
        scope: Construct,
        id_: str,
        *,
        pipeline: Pipeline,
        settings: ScheduleSettings,
        machine_arn: str,
        place: Place,
    ) -> None:
        super().__init__(scope, id_)
        self.queue = sqs.Queue(
            self,
            "DeadLetters",
            encryption=sqs.QueueEncryption.SQS_MANAGED,
            enforce_ssl=True,
            retention_period=cdk.Duration.days(DAYS_OF_DEAD_LETTERS),
        )
        cdk.Validations.of(self.queue).acknowledge(
            cdk.Acknowledgment(
                id="AwsSolutions-SQS3", reason="The queue holds dead letters itself, and nothing consumes it."
            )
        )
        role = Role(
            self,
            "Role",
            service="scheduler.amazonaws.com",
            purpose=f"The schedule of the pipeline {pipeline.name}",
            grants=schedule_grants(pipeline, place, self.queue.queue_arn),
            place=place,
        )
        # Scheduler's metrics know groups, not schedules: with one of its own the alarm is of this pipeline.
        self.group = schedule_group(pipeline.name)
        group = scheduler.CfnScheduleGroup(self, "Group", name=self.group)
        run_input = json.dumps({**settings.input, SCHEDULED: TIME})
        flexible = settings.flexible_minutes
        self.schedule = scheduler.CfnSchedule(
            self,
            "Schedule",
            description=f"Starts the pipeline {pipeline.name}",
            group_name=group.ref,
            schedule_expression=settings.expression,
            schedule_expression_timezone=settings.timezone,
            flexible_time_window=scheduler.CfnSchedule.FlexibleTimeWindowProperty(
                mode="FLEXIBLE" if flexible else "OFF", maximum_window_in_minutes=flexible or None
            ),
            state="ENABLED" if settings.enabled else "DISABLED",
            target=scheduler.CfnSchedule.TargetProperty(
                arn=f"arn:{place.settings.partition}:scheduler:::aws-sdk:sfn:startExecution",
                role_arn=role.arn,
                input=json.dumps({"StateMachineArn": machine_arn, "Input": run_input}),
                retry_policy=scheduler.CfnSchedule.RetryPolicyProperty(
                    maximum_retry_attempts=settings.retries,
                    maximum_event_age_in_seconds=round(settings.longest_age.total_seconds()),
                ),
                dead_letter_config=scheduler.CfnSchedule.DeadLetterConfigProperty(arn=self.queue.queue_arn),
            ),
        )


def schedule_group(pipeline: str) -> str:
    """The group in which the pipeline's schedule is alone."""
    return f"relay-{pipeline}"
