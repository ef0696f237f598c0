"""What the status of a stack allows, and what to do where it allows nothing. Pure."""

from __future__ import annotations

from stacks.deployment.errors import DeploymentError

NONE = ""  # there is no such stack
FRESH = frozenset({NONE, "REVIEW_IN_PROGRESS"})  # the latter: a change set was made and never carried out
EMPTY = "ROLLBACK_COMPLETE"  # a first deployment failed and was undone: nothing is left but the stack's name
GONE = "DELETE_COMPLETE"
WELL = frozenset({"CREATE_COMPLETE", "UPDATE_COMPLETE", "IMPORT_COMPLETE", GONE})

_TO_DO = {
    EMPTY: "its first deployment failed and was undone; an empty stack is left, which can only "
    "be removed: aws cloudformation delete-stack --stack-name {name} --region {region}, then deploy again",
    "ROLLBACK_FAILED": "its first deployment failed and could not be undone: see its events in the "
    "console, delete the stack there, then deploy again",
    "UPDATE_ROLLBACK_FAILED": "an update failed and could not be undone: mend what its events name, then "
    "aws cloudformation continue-update-rollback --stack-name {name} --region {region}",
    "DELETE_FAILED": "it could not be removed whole: see its events, mend what they name, remove it again: "
    "aws cloudformation delete-stack --stack-name {name} --region {region}",
    "CREATE_FAILED": "its first deployment failed and was not undone: delete it, then deploy again: "
    "aws cloudformation delete-stack --stack-name {name} --region {region}",
}


def busy(status: str) -> bool:
    """Whether CloudFormation is at work on the stack."""
    return status.endswith("_IN_PROGRESS") and status not in FRESH


def check_deployable(name: str, status: str, region: str) -> None:
    """Raises DeploymentError for a stack that takes no change set now, with what to do."""
    if busy(status):
        raise DeploymentError(
            f"the stack {name} is {status}: CloudFormation is at work on it; wait for its end and try again"
        )
    if status in _TO_DO and status != EMPTY:  # an empty one is removed first
        raise DeploymentError(f"the stack {name} is {status}: {told(name, status, region)}")


def told(name: str, status: str, region: str) -> str:
    """What to do about a status; empty where there is nothing."""
    return _TO_DO.get(status, "").format(name=name, region=region)
