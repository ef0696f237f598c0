"""Uploads the code and the local inputs of pipelines: `python -m scripts.upload [PIPELINE ...]`.

    the stack relay  ->  python -m scripts.upload  ->  the pipelines' stacks
    (the bucket)         (what machines name)          (the machines)

`relay deploy` does all three; this is the middle one alone, for those who deploy with the cdk command.
"""

from __future__ import annotations

import sys
from pathlib import Path

import boto3
from botocore.exceptions import BotoCoreError, ClientError

from stacks.deployment.upload import upload_all
from stacks.settings import load
from workflows.errors import RelayError


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
