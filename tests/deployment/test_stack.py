"""What moto never says of a stack, said by botocore's Stubber: requests and answers are AWS's own shapes."""

from datetime import UTC, datetime

import boto3
import pytest
from botocore.stub import ANY, Stubber

from stacks.deployment import deploy as deployment
from stacks.deployment.deploy import Options, deploy
from stacks.deployment.errors import DeploymentError
from stacks.deployment.stack import Stack, capabilities
from stacks.settings import Settings
from tests.stacks.templates import ROOT

NAME, ID = "relay-a", "arn:aws:cloudformation:us-east-1:123456789012:stack/relay-a/1"
SET = "arn:aws:cloudformation:us-east-1:123456789012:changeSet/relay-deploy/1"
TEMPLATE = {"Resources": {"Bucket": {"Type": "AWS::S3::Bucket"}}}
NOW = datetime(2026, 1, 1, tzinfo=UTC)


def stack_told(status):
    return {"StackName": NAME, "StackId": ID, "CreationTime": NOW, "StackStatus": status}


class Told:
    """A site whose CloudFormation says what it is told to say, in order."""

    region, account = "us-east-1", "123456789012"

    def __init__(self):
        self.cloudformation = boto3.client(
            "cloudformation", "us-east-1", aws_access_key_id="relay", aws_secret_access_key="relay"
        )
        self.stub = Stubber(self.cloudformation)
        self.paused = []
        self.settings = Settings()

    def client(self, service):
        return self.cloudformation

    def put_template(self, text):
        raise AssertionError("it is small")

    def says(self, operation, answer, **expected):
        self.stub.add_response(operation, answer, expected or None)

    def status(self, status):
        self.says("describe_stacks", {"Stacks": [stack_told(status)]})

    def events(self, *events):
        """The newest first, as (number, logical id, status, reason)."""
        self.says(
            "describe_stack_events",
            {
                "StackEvents": [
                    {
                        "StackId": ID, "StackName": NAME, "EventId": str(number), "LogicalResourceId": name,
                        "ResourceStatus": status, "ResourceStatusReason": reason, "Timestamp": NOW,
                        "ResourceType": "AWS::CloudFormation::Stack" if name == NAME else "AWS::IAM::Role",
                    }
                    for number, name, status, reason in events
                ]
            },
            StackName=ID,
        )  # fmt: skip

    def change_set(self, status="CREATE_COMPLETE", reason="", changes=()):
        answer = {"Status": status, "StatusReason": reason, "Changes": list(changes)}
        self.says("describe_change_set", answer, ChangeSetName=SET, StackName=NAME)

    def made(self, kind):
        self.says(
            "create_change_set", {"Id": SET, "StackId": ID}, StackName=NAME, ChangeSetName="relay-deploy",
            ChangeSetType=kind, Capabilities=ANY, Tags=[], TemplateBody=ANY,
        )  # fmt: skip

    def dropped(self):
        self.status("UPDATE_COMPLETE")
        self.forgotten()

    def forgotten(self):
        self.says("delete_change_set", {}, StackName=NAME, ChangeSetName="relay-deploy")


@pytest.fixture
def site():
    told = Told()
    with told.stub:
        yield told
        told.stub.assert_no_pending_responses()


def deployed(site, dialogue, options=Options()):
    return deploy(site, {NAME: TEMPLATE}, lambda: None, dialogue, options, site.paused.append)


def going(action="Modify", **fields):
    resource = {
        "Action": action, "LogicalResourceId": "Bucket", "PhysicalResourceId": "relay-1",
        "ResourceType": "AWS::S3::Bucket", **fields,
    }  # fmt: skip
    return {"Type": "Resource", "ResourceChange": resource}


LOSING = going(Replacement="True", PolicyAction="ReplaceAndRetain")


