"""The schedule of a template, and what of a team's settings for it is refused before it is deployed."""

import json
import os
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest

from stacks.settings import SettingsError, read
from stacks.trigger_settings import ScheduleSettings, Triggers, check_triggers
from tests.stacks.templates import DIGITS, ROOT, Resolved
from workflows.errors import RelayError
from workflows.specification.loading import load

LIVE = "arn:aws:states:us-east-1:123456789012:stateMachine:digits:live"


def settings_of(schedule):
    return read({"relay": {"triggers": {"digits": {"schedule": schedule}}}}).triggers["digits"].schedule


@pytest.mark.parametrize(
    "expression",
    [
        "rate(1 hour)",
        "rate(12 hours)",
        "rate(5 minutes)",
        "at(2026-12-01T06:00:00)",
        "cron(0 6 ? * MON-FRI *)",
        "cron(0/15 8-17 ? * 2-6 *)",
        "cron(15 10 L * ? *)",
        "cron(15 10 15W,LW 1,JUL ? 2026-2030)",
        "cron(0 9 ? * TUE#1 *)",
        "cron(0 9 ? * 6L *)",
        "cron(* * * * ? *)",
    ],
)
def test_expressions_of_eventbridge_scheduler_are_taken(expression):
    assert settings_of({"expression": expression}).expression == expression


@pytest.mark.parametrize(
    ("expression", "words"),
    [
        ("hourly", "found hourly, expected cron(0 6 ? * MON-FRI *), rate(12 hours) or at("),
        ("rate(0 hours)", "found rate(0 hours)"),
        ("rate(1 week)", "found rate(1 week)"),
        ("rate(1.5 hours)", "found rate(1.5 hours)"),
        ("at(2026-13-01T06:00:00)", "expected at(yyyy-mm-ddThh:mm:ss)"),
        ("at(2026-12-01)", "expected at(yyyy-mm-ddThh:mm:ss)"),
        ("cron(0 6 * * MON-FRI)", "found 5 fields, expected cron(minutes hours day-of-month"),
        ("cron(0 6 * * MON-FRI *)", "expected `?` as exactly one of them"),
        ("cron(0 6 ? * ? *)", "expected `?` as exactly one of them"),
        ("cron(60 6 ? * MON *)", "found 60 as minutes, expected 0-59"),
        ("cron(0 6 ? * MOM *)", "found MOM as day of week, expected 1-7 or SUN-SAT"),
        ("cron(0 6 32 * ? *)", "found 32 as day of month, expected 1-31"),
        ("cron(0 6 1 13 ? *)", "found 13 as month, expected 1-12 or JAN-DEC"),
        ("cron(0/0 6 1 1 ? *)", "found 0/0 as minutes"),
        ("cron(0 6 1-2-3 1 ? *)", "found 1-2-3 as day of month"),
        ("cron(0 6 ? * 2#6 *)", "found 2#6 as day of week"),
        ("cron(0 6 1 1 ? 1969)", "found 1969 as year, expected 1970-2199"),
        ("cron(0,, 6 1 1 ? *)", "found  as minutes"),
    ],
)
def test_what_it_would_refuse_is_one_line_that_says_what_is_allowed(expression, words):
    with pytest.raises(SettingsError) as caught:
        settings_of({"expression": expression})

    assert words in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        (
            "timezone",
            "Europe/Berlim",
            "found Europe/Berlim, expected a time zone such as UTC or Europe/Berlin",
        ),
        ("timezone", "../../etc/passwd", "expected a time zone"),
        ("timezone", "", "expected a time zone"),
        ("flexible_minutes", 1441, "1440"),
        ("retries", 186, "185"),
        ("longest_age", "30s", "1m to 1d"),
        ("longest_age", "25h", "1m to 1d"),
    ],
)
def test_so_is_a_setting_out_of_bounds(field, value, words):
    with pytest.raises(SettingsError) as caught:
        settings_of({"expression": "rate(1 hour)", field: value})

    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("run_input", "words"),
    [
        ({"dealine": "3h"}, "run input: unknown field `dealine`"),
        ({"parameters": {"pretrain": {"rate": 1}}}, "unknown field `rate`"),
        ({"scheduled": "2026-01-01T00:00:00Z"}, "leave out `scheduled`: it would be the same at every start"),
        ({"key": "nightly"}, "leave out `key`"),
    ],
)
def test_an_input_that_the_pipeline_would_refuse_is_refused_before_it_is_deployed(run_input, words):
    schedule = ScheduleSettings(expression="rate(1 hour)", input=run_input)

    with pytest.raises(RelayError) as caught:
        check_triggers({"digits": Triggers(schedule=schedule)}, [load(ROOT / DIGITS)])

    assert str(caught.value).startswith("cdk.json: triggers.digits.schedule.input: ")
    assert words in str(caught.value)


