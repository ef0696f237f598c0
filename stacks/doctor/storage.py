"""The bucket, the table and the key: there, ours, in the region, and as Relay needs them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from botocore.exceptions import ClientError

from stacks.doctor.findings import DENIED, FAIL, OK, UNKNOWN, WARN, Finding, is_missing
from workflows.ledger.attempts import PARTITION_KEY, SORT_KEY

DEPLOY = "relay deploy makes it"
OLD_NAMES = {None: "us-east-1", "EU": "eu-west-1"}  # what GetBucketLocation calls these two


def check_bucket(s3: Any, bucket: str, account: str, region: str, *, made: bool) -> Iterator[Finding]:
    """Looks at the bucket. `made`: whether the stack `relay` makes it."""
    subject = f"bucket {bucket}"
    try:
        s3.head_bucket(Bucket=bucket, ExpectedBucketOwner=account)
    except ClientError as error:
        if error.response["Error"]["Code"] in DENIED:
            yield Finding(
                subject, UNKNOWN, "you may not look at it, or another account has it",
                "allow s3:ListBucket; if it is another's, set `bucket` in cdk.json",
            )  # fmt: skip
            return
        if error.response["Error"]["Code"] not in {"301", "400"}:  # those: it is there, elsewhere
            is_missing(error, "404", "NoSuchBucket")
            verdict, to_do = (WARN, DEPLOY) if made else (FAIL, "make it, or correct `bucket` in cdk.json")
            yield Finding(subject, verdict, "not there yet" if made else "there is none", to_do)
            return
    place = s3.get_bucket_location(Bucket=bucket).get("LocationConstraint")
    place = OLD_NAMES.get(place, place)
    if place != region:
        to_do = (
            f"take a bucket in {region}, or change `region`: jobs need their checkpoints in their own region"
        )
        yield Finding(subject, FAIL, f"in {place}, and jobs run in {region}", to_do)
        return
    yield from _as_needed(s3, subject, bucket)


def _as_needed(s3: Any, subject: str, bucket: str) -> Iterator[Finding]:
    lacking = []
    if s3.get_bucket_versioning(Bucket=bucket).get("Status") != "Enabled":
        lacking.append("versioning (what is overwritten or deleted is lost)")
    try:
        policy = s3.get_bucket_policy(Bucket=bucket)["Policy"]
    except ClientError as error:
        is_missing(error, "NoSuchBucketPolicy")
        policy = ""
    if "aws:SecureTransport" not in policy:
        lacking.append("a policy that refuses plain HTTP")
    if lacking:
        yield Finding(subject, WARN, f"there, without {' and '.join(lacking)}", "set that on the bucket")
    else:
        yield Finding(subject, OK, "there, in the region, versioned, TLS only")


def check_table(dynamodb: Any, table: str, *, made: bool) -> Iterator[Finding]:
    """Looks at the table. `made`: whether the stack `relay` makes it."""
    subject = f"table {table}"
    try:
        told = dynamodb.describe_table(TableName=table)["Table"]
    except ClientError as error:
        is_missing(error, "ResourceNotFoundException")
        verdict, to_do = (WARN, DEPLOY) if made else (FAIL, "make it, or correct `table` in cdk.json")
        yield Finding(subject, verdict, "not there yet" if made else "there is none", to_do)
        return
    keys = {each["KeyType"]: each["AttributeName"] for each in told["KeySchema"]}
    if keys == {"HASH": PARTITION_KEY, "RANGE": SORT_KEY}:
        yield Finding(subject, OK, f"there, {told['TableStatus'].lower()}")
    else:
        seen = " and ".join(keys.values())
        to_do = f"take a table with the partition key {PARTITION_KEY} and the sort key {SORT_KEY}"
        yield Finding(subject, FAIL, f"its keys are {seen}", to_do)


def check_key(kms: Any, arn: str, region: str) -> Iterator[Finding]:
    """The key of bucket and table."""
    subject = f"key {arn.rpartition('/')[2]}"
    if arn.split(":")[3] != region:
        yield Finding(
            subject, FAIL, f"in {arn.split(':')[3]}", f"take a key in {region}: kms_key in cdk.json"
        )
        return
    try:
        told = kms.describe_key(KeyId=arn)["KeyMetadata"]
    except ClientError as error:
        is_missing(error, "NotFoundException")
        yield Finding(subject, FAIL, "there is no such key", "correct kms_key in cdk.json")
        return
    if told["KeyState"] == "Enabled":
        yield Finding(subject, OK, "enabled")
    else:
        yield Finding(subject, FAIL, told["KeyState"], "enable it, or take another: kms_key in cdk.json")
