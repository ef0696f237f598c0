"""The stacks of an installation: one with the bucket that its pipelines share, and one for each pipeline.

    relay            bucket, table, topic                       stays when a pipeline goes or is renamed
    relay-NAME       machines, rules, roles, logs, alarms       holds nothing that cannot be made anew

They know each other by names alone, so either can be deployed, and removed, by itself.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import aws_cdk as cdk
from cdk_nag import AwsSolutionsChecks
from constructs import Construct

from stacks.access import Role
from stacks.alarms import Alarms, of_pipeline, of_schedule
from stacks.api_logs import ApiLogs
from stacks.compiled import Compiled, compile_for
from stacks.dashboard import Dashboard
from stacks.grants import Place, machine_grants, rule_grants, watch_grants
from stacks.job_grants import job_grants
from stacks.machines import Machine
from stacks.names import SHARED, TOPIC, stack_name
from stacks.notifications import RunMessages
from stacks.settings import Settings
from stacks.storage import Storage
from stacks.table import Table
from stacks.topic import Topic
from stacks.trigger_settings import Triggers, check_triggers
from stacks.triggers import StartedBy
from stacks.watch_rule import WatchRule
from workflows.errors import RelayError
from workflows.jobs.watch_pattern import watch_name
from workflows.specification.stages import RegisterStage

LARGEST_TEMPLATE = 1_000_000  # bytes, CloudFormation's quota


class SharedStack(cdk.Stack):
    """What the pipelines of an installation share."""

    def __init__(self, scope: Construct, *, settings: Settings, pipelines: list[Compiled]) -> None:
        super().__init__(
            scope,
            SHARED,
            description="Relay: the bucket, the table of attempts and the topic of its pipelines",
            termination_protection=True,
            **_common(settings),
        )
        if settings.bucket is None:
            Storage(
                self,
                "Storage",
                bucket_name=settings.bucket_name(self.account),
                kms_key_arn=settings.kms_key,
                expiring=_expiring(settings, pipelines),
                keep_old_versions_days=settings.keep_old_versions_days,
            )
        if settings.table is None:
            Table(self, "Attempts", table_name=settings.table_name, kms_key_arn=settings.kms_key)
        Topic(
            self,
            "Notifications",
            emails=settings.notify,
            account=self.account,
            region=settings.region,
            partition=settings.partition,
        )
        if settings.api_gateway_logs:
            ApiLogs(self, "ApiLogs", place=Place(settings, self.account))


class PipelineStack(cdk.Stack):
    """One pipeline: its machine, its capacity watch, and who may do what."""

    def __init__(self, scope: Construct, *, settings: Settings, compiled: Compiled) -> None:
        pipeline = compiled.pipeline
        super().__init__(
            scope,
            stack_name(pipeline.name),
            description=f"Relay: the pipeline {pipeline.name}",
            **_common(settings),
        )
        place = Place(settings, self.account)
        job = Role(
            self,
            "JobRole",
            service="sagemaker.amazonaws.com",
            purpose=f"The jobs of the pipeline {pipeline.name}",
            grants=job_grants(pipeline, place, compiled.images),
            place=place,
        )
        machine_text, watch_text = compiled.texts(account=self.account, job_role=job.arn)
        self.machine = self._machine(
            "Pipeline", pipeline.name, machine_text, machine_grants(pipeline, place, job.arn), place
        )
        watch = self._machine(
            "Watch", watch_name(pipeline.name), watch_text, watch_grants(pipeline, place), place
        )
        rule = Role(
            self,
            "WatchRuleRole",
            service="events.amazonaws.com",
            purpose=f"Starts the capacity watch of the pipeline {pipeline.name}",
            grants=rule_grants(pipeline, place),
            place=place,
        )
        WatchRule(self, "WatchRule", pipeline=pipeline.name, target_arn=watch.alias_arn, role_arn=rule.arn)
        self.started_by = StartedBy(
            self,
            "StartedBy",
            pipeline=pipeline,
            triggers=settings.triggers.get(pipeline.name, Triggers()),
            machine_arn=self.machine.alias_arn,
            place=place,
        )
        self._monitoring(pipeline.name, watch.arn, place)

        cdk.CfnOutput(
            self,
            "Start",
            value=self.machine.alias_arn,
            description="What is started; the input {} is enough, and relay schema prints what it may hold",
        )

    def _monitoring(self, pipeline: str, watch_arn: str, place: Place) -> None:
        """What people are told and shown."""
        settings, topic, machine_arn = place.settings, place.arn("sns", TOPIC), self.machine.arn
        RunMessages(
            self,
            "RunMessages",
            pipeline=pipeline,
            machine_arn=machine_arn,
            topic_arn=topic,
            region=settings.region,
            partition=settings.partition,
            success=settings.notify_success,
        )
        watched = of_pipeline(
            pipeline,
            machine_arn=machine_arn,
            watch_arn=watch_arn,
            watch_rule=watch_name(pipeline),
            no_progress=settings.alarm_no_progress,
        )
        if schedule := self.started_by.schedule:
            starts = of_schedule(pipeline, schedule.group, schedule.queue.queue_name)
            watched = itertools.chain(watched, starts)
        alarms = Alarms(self, "Alarms", pipeline=pipeline, watched=watched, topic_arn=topic)
        Dashboard(self, "Dashboard", pipeline=pipeline, machine_arn=machine_arn, alarms=alarms.alarms)

    def _machine(self, id_: str, name: str, text: str, grants: Any, place: Place) -> Machine:
        role = Role(
            self,
            f"{id_}Role",
            service="states.amazonaws.com",
            purpose=f"The state machine {name}",
            grants=grants,
            place=place,
        )
        return Machine(
            self,
            id_,
            name=name,
            text=text,
            role_arn=role.arn,
            log_days=place.settings.log_days,
            log_data=place.settings.log_data,
        )


def synthesize(settings: Settings, folder: Path, outdir: str | None = None) -> Mapping[str, dict[str, Any]]:
    """The templates by the names of their stacks, cdk-nag's rules checked; needs no credentials.

    `folder` is the one of cdk.json. Raises RelayError for a pipeline that cannot be compiled or deployed.
    """
    pipelines = [compile_for(folder / path, settings) for path in settings.pipelines]
    names = [each.pipeline.name for each in pipelines]
    for path, name in zip(settings.pipelines, names, strict=True):
        if names.count(name) > 1:
            raise RelayError(f"{path}: another pipeline of cdk.json is named `{name}`, too")
    check_triggers(settings.triggers, [each.pipeline for each in pipelines])
    app = cdk.App(outdir=outdir, analytics_reporting=False, tree_metadata=False)
    # A rule that is broken ends the synthesis; why one does not hold stands in the template.
    checks = AwsSolutionsChecks(app, write_suppressions_to_cloud_formation=True)
    cdk.Validations.of(app).add_plugins(checks)
    own = [PipelineStack(app, settings=settings, compiled=compiled) for compiled in pipelines]
    shared = SharedStack(app, settings=settings, pipelines=pipelines)
    for stack in own:
        stack.add_stack_dependency(shared)
    made = app.synth().stacks
    for each in made:
        size = Path(each.template_full_path).stat().st_size
        if size > LARGEST_TEMPLATE:
            raise RelayError(
                f"the template of {each.stack_name} has {size:,} bytes, and CloudFormation takes "
                f"{LARGEST_TEMPLATE:,}: make two pipelines of it"
            )
    return {each.stack_name: each.template for each in made}


def _common(settings: Settings) -> dict[str, Any]:
    """The account stays open, it is that of whoever deploys; the region is fixed, because images differ."""
    return {
        "env": cdk.Environment(region=settings.region),
        "tags": dict(settings.tags),
        # Without the rule a template can also be deployed by other tools, where CDK was never set up.
        "synthesizer": cdk.DefaultStackSynthesizer(generate_bootstrap_version_rule=False),
    }


def _expiring(settings: Settings, pipelines: list[Compiled]) -> dict[str, int]:
    """Pipeline -> days that its runs are kept. The registry points at models in them, so those stay."""
    names = [each.pipeline.name for each in pipelines if not each.pipeline.of_kind(RegisterStage)]
    return dict.fromkeys(names, settings.keep_runs_days) if settings.keep_runs_days else {}
