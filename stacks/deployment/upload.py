"""Uploads the code and the local inputs of pipelines to the bucket of an installation.

CDK's own assets cannot stand for it: their keys are CDK's, in a bucket of CDK's, and to copy them under ours
would take a Lambda function. Ours are digests of contents: what is there already stays as it is, and running
machines keep what they have.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import boto3

from stacks.compiled import compile_for
from stacks.settings import Settings
from workflows.jobs.materials import upload


def upload_all(paths: list[str], settings: Settings, folder: Path, session: boto3.Session) -> Iterator[str]:
    """Uploads to the bucket of the session's account, and says so in a line for each pipeline.

    `paths` are relative to `folder`. Lazy: nothing is uploaded before its line is asked for.
    """
    account = session.client("sts").get_caller_identity()["Account"]
    bucket, s3 = settings.bucket_name(account), session.client("s3", region_name=settings.region)
    for path in paths:
        compiled = compile_for(folder / path, settings)
        count = upload(compiled.packed, s3, bucket)
        yield f"{path}: {count} of {len(compiled.packed.uploads)} objects uploaded to s3://{bucket}"
