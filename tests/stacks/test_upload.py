"""What `scripts.upload` uploads is what the machine of the template names."""

import re

import boto3
import pytest
from moto import mock_aws

from tests.stacks.templates import DIGITS, ROOT, Resolved
from workflows.local.server import ACCOUNT, REGION

BUCKET = f"relay-{ACCOUNT}-{REGION}"


@pytest.fixture
def account(monkeypatch):
    """An empty account with the bucket; no request leaves this process."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "relay")
    with mock_aws():
        session = boto3.Session(region_name=REGION)
        session.client("s3").create_bucket(Bucket=BUCKET)
        yield session


def test_everything_that_a_machine_names_is_there_and_the_second_time_nothing_is_uploaded(templates, account):
    from stacks.deployment.upload import upload_all
    from stacks.settings import Settings

    first, second = (line for _ in range(2) for line in upload_all([DIGITS], Settings(), ROOT, account))

    assert first.endswith(f"2 of 2 objects uploaded to s3://{BUCKET}")
    assert second.endswith(f"0 of 2 objects uploaded to s3://{BUCKET}")
    text = Resolved(templates["relay-digits"]).machine("digits")["DefinitionString"]
    (prefix,) = set(re.findall(rf"s3://{BUCKET}/(digits/code/[0-9a-f]+/)", text))
    there = account.client("s3").list_objects_v2(Bucket=BUCKET, Prefix=prefix)["Contents"]
    assert [each["Key"] for each in there] == [f"{prefix}launch.py", f"{prefix}source.tar.gz"]


def test_where_aws_refuses_one_line_says_so(monkeypatch, capsys):
    from scripts import upload

    monkeypatch.chdir(ROOT)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "relay")
    with mock_aws():  # an account without the bucket
        assert upload.main([DIGITS]) == 1

    told = capsys.readouterr().err
    assert "NoSuchBucket" in told
    assert len(told.splitlines()) == 1
