"""Removing what was deployed: what is asked, what is refused, and what always stays."""

import json
from types import SimpleNamespace

import pytest

from stacks.deployment.deploy import Options, deploy
from stacks.deployment.destroy import chosen, destroy
from stacks.deployment.errors import DeploymentError

BUCKET = "relay-123456789012-us-east-1"
ROLE = "arn:aws:iam::123456789012:role/machine"


@pytest.fixture
def deployed(site, shared, pipeline, screen):
    """The shared stack, a pipeline with a checkpoint, and its machine."""
    deploy(site, {"relay": shared, "relay-digits": pipeline}, lambda: None, screen.yes(), Options(), never)
    site.client("s3").put_object(Bucket=BUCKET, Key="digits/runs/a/checkpoints/1", Body=b"weights")
    site.client("stepfunctions").create_state_machine(
        name="digits",
        definition=json.dumps({"StartAt": "a", "States": {"a": {"Type": "Succeed"}}}),
        roleArn=ROLE,
    )
    return site


def never(seconds):
    raise AssertionError("moto is done at once")


def remove(site, dialogue, *, stop=False, everything=False, pipeline=None):
    names = chosen(site, pipeline, everything=everything)
    return [
        (each.stack, each.outcome)
        for each in destroy(site, names, dialogue, never, stop=stop, everything=everything)
    ]


def stacks(site):
    return {each["StackName"] for each in site.client("cloudformation").describe_stacks()["Stacks"]}


def checkpoints(site):
    return [each["Key"] for each in site.client("s3").list_objects_v2(Bucket=BUCKET).get("Contents", [])]


def start(site, name):
    """A run that moto takes for one in progress; no machine runs there."""
    machine = "arn:aws:states:us-east-1:123456789012:stateMachine:digits"
    return site.client("stepfunctions").start_execution(stateMachineArn=machine, name=name)["executionArn"]


def jobs_in_progress(site, *names):
    """moto's jobs are done at once: these are listed in their place. Returns the names that are stopped."""
    stopped, events = [], site.session.events
    ok = SimpleNamespace(status_code=200)
    listed = {"TrainingJobSummaries": [{"TrainingJobName": name} for name in names]}
    events.register("before-call.sagemaker.ListTrainingJobs", lambda **_: (ok, listed))

    def stop(params, **_):
        stopped.append(json.loads(params["body"])["TrainingJobName"])
        return ok, {}

    events.register("before-call.sagemaker.StopTrainingJob", stop)
    return stopped


def test_a_pipeline_goes_and_what_its_runs_made_stays(deployed, screen):
    assert remove(deployed, screen.typing("digits"), pipeline="digits") == [("relay-digits", "removed")]

    assert stacks(deployed) == {"relay"}
    assert checkpoints(deployed) == ["digits/runs/a/checkpoints/1"]
    assert f"What they made stays in s3://{BUCKET}/digits/" in " ".join(screen.text.split())
    assert f"aws s3 rm s3://{BUCKET}/digits/ --recursive" in screen.text


@pytest.mark.parametrize("typed", ["", "y", "yes", "digit", "relay-digits"])
def test_nothing_but_its_name_removes_it(deployed, screen, typed):
    assert remove(deployed, screen.typing(typed), pipeline="digits") == [("relay-digits", "declined")]

    assert "relay-digits" in stacks(deployed)


def test_a_pipeline_at_work_is_not_removed(deployed, screen):
    start(deployed, "nightly-7")

    with pytest.raises(
        DeploymentError, match=r"digits is at work, and nothing was removed: nightly-7\. Wait"
    ):
        remove(deployed, screen.yes())

    assert "relay-digits" in stacks(deployed)


def test_with_stop_its_runs_and_their_jobs_are_stopped_and_nobody_elses(deployed, screen):
    run = start(deployed, "nightly-7")
    stopped = jobs_in_progress(
        deployed, "digits--pretrain-1", "digits-large--pretrain-1", "other-digits--pretrain-1"
    )

    remove(deployed, screen.typing("digits"), stop=True)

    assert "1 run will be stopped: nightly-7" in screen.text
    told = deployed.client("stepfunctions").describe_execution(executionArn=run)
    assert told["status"] == "ABORTED"
    assert stopped == ["digits--pretrain-1"]


def test_the_shared_stack_is_protected_and_then_nothing_at_all_is_removed(deployed, screen):
    with pytest.raises(
        DeploymentError, match=r"nothing was removed: first aws cloudformation update-termination"
    ):
        remove(deployed, screen.yes(), everything=True)

    assert stacks(deployed) == {"relay", "relay-digits"}


def test_a_shared_stack_without_protection_goes_after_its_pipelines_with_what_stays_named(deployed, screen):
    deployed.session.events.register_last(
        "after-call.cloudformation.DescribeStacks", lambda parsed, **_: _unprotect(parsed)
    )

    done = remove(deployed, screen.typing("digits", "relay"), everything=True)

    assert done == [("relay-digits", "removed"), ("relay", "removed")]
    assert f"The bucket {BUCKET} and the table relay-ledger stay" in screen.text
    assert "delete-bucket" in screen.text
    assert "--no-deletion-protection-enabled" in screen.text


def _unprotect(parsed):
    for stack in parsed.get("Stacks", []):
        stack["EnableTerminationProtection"] = False


def test_a_pipeline_that_is_not_deployed_is_a_mistake(deployed):
    with pytest.raises(DeploymentError, match=r"unknown deployed pipeline `digit`.*did you mean `digits`"):
        chosen(deployed, "digit", everything=False)


def test_all_is_for_everything(deployed, site, pipeline, screen):
    other = {
        **pipeline,
        "Description": "Relay: the pipeline other",
        "Resources": {"Role": pipeline["Resources"]["Role"]},
    }
    deploy(site, {"relay-other": other}, lambda: None, screen.yes(), Options(), never)

    with pytest.raises(DeploymentError, match=r"leave out PIPELINE, and all are removed \(digits, other\)"):
        chosen(deployed, "digits", everything=True)


def test_where_nothing_is_deployed_nothing_is_removed(site, screen):
    assert remove(site, screen.yes()) == []