def test_what_parts_from_data_is_refused_even_where_every_question_is_answered(site, screen):
    site.status("UPDATE_COMPLETE")
    site.status("UPDATE_COMPLETE")
    site.forgotten()
    site.made("UPDATE")
    site.change_set(changes=[LOSING])
    site.dropped()

    with pytest.raises(DeploymentError) as caught:
        deployed(site, screen.yes())

    assert "relay-a is not deployed, because it would part from data:" in str(caught.value)
    assert "AWS::S3::Bucket relay-1 leaves the stack" in str(caught.value)
    assert "--let-data-go" in str(caught.value)
    assert "replace" in screen.text


def test_a_failure_is_told_with_its_causes_and_not_with_what_was_cancelled_for_it(site, screen):
    site.status("UPDATE_COMPLETE")
    site.status("UPDATE_COMPLETE")
    site.forgotten()
    site.made("UPDATE")
    site.change_set(status="CREATE_IN_PROGRESS")
    site.change_set(changes=[going("Modify", Replacement="False")])
    site.status("UPDATE_COMPLETE")
    site.events((1, NAME, "UPDATE_COMPLETE", ""))  # of the last time
    site.says("execute_change_set", {}, ChangeSetName=SET, StackName=NAME, RetainExceptOnCreate=True)
    site.events((2, NAME, "UPDATE_IN_PROGRESS", ""), (1, NAME, "UPDATE_COMPLETE", ""))
    site.events(
        (6, NAME, "UPDATE_ROLLBACK_COMPLETE", ""),
        (5, NAME, "UPDATE_ROLLBACK_IN_PROGRESS", "The following resource(s) failed"),
        (4, "Other", "UPDATE_FAILED", "Resource update cancelled"),
        (3, "Role", "UPDATE_FAILED", "not authorized to perform: iam:PutRolePolicy"),
        (2, NAME, "UPDATE_IN_PROGRESS", ""),
    )
    site.status("UPDATE_ROLLBACK_COMPLETE")

    with pytest.raises(DeploymentError) as caught:
        deployed(site, screen.yes())

    assert str(caught.value) == (
        "relay-a could not be deployed and is UPDATE_ROLLBACK_COMPLETE:"
        "\n  Role: not authorized to perform: iam:PutRolePolicy"
        "\nWhat was there before is there again."
    )
    assert site.paused == [2.0, 2.0]  # once for the change set, once for the events
    assert screen.text.index("update in progress") < screen.text.index("update rollback complete")


def test_a_template_that_cloudformation_refuses_is_told(site, screen):
    site.status("UPDATE_COMPLETE")
    site.status("UPDATE_COMPLETE")
    site.forgotten()
    site.made("UPDATE")
    site.change_set(status="FAILED", reason="Transform failed")
    site.dropped()

    with pytest.raises(DeploymentError, match="refused the template of relay-a: Transform failed"):
        deployed(site, screen.yes())


FIRST_FAILED = (
    (4, NAME, "ROLLBACK_COMPLETE", ""),
    (3, "Role", "DELETE_COMPLETE", ""),
    (2, "Role", "CREATE_FAILED", "not authorized to perform: iam:CreateRole"),
    (1, NAME, "CREATE_IN_PROGRESS", ""),
)


def removed(site, *before, end="DELETE_COMPLETE"):
    """CloudFormation removes the empty stack; `before`: its events until then, if nobody has seen them."""
    site.status("ROLLBACK_COMPLETE")
    site.events(*before)
    site.says("delete_stack", {}, StackName=ID)
    site.events((6, NAME, end, ""), (5, NAME, "DELETE_IN_PROGRESS", ""), *before)
    site.status(end)


def test_a_first_deployment_that_fails_leaves_not_even_the_empty_stack(site, screen):
    site.says("describe_stacks", {"Stacks": [stack_told("REVIEW_IN_PROGRESS")]}, StackName=NAME)
    site.status("REVIEW_IN_PROGRESS")
    site.forgotten()
    site.made("CREATE")
    site.change_set(changes=[going("Add")])
    site.status("REVIEW_IN_PROGRESS")
    site.events()
    site.says("execute_change_set", {}, ChangeSetName=SET, StackName=NAME, RetainExceptOnCreate=True)
    site.events(*FIRST_FAILED)
    site.status("ROLLBACK_COMPLETE")
    removed(site, *FIRST_FAILED)

    with pytest.raises(DeploymentError) as caught:
        deployed(site, screen.yes())

    assert str(caught.value) == (
        "relay-a could not be deployed:"
        "\n  Role: not authorized to perform: iam:CreateRole"
        "\nNothing of it is left: mend that and deploy again."
    )


