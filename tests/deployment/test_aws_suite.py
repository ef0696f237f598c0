"""The suite for a real account is right before there is one: its calls, its requests, its readings.

Every call of boto3 in it is looked up in botocore's models (operation and parameters), every request that it
builds is validated by them, and the experiments that need no job run on the local world's Step Functions.
"""

import ast
import json
import os
import subprocess
import sys
import threading
from types import SimpleNamespace

import botocore.session
import pytest
from botocore.validate import ParamValidator

from tests.aws import requests
from tests.aws.account import Account
from tests.aws.assumptions import KNOWN, settle
from tests.stacks.templates import ROOT
from workflows.local.server import LocalWorld

SERVICES = botocore.session.get_session()
FILES = sorted((ROOT / "tests/aws").rglob("*.py"))
JOB = requests.training_job(
    "replaced", image="image", role="arn:aws:iam::123456789012:role/r", bucket="relay-b"
)


def calls():
    """(file:line, service, operation, names of its parameters, whether there are more) of each boto3 call."""
    for path in FILES:
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
                continue
            owner = node.func.value
            place = f"{path.name}:{node.lineno}"
            words = [each.arg for each in node.keywords]
            if isinstance(owner, ast.Attribute) and owner.attr in KNOWN_SERVICES:
                if node.func.attr != "get_paginator":
                    yield place, owner.attr, node.func.attr, words
            elif node.func.attr == "paginate" and isinstance(owner, ast.Call):
                yield place, ast.unparse(owner.func).split(".")[-2], ast.literal_eval(owner.args[0]), words


KNOWN_SERVICES = {
    "cloudformation", "cloudwatch", "dynamodb", "events", "iam", "kms", "s3", "sagemaker", "sqs",
    "stepfunctions",
}  # fmt: skip


@pytest.mark.parametrize(("place", "service", "method", "words"), calls(), ids=lambda value: str(value)[:40])
def test_every_call_is_one_that_aws_knows(place, service, method, words):
    import boto3

    client = boto3.client(service, "us-east-1", aws_access_key_id="relay", aws_secret_access_key="relay")
    operation = client.meta.method_to_api_mapping[method]
    shape = client.meta.service_model.operation_model(operation).input_shape

    given = {word for word in words if word not in {None, "PaginationConfig"}}
    assert given <= set(shape.members), place
    if None not in words:  # a request that is built elsewhere
        assert set(shape.required_members) <= given, place


def test_so_many_calls_were_found():
    assert len(list(calls())) > 40


@pytest.mark.parametrize(("service", "operation", "request_"), requests.samples())
def test_every_request_that_is_built_is_valid(service, operation, request_):
    shape = SERVICES.get_service_model(service).operation_model(operation).input_shape

    report = ParamValidator().validate(request_, shape)

    assert not report.has_errors(), report.generate_report()


def test_every_uncertain_point_has_its_test_and_every_test_its_point():
    settled = set()
    for path in FILES:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "settle":
                settled.add(ast.literal_eval(node.args[0]))

    assert settled == set(KNOWN)


def test_what_an_assumption_says_holds_it_is_there():
    assert KNOWN
    for name, known in KNOWN.items():
        paths = [word.strip("(),;") for word in known.held_in.split() if "/" in word]
        assert paths, name
        assert all((ROOT / path).exists() for path in paths), (name, paths)


def test_a_failure_says_what_was_wrong_where_it_is_held_and_what_follows():
    settle("list-tags", True, "nothing")
    with pytest.raises(pytest.fail.Exception) as caught:
        settle("list-tags", False, "not authorized to perform: sagemaker:X")

    told = str(caught.value)
    assert told.startswith("WRONG ASSUMPTION `list-tags`")
    assert "Seen: not authorized to perform: sagemaker:X" in told
    assert "stacks/grants.py" in told
    assert KNOWN["list-tags"].otherwise in told


def test_without_being_asked_for_the_suite_is_collected_and_skipped():
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "RELAY_"))
    }

    done = subprocess.run(
        [sys.executable, "-m", "pytest", "tests/aws", "-m", "aws", "-p", "no:cacheprovider", "-rs"],
        cwd=ROOT, env=environment, capture_output=True, text=True,
    )  # fmt: skip

    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{len(KNOWN)} skipped" in done.stdout
    assert "RELAY_AWS=1" in done.stdout


# ----------------------------------------------------------------- experiments, on the local Step Functions
@pytest.fixture(scope="module")
def account(tmp_path_factory):
    with LocalWorld(tmp_path_factory.mktemp("world"), speed=1000) as world:
        yield Account(SimpleNamespace(client=world.client), pause=Waiting(world))


class Waiting:
    """Until so many seconds of the world's own clock have passed."""

    def __init__(self, world):
        self.clock = world.clock

    def __call__(self, seconds):
        passed = threading.Event()
        self.clock.call(lambda: self.clock.env.timeout(seconds).callbacks.append(lambda _: passed.set()))
        passed.wait()


ROLE = "arn:aws:iam::123456789012:role/relay"


def test_the_experiments_on_expressions_can_tell_both_readings(account):
    def way(name, **options):
        told = account.run(requests.failing_expression(JOB, **options), name, ROLE)
        return json.loads(told["output"])["caught"], account.retries(told["executionArn"])

    evaluation, task = "States.QueryEvaluationError", "States.TaskFailed"
    assert way("own", caught=evaluation) == ("named", 0)
    assert way("task", caught=task)[0] == "named"
    assert way("never", caught=evaluation, retried=((evaluation, 0), (task, 1))) == ("named", 0)
    # The other reading would be seen: a Retry of that name alone does retry.
    assert way("once", caught=evaluation, retried=((evaluation, 1),)) == ("named", 1)
    assert way("other", caught="Some.Other") == ("other", 0)


def test_the_machine_that_is_redriven_says_which_definition_it_ran(account):
    told = account.run(requests.fails_unless("old"), "words", ROLE)

    assert (told["status"], told["cause"]) == ("FAILED", "old")


@pytest.mark.parametrize(
    "definition", [requests.following_a_job(JOB), requests.children(), requests.fails_unless("x")]
)
def test_the_machines_of_the_experiments_are_taken(account, definition):
    name = f"taken-{abs(hash(definition)) % 10**6}"

    assert account.stepfunctions.create_state_machine(name=name, definition=definition, roleArn=ROLE)