def test_triggers_of_a_pipeline_that_is_not_deployed_are_a_mistake():
    with pytest.raises(RelayError, match=r"triggers\.digit: unknown pipeline `digit`.*did you mean `digits`"):
        check_triggers({"digit": Triggers()}, [load(ROOT / DIGITS)])


def test_a_pipeline_has_neither_schedule_nor_api_unless_asked_for(templates):
    kinds = {resource["Type"] for resource in templates["relay-digits"]["Resources"].values()}

    assert not [kind for kind in kinds if kind.startswith(("AWS::Scheduler", "AWS::ApiGateway", "AWS::SQS"))]


def test_the_schedule_starts_the_alias_with_the_teams_input_and_the_scheduled_time(triggered):
    (schedule,) = Resolved(triggered["relay-digits"]).of_type("Scheduler::Schedule").values()
    target = schedule["Target"]
    asked = json.loads(target["Input"])

    assert asked["StateMachineArn"] == LIVE
    assert json.loads(asked["Input"]) == {"budget_usd": 20, "scheduled": "<aws.scheduler.scheduled-time>"}
    assert schedule["ScheduleExpressionTimezone"] == "Europe/Berlin"
    assert schedule["FlexibleTimeWindow"] == {"Mode": "FLEXIBLE", "MaximumWindowInMinutes": 15}
    assert target["RetryPolicy"] == {"MaximumRetryAttempts": 3, "MaximumEventAgeInSeconds": 7200}


def test_what_could_not_be_started_is_kept_in_a_queue_that_takes_tls_only(triggered):
    template = Resolved(triggered["relay-digits"])
    ((name, queue),) = template.of_type("SQS::Queue").items()
    (schedule,) = template.of_type("Scheduler::Schedule").values()
    (policy,) = template.of_type("SQS::QueuePolicy").values()
    (statement,) = policy["PolicyDocument"]["Statement"]

    assert schedule["Target"]["DeadLetterConfig"]["Arn"].endswith(f":{name}")
    assert queue["SqsManagedSseEnabled"] is True
    assert queue["MessageRetentionPeriod"] == timedelta(days=14).total_seconds()
    assert (statement["Effect"], statement["Condition"]) == (
        "Deny",
        {"Bool": {"aws:SecureTransport": "false"}},
    )


def test_a_schedule_can_be_switched_off_and_one_pipeline_be_printed_beside_the_triggers_of_others(
    synthesize, tmp_path
):
    triggers = {
        "digits": {"schedule": {"expression": "rate(1 day)", "enabled": False}},
        "graph": {"api": {}},
    }
    context = {"context": {"relay": {"pipelines": [], "triggers": triggers}}}
    (tmp_path / "cdk.json").write_text(json.dumps(context))
    pipeline = Path(ROOT / DIGITS)

    done = subprocess.run(
        [sys.executable, "-m", "stacks", str(pipeline)], cwd=tmp_path, capture_output=True, text=True,
        env={"PYTHONPATH": str(ROOT), "PATH": os.environ["PATH"]},
    )  # fmt: skip

    assert done.returncode == 0, done.stderr
    (schedule,) = Resolved(json.loads(done.stdout)).of_type("Scheduler::Schedule").values()
    assert (schedule["State"], schedule["FlexibleTimeWindow"]) == ("DISABLED", {"Mode": "OFF"})
