"""What Step Functions and EventBridge do with machines: expressions, aliases, children, redrives."""

import json
import os
from datetime import timedelta
from typing import Any

import pytest

from tests.aws.assumptions import settle
from tests.aws.requests import (
    PROBE,
    children,
    failing_expression,
    fails_unless,
    queue_policy,
    status_rule,
    training_job,
)
from workflows.jobs.watch_pattern import LOOK_AFTER, watch_name

EVALUATION, TASK = "States.QueryEvaluationError", "States.TaskFailed"


@pytest.fixture
def job(account, job_role, image):
    """Of a task that never gets so far."""
    return training_job("replaced", image=image, role=job_role, bucket=account.site.bucket)


def caught(account, name, role, definition):
    told = account.run(definition, name, role)
    return json.loads(told.get("output") or "{}").get("caught"), told


def test_a_failed_expression_is_caught_by_its_own_name(account, name, probe_role, job):
    way, told = caught(account, name, probe_role, failing_expression(job, caught=EVALUATION))

    settle("evaluation-by-name", way == "named", told.get("error", way))


def test_task_failed_stands_for_a_failed_expression_too(account, name, probe_role, job):
    way, told = caught(account, name, probe_role, failing_expression(job, caught=TASK))

    settle("task-failed-matches-evaluation", way == "named", told.get("error", way))


def test_a_failed_expression_is_not_retried_where_its_own_retry_says_never(account, name, probe_role, job):
    definition = failing_expression(job, caught=EVALUATION, retried=((EVALUATION, 0), (TASK, 1)))
    _, told = caught(account, name, probe_role, definition)

    retries = account.retries(told["executionArn"])
    settle("evaluation-not-retried", retries == 0, f"{retries} retries")


def test_a_run_by_the_alias_counts_among_those_of_its_machine(account, finished):
    arn = finished["stateMachineArn"].removesuffix(":live")
    asked = {
        "Namespace": "AWS/States",
        "MetricName": "ExecutionsSucceeded",
        "Dimensions": [{"Name": "StateMachineArn", "Value": arn}],
    }

    def counted():
        times = {"StartTime": finished["startDate"], "EndTime": finished["stopDate"] + timedelta(minutes=10)}
        points = account.cloudwatch.get_metric_statistics(**asked, **times, Period=60, Statistics=["Sum"])
        return points["Datapoints"]

    try:
        seen = account.until("the metric", counted, minutes=15)  # metrics are some minutes late
    except TimeoutError:
        seen = []
    settle("alias-metrics", bool(seen), f"{len(seen)} data points of ExecutionsSucceeded")


@pytest.fixture
def watches(account, finished):
    """The executions of the watch of a pipeline that has run: its jobs have waited, so there were events."""
    assert finished["startDate"]
    watch = f"arn:aws:states:{account.site.region}:{account.site.account}:stateMachine:{watch_name('digits')}"
    return account.stepfunctions.list_executions(stateMachineArn=watch)["executions"]


def test_the_rule_starts_the_watch_by_its_alias(watches):
    settle("alias-target", len(watches) > 0, f"{len(watches)} executions of the watch")


@pytest.fixture
def details(account, watches):
    """What the events of those executions say of their jobs."""
    told = (account.stepfunctions.describe_execution(executionArn=each["executionArn"]) for each in watches)
    return [json.loads(each["input"])["detail"] for each in told]


def test_a_job_that_has_not_trained_yet_wakes_the_watch(details):
    told = [each["SecondaryStatus"] for each in details]
    settle("event-starting", bool({"Starting", "Pending"} & set(told)), f"the events said {told}")


def test_the_event_of_a_waiting_job_carries_its_tags(details):
    tags = details[0].get("Tags")
    settle("event-tags", isinstance(tags, dict) and LOOK_AFTER in tags, f"Tags of the event: {tags!r}")


def test_a_redrive_goes_on_after_the_machine_was_updated(account, name, probe_role):
    before = account.run(fails_unless("old"), name, probe_role)
    machine = before["stateMachineArn"]
    account.stepfunctions.update_state_machine(stateMachineArn=machine, definition=fails_unless("new"))

    account.stepfunctions.redrive_execution(executionArn=before["executionArn"])
    account.pause(10)
    after = account.ended(before["executionArn"], minutes=5)

    settle(
        "redrive-old-version", after.get("cause") == "old", f"the redrive ended with {after.get('cause')!r}"
    )


def test_children_of_a_large_sweep_are_told_under_another_arn(account, name, probe_role):
    queue = account.sqs.create_queue(QueueName=name)["QueueUrl"]
    asked = account.sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])
    arn = asked["Attributes"]["QueueArn"]
    rule = account.events.put_rule(Name=name, EventPattern=status_rule(account.site.account))["RuleArn"]
    try:
        account.sqs.set_queue_attributes(QueueUrl=queue, Attributes={"Policy": queue_policy(arn, rule)})
        account.events.put_targets(Rule=name, Targets=[{"Id": "queue", "Arn": arn}])
        told = account.run(children(), name, probe_role)
        found: list[Any] = []
        seen = account.until("events", lambda: machines_told(account, queue, found), minutes=5)
    finally:
        account.events.remove_targets(Rule=name, Ids=["queue"])
        account.events.delete_rule(Name=name)
        account.sqs.delete_queue(QueueUrl=queue)

    parents = [each for each in seen if each == told["stateMachineArn"]]
    settle("child-events", len(parents) <= 1, f"stateMachineArn of the events: {sorted(set(seen))}")


def machines_told(account, queue, found):
    """stateMachineArn of each event, once all three have come: the run's, and those of its two children."""
    told = account.sqs.receive_message(QueueUrl=queue, MaxNumberOfMessages=10, WaitTimeSeconds=10)
    found += [json.loads(each["Body"])["detail"]["stateMachineArn"] for each in told.get("Messages", [])]
    return found if len(found) >= 3 else None


def test_a_model_is_registered_with_what_the_role_allows(account):
    machine = f"arn:aws:states:{account.site.region}:{account.site.account}:stateMachine:graph:live"
    started = account.stepfunctions.start_execution(
        stateMachineArn=machine, name=f"{PROBE}-{os.urandom(4).hex()}", input="{}"
    )

    told = account.ended(started["executionArn"], minutes=90)

    cause = told.get("cause", "")
    settle("model-package", "not authorized" not in cause, cause)
    assert told["status"] == "SUCCEEDED", cause
