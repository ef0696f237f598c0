"""The alarms of a pipeline; each says in its description what happened and what to do."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import aws_cdk as cdk
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_cloudwatch_actions as actions
from aws_cdk import aws_sns as sns
from constructs import Construct

from workflows.ledger.attempts import DIMENSION, NAMESPACE
from workflows.ledger.entry import Metric

USUAL_PERIOD = 5  # minutes
STATES, EVENTS, SQS, SCHEDULER = "AWS/States", "AWS/Events", "AWS/SQS", "AWS/Scheduler"


@dataclass(frozen=True)
class Watched:
    """One metric that is to stay below a threshold; `periods` in a row above it are an alarm."""

    what: str  # the end of the alarm's name
    namespace: str
    metric: str
    dimensions: Mapping[str, str]
    says: str
    threshold: float = 1
    minutes: int = USUAL_PERIOD
    periods: int = 1
    statistic: str = "Sum"


class Alarms(Construct):
    """An alarm for each thing that a person should look at; where nothing is reported nothing is wrong."""

    def __init__(
        self, scope: Construct, id_: str, *, pipeline: str, watched: Iterator[Watched], topic_arn: str
    ) -> None:
        super().__init__(scope, id_)
        topic = actions.SnsAction(sns.Topic.from_topic_arn(self, "Topic", topic_arn))
        self.alarms = [self._alarm(pipeline, each, topic) for each in watched]

    def _alarm(self, pipeline: str, each: Watched, topic: actions.SnsAction) -> cloudwatch.Alarm:
        alarm = cloudwatch.Alarm(
            self,
            re.sub(r"(^|-)(\w)", lambda found: found[2].upper(), each.what),
            alarm_name=f"relay-{pipeline}-{each.what}",
            alarm_description=each.says,
            metric=cloudwatch.Metric(
                namespace=each.namespace,
                metric_name=each.metric,
                dimensions_map=dict(each.dimensions),
                statistic=each.statistic,
                period=cdk.Duration.minutes(each.minutes),
            ),
            threshold=each.threshold,
            evaluation_periods=each.periods,
            comparison_operator=cloudwatch.ComparisonOperator.GREATER_THAN_OR_EQUAL_TO_THRESHOLD,
            treat_missing_data=cloudwatch.TreatMissingData.NOT_BREACHING,
        )
        alarm.add_alarm_action(topic)
        return alarm


def of_pipeline(
    pipeline: str, *, machine_arn: str, watch_arn: str, watch_rule: str, no_progress: int
) -> Iterator[Watched]:
    """What is watched of each pipeline; `no_progress`: attempts in an hour that moved no checkpoint."""
    yield from _of_runs(pipeline, {"StateMachineArn": machine_arn})
    own = {DIMENSION: pipeline}
    yield Watched(
        "deadline-pressed", NAMESPACE, Metric.DEADLINE_PRESSED, own,
        "A stage went on demand because of its run's deadline: no time was left for spot capacity. The run "
        "costs more now and has no slack left. If it happens often, allow more time.",
    )  # fmt: skip
    yield Watched(
        "no-progress", NAMESPACE, Metric.NO_PROGRESS, own,
        f"{no_progress} attempts or more in an hour trained and left the checkpoint where it was: they come "
        "too seldom, or are not written. See relay explain RUN and the job's log; shorten `checkpoint`.",
        threshold=no_progress, minutes=60,
    )  # fmt: skip
    yield Watched(
        "watch-failed", STATES, "ExecutionsFailed", {"StateMachineArn": watch_arn},
        f"The capacity watch of {pipeline} failed: a job that waits for spot capacity is stopped by its "
        f"MaxWaitTimeInSeconds only. See why in the failed execution of {pipeline}-watch.",
    )  # fmt: skip
    yield of_rule(
        watch_rule, "watch-not-started", f"the capacity watch of {pipeline} does not see jobs that wait"
    )


def _of_runs(pipeline: str, machine: Mapping[str, str]) -> Iterator[Watched]:
    then = "The topic's message names the run. Why: relay explain RUN; go on: relay resume RUN."
    for what, metric, words in (
        ("run-failed", "ExecutionsFailed", "failed"),
        ("run-timed-out", "ExecutionsTimedOut", "ran out of time"),
        ("run-aborted", "ExecutionsAborted", "was stopped"),
    ):
        yield Watched(what, STATES, metric, machine, f"A run of {pipeline} {words}. {then}")
    yield Watched(
        "throttled", STATES, "ExecutionThrottled", machine,
        f"Step Functions holds up the states of {pipeline}, for a quarter of an hour now: too many run at "
        "once. Lower `concurrency`, or ask for more StateTransition throughput in Service Quotas.",
        periods=3,
    )  # fmt: skip


def of_rule(rule: str, what: str, consequence: str) -> Watched:
    """A rule of EventBridge that found its target, but could not start or reach it."""
    return Watched(
        what, EVENTS, "FailedInvocations", {"RuleName": rule},
        f"EventBridge could not reach the target of the rule {rule}: {consequence}. Look whether its role "
        "and target are as deployed, and deploy again.",
    )  # fmt: skip


def of_schedule(pipeline: str, group: str, queue_name: str) -> Iterator[Watched]:
    """A schedule's starts that were given up: those that its queue holds, and those that not even it got.

    Scheduler measures groups of schedules; `group` is one of the pipeline's own.
    """
    yield _of_dead_letters(queue_name)
    yield Watched(
        "start-lost", SCHEDULER, "InvocationsFailedToBeSentToDeadLetterCount", {"ScheduleGroup": group},
        f"A start of {pipeline} by its schedule was given up, and not even the dead-letter queue got it: "
        "it is lost. Look whether the schedule's role and queue are as deployed, deploy again, and start the "
        "run by hand.",
    )  # fmt: skip


def _of_dead_letters(queue_name: str) -> Watched:
    """A dead-letter queue, which is to be empty: what lies in it never started."""
    return Watched(
        "start-failed", SQS, "ApproximateNumberOfMessagesVisible", {"QueueName": queue_name},
        f"A start failed for good and lies in the queue {queue_name}, with its reason in the message's "
        "attributes. Mend the cause, start the run by hand, and delete the message.",
        statistic="Maximum",
    )  # fmt: skip
