"""Uploads the code and the local inputs of pipelines: `python -m scripts.upload [PIPELINE ...]`.

    the stack relay  ->  python -m scripts.upload  ->  the pipelines' stacks
    (the bucket)         (what machines name)          (the machines)

`relay deploy` does all three; this is the middle one alone, for those who deploy with the cdk command.

CDK's own assets cannot stand for it: their keys are CDK's, in a bucket of CDK's, and to copy them under ours
would take a Lambda function. Ours are digests of contents: what is there already stays as it is, and running
machines keep what they have.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import boto3
from botocore.exceptions import BotoCoreError, ClientError

from stacks.compiled import compile_for
from stacks.settings import Settings, load
from workflows.errors import RelayError
from workflows.materials import upload


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


def main(arguments: list[str]) -> int:
    """Returns the exit code: 2 for a pipeline that cannot be deployed, 1 where AWS refused."""
    try:
        settings = load(Path.cwd())
        paths = arguments or list(settings.pipelines)
        for line in upload_all(paths, settings, Path.cwd(), boto3.Session()):
            print(line)
    except RelayError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    except (BotoCoreError, ClientError) as error:
        print(f"not uploaded: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