def test_an_empty_stack_that_a_failed_first_deployment_left_is_removed_before_the_next(site, screen):
    site.status("ROLLBACK_COMPLETE")
    removed(site, *FIRST_FAILED)
    site.status("REVIEW_IN_PROGRESS")  # of the new one
    site.forgotten()
    site.made("CREATE")
    site.change_set(changes=[going("Add")])
    site.status("REVIEW_IN_PROGRESS")
    site.says("delete_stack", {}, StackName=NAME)

    done = deployed(site, screen.typing("n"))

    assert [each.outcome for each in done] == ["declined"]
    assert "the empty stack that it left is removed first" in screen.text


def test_an_empty_stack_that_cannot_be_removed_says_so(site, screen):
    site.status("ROLLBACK_COMPLETE")
    removed(site, *FIRST_FAILED, end="DELETE_FAILED")

    with pytest.raises(DeploymentError, match=r"relay-a is DELETE_FAILED: .* remove it again"):
        deployed(site, screen.yes())


@pytest.mark.parametrize("status", ["ROLLBACK_COMPLETE", "REVIEW_IN_PROGRESS"])
def test_a_dry_run_touches_no_stack_that_holds_nothing(site, screen, status):
    site.status(status)

    done = deployed(site, screen.typing(), Options(dry_run=True))

    assert [(each.outcome, [c.logical_id for c in each.changes]) for each in done] == [("shown", ["Bucket"])]


def test_a_stack_with_a_change_set_that_nobody_carried_out_is_new(site):
    site.status("REVIEW_IN_PROGRESS")
    site.forgotten()
    site.made("CREATE")
    site.change_set(changes=[going("Add")])

    proposal = Stack(site.cloudformation, NAME, site.paused.append).propose(TEMPLATE, {}, site.put_template)

    assert [each.action for each in proposal.changes] == ["Add"]


def test_roles_are_acknowledged_and_named_ones_as_such():
    role = {"Type": "AWS::IAM::Role", "Properties": {}}
    named = {"Type": "AWS::IAM::Role", "Properties": {"RoleName": "mine"}}

    assert capabilities(TEMPLATE) == []
    assert capabilities({"Resources": {"R": role}}) == ["CAPABILITY_IAM"]
    assert capabilities({"Resources": {"R": role, "N": named}}) == ["CAPABILITY_NAMED_IAM"]


def test_ctrl_c_leaves_cloudformation_going(site, screen):
    site.status("UPDATE_COMPLETE")
    site.status("UPDATE_COMPLETE")
    site.forgotten()
    site.made("UPDATE")
    site.change_set(changes=[going("Add")])
    site.status("UPDATE_COMPLETE")
    site.events((1, NAME, "UPDATE_COMPLETE", ""))
    site.says("execute_change_set", {}, ChangeSetName=SET, StackName=NAME, RetainExceptOnCreate=True)
    site.events((2, NAME, "UPDATE_IN_PROGRESS", ""), (1, NAME, "UPDATE_COMPLETE", ""))

    def interrupt(seconds):
        raise KeyboardInterrupt

    # Nothing is cancelled: after the last event that was seen there is no further call.
    with pytest.raises(KeyboardInterrupt):
        deploy(site, {NAME: TEMPLATE}, lambda: None, screen.yes(), Options(), interrupt)


def test_what_is_called_a_pipelines_stack_is_what_the_template_says():
    text = (ROOT / "tests/stacks/snapshots/relay-digits.json").read_text()
    assert f'"Description": "{deployment.OF_PIPELINE}digits"' in text
    triggered = (ROOT / "tests/stacks/snapshots/relay-everything.json").read_text()
    assert f'"{deployment.API_OUTPUT}' in triggered
