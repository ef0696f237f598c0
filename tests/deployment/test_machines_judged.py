"""What AWS says of the machines before they are deployed; here the local world is AWS, over its own door.

The suite that runs against an account (`tests/aws/test_states.py`) asks the same questions.
"""

import json

import boto3
import pytest
from botocore.exceptions import ClientError
from typer.testing import CliRunner

from stacks.compiled import compile_for
from stacks.deployment.errors import DeploymentError
from stacks.deployment.place import Site
from stacks.doctor.findings import FAIL, OK, UNKNOWN, WARN
from stacks.doctor.machines import check_machines, find_state, judge, look_at_machines, texts_of
from stacks.doctor.report import document, write_report
from stacks.settings import Settings
from tests.stacks.templates import DIGITS, GRAPH, ROOT
from workflows.commands import cli
from workflows.local.server import LocalWorld

SETTINGS = Settings(pipelines=(DIGITS, GRAPH))


@pytest.fixture(scope="module")
def endpoint(tmp_path_factory):
    with LocalWorld(tmp_path_factory.mktemp("world"), speed=600.0) as world:
        yield world.endpoint_url


@pytest.fixture
def site(endpoint, monkeypatch):
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "relay")
    monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
    return Site(boto3.Session(), SETTINGS)


@pytest.fixture(scope="module")
def digits():
    return compile_for(ROOT / DIGITS, SETTINGS)


class OtherwiseAws:
    """AWS, but for what one operation answers."""

    def __init__(self, site, **operations):
        self.settings, self.account, self.bucket = site.settings, site.account, site.bucket
        self.real, self.operations = site.client("stepfunctions"), operations

    def client(self, service):
        assert service == "stepfunctions"
        return self

    def __getattr__(self, name):
        call = getattr(self.real, name)
        if name not in self.operations:
            return call
        return lambda **request: self.operations[name](request, call(**request))


# ------------------------------------------------------------------------------------------- the states
@pytest.mark.parametrize("path", [DIGITS, GRAPH])
def test_each_state_does_as_in_a_local_run(site, path):
    compiled = compile_for(ROOT / path, SETTINGS)

    rows = list(judge(site, compiled))

    assert [row for row in rows if row.verdict == FAIL] == []
    name = compiled.pipeline.name
    asked = {row.state for row in rows if row.verdict == OK}
    assert {row.machine for row in rows} == {name, f"{name}-watch"}
    assert {"start", "stop the job", "mark the stop", "prepare: on demand"} <= asked
    assert len(asked) >= 20
    assert all(row.told.startswith("not asked: ") for row in rows if row.verdict == UNKNOWN)


def test_the_run_takes_a_lost_attempt_too(site, digits):
    ways = {(row.state, row.ours) for row in judge(site, digits)}

    assert ("pretrain: on spot", "CAUGHT_ERROR -> pretrain: why did it end") in ways
    assert ("pretrain: on spot", "SUCCEEDED -> pretrain: is it whole") in ways


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"status": "FAILED", "error": "States.QueryEvaluationError", "cause": "no field"}, "status FAILED"),
        ({"nextState": "elsewhere"}, "next state elsewhere, ours can it start"),
        ({"output": '{"other": 1}'}, 'output {"other": 1}, ours'),
        ({"inspectionData": {"variables": '{"run": 7}'}}, "$run is 7, ours"),
        ({"inspectionData": {"variables": "{}"}}, "$policy is not assigned"),
    ],
)
def test_whatever_aws_does_otherwise_is_said(site, digits, changed, words):
    def otherwise(request, told):
        return {**told, **changed}

    rows = list(judge(OtherwiseAws(site, test_state=otherwise), digits))

    (start,) = [row for row in rows if row.state == "start"]
    found = [row for row in rows if row.verdict == FAIL and any(words in each for each in row.differs)]
    assert found or any(words in each for each in start.differs)


