"""Real worlds for the tests: short scripts as entry points, and waits on conditions."""

from __future__ import annotations

import faulthandler
import json
import sys
import textwrap
import time
from collections.abc import Callable
from typing import Any

from tests.training_jobs import training_job
from workflows.local.server import LocalWorld


def submit(world: LocalWorld, name: str, script: str, **changes: Any) -> None:
    """Create a training job whose `code` channel holds the script."""
    world.client("s3").put_object(
        Bucket="bucket", Key=f"code/{name}/train.py", Body=textwrap.dedent(script).encode()
    )
    request = training_job(name, **changes)
    request["InputDataConfig"] = [
        channel("code", f"s3://bucket/code/{name}/"),
        *request.get("InputDataConfig", []),
    ]
    world.client("sagemaker").create_training_job(**request)


def channel(name: str, uri: str) -> dict[str, Any]:
    """A channel of an S3 prefix."""
    source = {"S3DataType": "S3Prefix", "S3Uri": uri}
    return {"ChannelName": name, "DataSource": {"S3DataSource": source}}


def until(condition: Callable[[], Any], seconds: float = 60.0) -> Any:
    """Poll until the condition holds; its value. The limit is for what never comes, not for what is slow.

    What every thread was doing then is printed: what never comes is seldom seen twice.
    """
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        found = condition()
        if found:
            return found
        time.sleep(0.02)
    faulthandler.dump_traceback(sys.__stderr__)
    raise AssertionError(f"not within {seconds} s: {condition}")


def final(world: LocalWorld, name: str, seconds: float = 60.0) -> dict[str, Any]:
    """The description of a job once it has ended."""
    client = world.client("sagemaker")

    def ended() -> dict[str, Any] | None:
        job: dict[str, Any] = client.describe_training_job(TrainingJobName=name)
        return job if job["TrainingJobStatus"] in ("Completed", "Failed", "Stopped") else None

    try:
        found: dict[str, Any] = until(ended, seconds)
    except AssertionError as error:
        job = client.describe_training_job(TrainingJobName=name)
        raise AssertionError(f"{error}; the job: {job['SecondaryStatusTransitions']}") from error
    return found


def statuses(job: dict[str, Any]) -> list[str]:
    """The secondary statuses that a job went through."""
    return [each["Status"] for each in job["SecondaryStatusTransitions"]]


def log_of(world: LocalWorld, job: str, host: str = "algo-1") -> str:
    """What a host of a job wrote."""
    return world.logs(job)[host].read_text()


def saved_step(world: LocalWorld) -> int:
    """What the job's progress.json in S3 says; 0 while it is not there."""
    listed = world.client("s3").list_objects_v2(Bucket="bucket", Prefix="run/checkpoints/progress.json")
    if not listed.get("Contents"):
        return 0
    found = world.client("s3").get_object(Bucket="bucket", Key="run/checkpoints/progress.json")
    return int(json.loads(found["Body"].read())["saved_step"])
