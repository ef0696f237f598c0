"""What people are told and shown: messages, alarms, dashboard, and who may publish."""

import json
import re
from typing import Any

import pytest

from tests.stacks.samples import states
from tests.stacks.templates import Resolved
from workflows.local.server import ACCOUNT, REGION

ARN = f"arn:aws:states:{REGION}:{ACCOUNT}:execution:digits:nightly-7"
EVENT: dict[str, Any] = {
    "version": "0",
    "id": "315c1398-40ff-a850-213b-158f73e60175",
    "detail-type": "Step Functions Execution Status Change",
    "source": "aws.states",
    "account": ACCOUNT,
    "time": "2026-11-25T02:14:07Z",
    "region": REGION,
    "resources": [ARN],
    "detail": {
        "executionArn": ARN,
        "stateMachineArn": f"arn:aws:states:{REGION}:{ACCOUNT}:stateMachine:digits",
        "name": "nightly-7",
        "status": "FAILED",
        "startDate": 1795572847000,
        "stopDate": 1795576447000,
        "input": "{}",
        "output": None,
        "error": "States.TaskFailed",
        "cause": 'a "quoted"\nmessage',
    },
}
CONSOLE = "https://us-east-1.console.aws.amazon.com/states/home?region=us-east-1#/v2/executions/details/"
TOPIC = f"arn:aws:sns:{REGION}:{ACCOUNT}:relay-notifications"


def rendered(target, event):
    """What EventBridge makes of an event with a target's InputTransformer: its template is a JSON text."""
    transformer = target["InputTransformer"]
    values = {}
    for name, path in transformer["InputPathsMap"].items():
        value = event
        for part in path.removeprefix("$.").split("."):
            value = value[part]
        values[name] = value
    assert all(isinstance(value, str) for value in values.values())
    text = re.sub(r"<([a-z]+)>", lambda found: values[found[1]], transformer["InputTemplate"])
    return json.loads(text)


def messages(template):
    """Status -> (rule, target) of the rules that tell of runs."""
    rules = [r for r in template.of_type("Events::Rule").values() if "InputTransformer" in str(r)]
    return {rule["EventPattern"]["detail"]["status"][0]: (rule, *rule["Targets"]) for rule in rules}


@pytest.mark.parametrize(
    ("status", "happened", "to_do"),
    [
        ("FAILED", "the run nightly-7 of digits failed.", "relay resume nightly-7"),
        ("TIMED_OUT", "the run nightly-7 of digits ran out of time.", "relay resume nightly-7"),
        ("ABORTED", "the run nightly-7 of digits was stopped.", "relay resume nightly-7"),
    ],
)
def test_a_run_that_ends_badly_is_told_in_one_line_with_what_to_do(templates, status, happened, to_do):
    _, target = messages(Resolved(templates["relay-digits"]))[status]

    line = rendered(target, {**EVENT, "detail": {**EVENT["detail"], "status": status}})

    assert "\n" not in line
    assert line.startswith(f"Relay: {happened}")
    assert "relay explain nightly-7" in line
    assert to_do in line
    assert line.endswith(CONSOLE + ARN)
    assert target["Arn"] == TOPIC


def test_runs_that_went_well_are_told_where_the_settings_say_so(templates, everything):
    assert "SUCCEEDED" not in messages(Resolved(templates["relay-digits"]))
    _, target = messages(Resolved(everything["relay-everything"]))["SUCCEEDED"]

    assert "relay receipt nightly-7" in rendered(target, EVENT)


def test_only_runs_are_told_and_not_the_trials_of_a_sweep_nor_the_watch(everything):
    sent = messages(Resolved(everything["relay-everything"]))
    assert sent
    for status, (rule, _) in sent.items():
        assert rule["EventPattern"] == {
            "source": ["aws.states"],
            "detail-type": ["Step Functions Execution Status Change"],
            "detail": {
                "stateMachineArn": [f"arn:aws:states:{REGION}:{ACCOUNT}:stateMachine:everything"],
                "status": [status],
            },
        }