def test_a_state_that_aws_refuses_to_test_is_a_failure_and_no_permission_is_none(site, digits):
    def refuse(code):
        def answer(request, told):
            raise ClientError({"Error": {"Code": code, "Message": "no"}}, "TestState")

        return OtherwiseAws(site, test_state=answer)

    rows = list(judge(refuse("ValidationException"), digits))
    assert {row.verdict for row in rows} <= {FAIL, UNKNOWN}

    findings, rows = look_at_machines(refuse("AccessDeniedException"), [digits])
    assert rows == [] or {row.verdict for row in rows} == {OK, UNKNOWN}
    assert ("states of digits", UNKNOWN) in {(each.subject, each.verdict) for each in findings}


# -------------------------------------------------------------------------------------- the definitions
def test_aws_takes_both_machines_before_a_state_is_asked_about(site, digits):
    findings, rows = look_at_machines(site, [digits])

    assert [(each.subject, each.verdict) for each in findings] == [
        ("machine digits", OK),
        ("machine digits-watch", OK),
        ("states of digits", OK),
    ]
    assert rows


def diagnosed(severity, result):
    told = {"severity": severity, "code": "SCHEMA", "message": "ContainerEntrypoint is not supported"}
    return lambda request, _: {"result": result, "diagnostics": [told]}


def test_a_machine_that_aws_refuses_is_not_tested_and_ends_a_deployment(site, digits):
    aws = OtherwiseAws(site, validate_state_machine_definition=diagnosed("ERROR", "FAIL"))

    findings, rows = look_at_machines(aws, [digits])

    assert ({each.verdict for each in findings}, rows) == ({FAIL}, [])
    with pytest.raises(DeploymentError, match="ContainerEntrypoint is not supported"):
        check_machines(aws, [digits], states=True)


def test_a_warning_ends_nothing(site, digits):
    aws = OtherwiseAws(site, validate_state_machine_definition=diagnosed("WARNING", "OK"))

    assert check_machines(aws, [digits], states=False) == []
    assert WARN in {each.verdict for each in look_at_machines(aws, [digits], states=False)[0]}


# ------------------------------------------------------------------------------------------- the report
def test_the_file_for_an_issue_holds_what_differs_and_no_account(site, digits, tmp_path):
    def otherwise(request, told):
        return {**told, "nextState": "elsewhere"}

    findings, rows = look_at_machines(OtherwiseAws(site, test_state=otherwise), [digits])
    told = document(findings, rows)
    write_report(tmp_path / "report.json", told, site.account)

    text = (tmp_path / "report.json").read_text()
    assert site.account not in text or set(site.account) == {"0"}
    read = json.loads(text)
    assert read["ok"] is False
    (start,) = [each for each in read["states"] if each["state"] == "start"]
    assert start["differs"]
    assert start["request"]["input"]


@pytest.mark.parametrize(("more", "shown"), [((), True), (("--no-states",), False)])
def test_the_doctor_shows_the_table_of_states_of_the_local_world(site, monkeypatch, tmp_path, more, shown):
    monkeypatch.chdir(ROOT)
    monkeypatch.setenv("COLUMNS", "200")

    done = CliRunner().invoke(cli.app, ["doctor", "--report", str(tmp_path / "report.json"), *more])

    assert ("TestState: each state as AWS runs it" in done.output) is shown, done.output
    assert ("pretrain: why did it end" in done.output) is shown
    assert "AWS takes its definition" in done.output
    told = json.loads((tmp_path / "report.json").read_text())
    assert bool(told["states"]) is shown
    assert [each for each in told["states"] if each["verdict"] == FAIL] == []


def test_a_state_is_found_wherever_it_stands(site):
    graph = compile_for(ROOT / GRAPH, SETTINGS)
    machine = json.loads(texts_of(site, graph)["graph"])

    assert find_state(machine, "tune: begin the trial")["Type"] == "Pass"
    assert find_state(machine, "nowhere") == {}
