"""An empty account for each test: boto3 as it is, as moto answers it.

moto knows change sets, stacks and events well enough to deploy the real template of the stack `relay`; what
it lacks of them, `_complete` adds. It knows no versions and aliases of state machines, so a small template
with a role, a topic and the output that matters stands in for a pipeline's. What moto never says (a
replacement, a failure, a stack in trouble) is said by botocore's Stubber, in `test_stack.py`.
"""

from __future__ import annotations

import io
import json
from types import SimpleNamespace

import boto3
import pytest
from moto import mock_aws
from rich.console import Console

from stacks.deployment.dialogue import Dialogue
from stacks.deployment.place import Site
from stacks.settings import Settings
from tests.stacks.templates import ROOT
from workflows.local.server import REGION


@pytest.fixture
def session(monkeypatch):
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "relay")
    with mock_aws():
        session = boto3.Session(region_name=REGION)
        _complete(session.events)
        yield session


def _complete(events):
    """What moto lacks of stacks (protection; description and outputs of one that came by a change set): kept
    here, and answered between botocore and moto."""
    protected, texts = set(), {}

    def propose(params, **_):
        body = params.get("TemplateBody")
        texts[params["StackName"]] = json.loads(body) if body else {}

    def protect(params, **_):
        protected.add(params["body"]["StackName"])
        return SimpleNamespace(status_code=200), {"ResponseMetadata": {}}

    def describe(parsed, **_):
        for stack in parsed.get("Stacks", []):
            text = texts.get(stack["StackName"], {})
            stack["EnableTerminationProtection"] = stack["StackName"] in protected
            stack["Description"] = text.get("Description", "")
            stack["Outputs"] = [
                {"OutputKey": key, "OutputValue": each["Value"]}
                for key, each in text.get("Outputs", {}).items()
            ]

    events.register("provide-client-params.cloudformation.CreateChangeSet", propose)
    events.register("before-call.cloudformation.UpdateTerminationProtection", protect)
    events.register("after-call.cloudformation.DescribeStacks", describe)


@pytest.fixture
def site(session):
    return Site(session, Settings())


@pytest.fixture
def shared():
    """The template of the stack `relay`, as it is kept."""
    return json.loads((ROOT / "tests/stacks/snapshots/relay.json").read_text())


@pytest.fixture
def pipeline():
    """A small template in the place of a pipeline's, with a role among its resources."""
    trust = {
        "Effect": "Allow",
        "Principal": {"Service": "states.amazonaws.com"},
        "Action": "sts:AssumeRole",
    }
    return {
        "Description": "Relay: the pipeline digits",
        "Resources": {
            "Role": {
                "Type": "AWS::IAM::Role",
                "Properties": {"AssumeRolePolicyDocument": {"Version": "2012-10-17", "Statement": [trust]}},
            },
            "Told": {"Type": "AWS::SNS::Topic", "Properties": {"TopicName": "digits"}},
        },
        "Outputs": {"Start": {"Value": "arn:aws:states:us-east-1:123456789012:stateMachine:digits:live"}},
    }


class Screen:
    """A console that is read, and answers that are typed beforehand."""

    def __init__(self, monkeypatch):
        self.out = io.StringIO()
        self.console = Console(file=self.out, width=120)
        self.monkeypatch = monkeypatch

    def yes(self):
        return Dialogue(self.console, yes=True)

    def typing(self, *lines):
        answers = io.StringIO("".join(f"{line}\n" for line in lines))
        self.monkeypatch.setattr(answers, "isatty", lambda: True)
        self.monkeypatch.setattr("sys.stdin", answers)
        return Dialogue(self.console, yes=False)

    @property
    def text(self):
        return self.out.getvalue()


@pytest.fixture
def screen(monkeypatch):
    return Screen(monkeypatch)
