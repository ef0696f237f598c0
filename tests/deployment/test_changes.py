"""Which changes touch data, and what is said of them."""

import pytest

from stacks.deployment.changes import Change, changes_in, of_data
from stacks.deployment.errors import DeploymentError
from stacks.deployment.status import busy, check_deployable


def change(kind, action="Modify", **fields):
    return Change(action, "It", kind, **fields)


BUCKET, TABLE, MACHINE = "AWS::S3::Bucket", "AWS::DynamoDB::Table", "AWS::StepFunctions::StateMachine"


@pytest.mark.parametrize("kind", [BUCKET, TABLE])
@pytest.mark.parametrize(
    ("fields", "remark"),
    [
        ({"action": "Remove", "policy": "Delete"}, "ITS DATA ARE LOST"),
        ({"action": "Remove", "policy": "Retain"}, "leaves the stack, and its data stay where they are"),
        ({"replacement": "True", "policy": "ReplaceAndDelete"}, "ITS DATA ARE LOST"),
        ({"replacement": "True", "policy": "ReplaceAndRetain"}, "leaves the stack, and its data stay where"),
        ({"replacement": "Conditional", "policy": ""}, "ITS DATA ARE LOST"),
    ],
)
def test_what_parts_from_data_is_never_taken_for_harmless(kind, fields, remark):
    found = change(kind, **fields)

    assert of_data([found]) == [found]
    assert found.remark.startswith(remark)


@pytest.mark.parametrize(
    "found",
    [
        change(BUCKET, "Add"),
        change(BUCKET, "Import"),
        change(BUCKET, properties=("LifecycleConfiguration",)),
        change("AWS::S3::BucketPolicy", "Remove", policy="Retain"),
        change("AWS::IAM::Role", "Remove", policy="Delete"),
        change(MACHINE, "Remove", policy="Delete"),
    ],
)
def test_the_rest_may_go(found):
    assert of_data([found]) == []


def test_that_histories_go_with_their_machine_is_said():
    assert change(MACHINE, replacement="True").remark == "the histories of its runs are lost"


def test_changes_come_from_every_page_what_goes_first():
    def page(action, name, **more):
        return {
            "Changes": [
                {
                    "Type": "Resource",
                    "ResourceChange": {
                        "Action": action, "LogicalResourceId": name, "ResourceType": BUCKET, **more
                    },
                }
            ]
        }  # fmt: skip

    details = [
        {"Target": {"Attribute": "Properties", "Name": "Tags"}},
        {"Target": {"Attribute": "Properties", "Name": "Tags"}},
        {"Target": {"Attribute": "DeletionPolicy"}},
    ]
    pages = [
        page("Add", "New"),
        page("Modify", "Kept", Replacement="False", Details=details),
        page("Remove", "Old", PolicyAction="Retain"),
    ]

    found = changes_in(pages)

    assert [(each.logical_id, each.goes) for each in found] == [
        ("Old", True),
        ("New", False),
        ("Kept", False),
    ]
    assert found[2].properties == ("DeletionPolicy", "Tags")


@pytest.mark.parametrize(
    ("status", "words"),
    [
        ("CREATE_FAILED", "aws cloudformation delete-stack --stack-name relay-a --region eu-west-1"),
        ("UPDATE_ROLLBACK_FAILED", "continue-update-rollback --stack-name relay-a --region eu-west-1"),
        ("UPDATE_IN_PROGRESS", "wait for its end"),
        ("UPDATE_ROLLBACK_COMPLETE_CLEANUP_IN_PROGRESS", "wait for its end"),
        ("DELETE_FAILED", "remove it again"),
        ("ROLLBACK_FAILED", "delete the stack there"),
    ],
)
def test_a_stack_that_takes_no_change_says_what_to_do(status, words):
    with pytest.raises(DeploymentError) as caught:
        check_deployable("relay-a", status, "eu-west-1")

    assert f"relay-a is {status}" in str(caught.value)
    assert words in str(caught.value)


@pytest.mark.parametrize(
    "status",
    [
        "",
        "REVIEW_IN_PROGRESS",
        "ROLLBACK_COMPLETE",
        "CREATE_COMPLETE",
        "UPDATE_COMPLETE",
        "UPDATE_ROLLBACK_COMPLETE",
    ],
)
def test_the_others_take_one(status):
    check_deployable("relay-a", status, "eu-west-1")
    assert not busy(status)