def test_whoever_is_to_be_told_is_subscribed(everything):
    (subscription,) = Resolved(everything["relay"]).of_type("SNS::Subscription").values()

    assert subscription == {"Endpoint": "team@example.com", "Protocol": "email", "TopicArn": TOPIC}


# ------------------------------------------------------------------------------------------- the topic
def test_both_services_may_publish_and_use_the_key_and_plain_http_may_not(templates):
    template = Resolved(templates["relay"])
    (topic,) = template.of_type("SNS::Topic").values()
    (policy,) = template.of_type("SNS::TopicPolicy").values()
    (key,) = template.of_type("KMS::Key").values()

    assert topic["KmsMasterKeyId"].startswith("arn:aws:kms:")
    allowed = [s for s in policy["PolicyDocument"]["Statement"] if s["Effect"] == "Allow"]
    (denied,) = [s for s in policy["PolicyDocument"]["Statement"] if s["Effect"] == "Deny"]
    assert denied["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}
    services = {"events.amazonaws.com", "cloudwatch.amazonaws.com"}
    assert {s["Principal"]["Service"] for s in allowed} == services
    uses = [s for s in key["KeyPolicy"]["Statement"] if "Service" in s["Principal"]]
    assert {s["Principal"]["Service"] for s in uses} == services
    assert all(s["Action"] == ["kms:Decrypt", "kms:GenerateDataKey*"] for s in uses)


def test_only_this_account_may_publish_and_the_key_serves_only_this_topic(templates):
    template = Resolved(templates["relay"])
    (policy,) = template.of_type("SNS::TopicPolicy").values()
    (key,) = template.of_type("KMS::Key").values()
    account, topic = {"aws:SourceAccount": ACCOUNT}, {"kms:EncryptionContext:aws:sns:topicArn": TOPIC}

    def conditions(statements):
        by = [s for s in statements if s["Effect"] == "Allow" and "Service" in s["Principal"]]
        return {s["Principal"]["Service"]: s.get("Condition") for s in by}

    # EventBridge may not say for whom it publishes; a key's policy must not ask it (SNS developer guide).
    assert conditions(policy["PolicyDocument"]["Statement"]) == {
        "events.amazonaws.com": {"StringEqualsIfExists": account},
        "cloudwatch.amazonaws.com": {"StringEquals": account},
    }
    assert conditions(key["KeyPolicy"]["Statement"]) == {
        "events.amazonaws.com": {"StringEquals": topic},
        "cloudwatch.amazonaws.com": {"StringEquals": {**account, **topic}},
    }


# ------------------------------------------------------------------------------------------- the alarms
WATCHED: dict[str, Any] = {
    "run-failed": "ExecutionsFailed",
    "run-timed-out": "ExecutionsTimedOut",
    "run-aborted": "ExecutionsAborted",
    "throttled": "ExecutionThrottled",
    "deadline-pressed": "DeadlinePressed",
    "no-progress": "NoProgress",
    "watch-failed": "ExecutionsFailed",
    "watch-not-started": "FailedInvocations",
    "start-failed": "ApproximateNumberOfMessagesVisible",
    "start-lost": "InvocationsFailedToBeSentToDeadLetterCount",
}


def test_every_alarm_says_what_to_do_and_tells_the_topic(everything):
    alarms = Resolved(everything["relay-everything"]).of_type("CloudWatch::Alarm").values()

    assert {a["AlarmName"]: a["MetricName"] for a in alarms} == {
        f"relay-everything-{what}": metric for what, metric in WATCHED.items()
    }
    for alarm in alarms:
        assert alarm["AlarmActions"] == [TOPIC]
        assert alarm["TreatMissingData"] == "notBreaching"
        assert 60 < len(alarm["AlarmDescription"]) <= 1024
        assert re.search(r"relay explain|See|Lower|allow|Look|Mend", alarm["AlarmDescription"])
    (stuck,) = [a for a in alarms if a["MetricName"] == "NoProgress"]
    assert stuck["Threshold"] == 3


def test_the_alarms_and_graphs_of_own_metrics_are_of_metrics_that_the_machine_sends(templates):
    template = Resolved(templates["relay-digits"])
    sent = set()
    for name, state in states(json.loads(template.machine("digits")["DefinitionString"])):
        if name.endswith(": measure"):
            assert state["Arguments"]["Namespace"] == "Relay"
            sent |= set(re.findall(r'"([A-Z][A-Za-z]+)": ', state["Arguments"]["MetricData"]))
    (dashboard,) = template.of_type("CloudWatch::Dashboard").values()
    shown = json.loads(dashboard["DashboardBody"])
    graphs = [m for w in shown["widgets"] for m in w["properties"].get("metrics", []) if m[0] == "Relay"]

    assert graphs
    used = {metric for _, metric, *_ in graphs}
    used |= {
        alarm["MetricName"]
        for alarm in template.of_type("CloudWatch::Alarm").values()
        if alarm["Namespace"] == "Relay"
    }
    assert sent
    assert used == sent - {"MetricName", "Value", "Dimensions", "Name"}
    assert all(m[2:4] == ["Pipeline", "digits"] for m in graphs)


def test_the_schedules_dead_letters_are_an_alarm_and_so_is_a_start_that_not_even_its_queue_got(triggered):
    template = Resolved(triggered["relay-digits"])
    ((queue, _),) = template.of_type("SQS::Queue").items()
    (schedule,) = template.of_type("Scheduler::Schedule").values()
    alarms = {a["MetricName"]: a for a in template.of_type("CloudWatch::Alarm").values()}

    failed = alarms["ApproximateNumberOfMessagesVisible"]
    lost = alarms["InvocationsFailedToBeSentToDeadLetterCount"]
    assert (failed["Namespace"], failed["Statistic"]) == ("AWS/SQS", "Maximum")
    assert failed["Dimensions"] == [{"Name": "QueueName", "Value": queue}]
    assert schedule["Target"]["DeadLetterConfig"]["Arn"].endswith(f":{queue}")
    assert lost["Namespace"] == "AWS/Scheduler"
    # Scheduler measures groups of schedules: this one is alone in its group.
    assert lost["Dimensions"] == [{"Name": "ScheduleGroup", "Value": schedule["GroupName"]}]
    assert schedule["GroupName"] == "relay-digits"
    assert failed["AlarmActions"] == lost["AlarmActions"] == [TOPIC]
    assert {failed["Threshold"], lost["Threshold"]} == {1}


def test_where_nothing_is_scheduled_no_alarm_waits_for_a_schedule(templates):
    alarms = Resolved(templates["relay-digits"]).of_type("CloudWatch::Alarm").values()

    assert not {a["Namespace"] for a in alarms} & {"AWS/SQS", "AWS/Scheduler"}


# -------------------------------------------------------------------------------------------- the table
def test_the_table_is_what_the_machines_write_to(templates, everything):
    (table,) = Resolved(templates["relay"]).of_type("DynamoDB::Table").values()

    assert table["TableName"] == "relay-ledger"
    assert [(k["AttributeName"], k["KeyType"]) for k in table["KeySchema"]] == [
        ("pipeline", "HASH"),
        ("attempt_id", "RANGE"),
    ]
    assert table["BillingMode"] == "PAY_PER_REQUEST"
    assert table["DeletionProtectionEnabled"] is True
    assert table["PointInTimeRecoverySpecification"] == {"PointInTimeRecoveryEnabled": True}
    (own,) = Resolved(everything["relay"]).of_type("DynamoDB::Table").values()
    assert own["SSESpecification"]["SSEType"] == "KMS"


def test_an_address_that_is_none_is_refused():
    from stacks.settings import SettingsError, read

    with pytest.raises(SettingsError, match="notify"):
        read({"relay": {"notify": ["team"]}})
