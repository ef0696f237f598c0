"""The three verbs as they are typed, against moto: documents, exit codes, and what goes to which stream."""

import json

import pytest
from typer.testing import CliRunner

from stacks.deployment.stack import LARGEST_BODY
from tests.stacks.templates import ROOT
from workflows.commands import cli
from workflows.commands import deploy as deploy_command
from workflows.errors import RelayError


@pytest.fixture
def relay(session, monkeypatch, tmp_path, shared):
    """Types a command in a folder whose cdk.json names no pipeline; CDK is tested in `tests/stacks`."""
    (tmp_path / "cdk.json").write_text(json.dumps({"context": {"relay": {}}}))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(deploy_command, "_synthesize", lambda settings, folder: {"relay": shared})
    monkeypatch.setattr("boto3.Session", lambda **_: session)

    def relay(*arguments, typed=""):
        return CliRunner().invoke(cli.app, arguments, input=typed)

    return relay


def test_deploy_tells_its_outcome_as_one_document(relay):
    done = relay("deploy", "--yes", "--json")

    assert done.exit_code == 0, done.output
    document = json.loads(done.stdout)
    assert [(each["stack"], each["outcome"]) for each in document["stacks"]] == [("relay", "created")]
    assert document["left_over"] == []
    assert "create complete" in done.stderr


def test_a_dry_run_in_a_fresh_account_ends_well_and_leaves_nothing(relay, session, shared, monkeypatch):
    large = {**shared, "Metadata": {"long": "x" * LARGEST_BODY}}
    monkeypatch.setattr(deploy_command, "_synthesize", lambda settings, folder: {"relay": large})

    done = relay("deploy", "--dry-run")

    assert done.exit_code == 0, done.output
    assert "relay: shown" in done.output
    assert session.client("cloudformation").describe_stacks()["Stacks"] == []
    assert session.client("s3").list_buckets()["Buckets"] == []


def test_a_second_deploy_has_nothing_to_do_and_ends_well(relay):
    relay("deploy", "--yes")

    done = relay("deploy")

    assert done.exit_code == 0, done.output
    assert "relay: nothing to change" in done.output


def test_where_nobody_can_answer_deploy_does_nothing(relay, session):
    done = relay("deploy")

    assert isinstance(done.exception, RelayError)
    assert done.exception.exit_code == 1
    assert "say --yes" in str(done.exception)
    assert session.client("s3").list_buckets()["Buckets"] == []


def test_destroy_without_a_pipeline_says_that_there_is_none(relay):
    relay("deploy", "--yes")

    done = relay("destroy", "--yes")

    assert done.exit_code == 0, done.output
    assert "No pipeline is deployed here." in done.output


def test_destroy_all_of_a_protected_stack_says_how(relay):
    relay("deploy", "--yes")

    done = relay("destroy", "--all", "--yes")

    assert isinstance(done.exception, RelayError)
    assert "update-termination-protection --no-enable" in str(done.exception)


def test_the_doctor_sees_no_failure_in_an_empty_account_and_says_so_in_a_document(relay, monkeypatch):
    monkeypatch.chdir(ROOT)
    # moto has neither ValidateStateMachineDefinition nor TestState: `test_machines_judged.py`.
    monkeypatch.setattr("stacks.doctor.machines.look_at_machines", lambda *_, **__: ([], []))

    done = relay("doctor", "--json")

    assert done.exit_code == 0, done.output
    document = json.loads(done.stdout)
    assert document["ok"] is True
    assert {"credentials", "region", "stack relay-digits"} <= {
        each["subject"] for each in document["findings"]
    }


def test_the_doctor_fails_where_a_check_does(relay, tmp_path):
    (tmp_path / "cdk.json").write_text(json.dumps({"context": {"relay": {"bucket": "not-there"}}}))

    done = relay("doctor")

    assert done.exit_code == 1
    assert "bucket not-there" in done.output
    assert "there is none" in done.output
