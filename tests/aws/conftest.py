"""One installation for the whole suite, made at its beginning and removed at its end."""

from __future__ import annotations

import os
import time

import pytest
from rich.console import Console

from tests.aws.account import Account
from tests.aws.requests import PROBE, probe_policy, trust
from tests.stacks.templates import DIGITS, GRAPH, ROOT

REGION = os.environ.get("RELAY_AWS_REGION", "us-east-1")


def pytest_collection_modifyitems(items):
    skip = pytest.mark.skip(reason="needs a real account and costs about a dollar: RELAY_AWS=1")
    for item in items:
        if item.path.parent.name == "aws":
            item.add_marker(pytest.mark.aws)
            if os.environ.get("RELAY_AWS") != "1":
                item.add_marker(skip)


@pytest.fixture(scope="session")
def settings():
    from stacks.settings import Settings

    schedule = {"expression": "rate(1 day)", "enabled": False}
    return Settings(
        region=REGION,
        pipelines=(DIGITS, GRAPH),
        triggers={"digits": {"schedule": schedule, "api": {}}},
        api_gateway_logs=True,
    )


@pytest.fixture(scope="session")
def account(settings):
    """The installation; what is not the suite's own is never touched, so it refuses one that is there."""
    from stacks.deployment.place import open_site

    made = Account(open_site(settings, profile=os.environ.get("AWS_PROFILE"), region=REGION))
    _refuse_existing(made)
    print(f"\nInstalling Relay for the tests in {made.site.account}/{REGION}; bucket {made.site.bucket}")
    try:
        _install(made)
        yield made
    finally:
        _remove(made)


@pytest.fixture(scope="session")
def outputs(account):
    """What the stack of the digits says of itself."""
    from stacks.deployment.stack import Stack

    return Stack(account.cloudformation, "relay-digits", time.sleep).outputs()


@pytest.fixture(scope="session")
def finished(account, outputs):
    """A run of the digits that went well, by the alias, as a person starts it."""
    started = account.stepfunctions.start_execution(stateMachineArn=outputs["Start"], input="{}")
    return account.ended(started["executionArn"])


@pytest.fixture(scope="session")
def job_role(account):
    """The ARN of the role of the digits' jobs, which their machine may pass on."""
    resources = account.cloudformation.list_stack_resources(StackName="relay-digits")
    (name,) = [
        each["PhysicalResourceId"]
        for each in resources["StackResourceSummaries"]
        if each["LogicalResourceId"].startswith("JobRole")
    ]
    return account.iam.get_role(RoleName=name)["Role"]["Arn"]


@pytest.fixture(scope="session")
def image(settings):
    """The image of the examples."""
    from workflows.specification.images import image_uri
    from workflows.specification.settings import FrameworkImage

    return image_uri(FrameworkImage(framework="sklearn", version="1.2-1"), "ml.m5.xlarge", settings.region)


@pytest.fixture(scope="session")
def probe_role(account, job_role):
    """A role for the suite's own small machines."""
    name = f"{PROBE}-machines"
    made = account.iam.create_role(
        RoleName=name, AssumeRolePolicyDocument=trust("states.amazonaws.com", account.site.account)
    )
    account.iam.put_role_policy(
        RoleName=name, PolicyName="probe", PolicyDocument=probe_policy(REGION, account.site.account, job_role)
    )
    account.pause(15)  # IAM's own words: eventually consistent
    yield made["Role"]["Arn"]
    account.iam.delete_role_policy(RoleName=name, PolicyName="probe")
    account.iam.delete_role(RoleName=name)


@pytest.fixture
def name(account):
    """A name of the suite's own for a machine; the machine goes with the test."""
    made = f"{PROBE}-{os.urandom(4).hex()}"
    yield made
    arn = f"arn:aws:states:{REGION}:{account.site.account}:stateMachine:{made}"
    account.stepfunctions.delete_state_machine(stateMachineArn=arn)


# ------------------------------------------------------------------------------------------- the installation
def _refuse_existing(account):
    from stacks.deployment.stack import Stack
    from stacks.deployment.status import FRESH

    if Stack(account.cloudformation, "relay", time.sleep).status not in FRESH:
        pytest.exit(f"Relay is installed in {account.site.account}/{REGION}: take another region", 2)
    buckets = [each["Name"] for each in account.s3.list_buckets()["Buckets"]]
    tables = account.dynamodb.list_tables()["TableNames"]
    if account.site.bucket in buckets or account.site.settings.table_name in tables:
        pytest.exit(f"a bucket or table of an earlier installation is in {REGION}: take another region", 2)


def _install(account):
    from stacks.app import synthesize
    from stacks.deployment.deploy import Options, deploy
    from stacks.deployment.dialogue import Dialogue
    from stacks.deployment.upload import upload_all

    site = account.site
    templates = synthesize(site.settings, ROOT)

    def upload():
        print(*upload_all(list(site.settings.pipelines), site.settings, ROOT, site.session), sep="\n")

    deploy(site, templates, upload, Dialogue(Console(), yes=True), Options(), time.sleep)


def _remove(account):
    """The installation, as far as it came, and then what one keeps: here all of it is the suite's own."""
    from stacks.deployment.destroy import chosen, destroy
    from stacks.deployment.dialogue import Dialogue
    from stacks.deployment.stack import Stack
    from stacks.deployment.status import NONE

    site = account.site
    if Stack(account.cloudformation, "relay", time.sleep).status != NONE:
        account.cloudformation.update_termination_protection(
            StackName="relay", EnableTerminationProtection=False
        )
        names = chosen(site, None, everything=True)
        destroy(site, names, Dialogue(Console(), yes=True), time.sleep, stop=True, everything=True)
    if site.bucket in [each["Name"] for each in account.s3.list_buckets()["Buckets"]]:
        for page in account.s3.get_paginator("list_object_versions").paginate(Bucket=site.bucket):
            for each in (*page.get("Versions", []), *page.get("DeleteMarkers", [])):
                account.s3.delete_object(Bucket=site.bucket, Key=each["Key"], VersionId=each["VersionId"])
        account.s3.delete_bucket(Bucket=site.bucket)
    table = site.settings.table_name
    if table in account.dynamodb.list_tables()["TableNames"]:
        account.dynamodb.update_table(TableName=table, DeletionProtectionEnabled=False)
        account.dynamodb.delete_table(TableName=table)
