"""What a stage's jobs are given from outside its pipeline: the account's side, and what was uploaded."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from workflows.ledger.attempts import TABLE


@dataclass(frozen=True)
class Site:
    """Where the jobs of a pipeline run: what an account gives, the pipeline does not say."""

    bucket: str
    job_role_arn: str
    partition: str = "aws"
    table: str = TABLE  # of DynamoDB, in which each attempt is written down


CODE, INPUTS = "code/", "inputs/"
"""The parts of a pipeline's own prefix under which its contents lie, each by its digest."""


def content_of(uri: str) -> str:
    """`code/<digest>/` or `inputs/<digest>/` of an uploaded prefix: what it holds, in whichever bucket and
    under whichever pipeline it lies. Empty for an empty URI."""
    return "".join(f"{part}/" for part in uri.rstrip("/").split("/")[-2:] if part)


@dataclass(frozen=True)
class Materials:
    """What a stage builds on: images by instance type, its code, uploaded inputs, earlier stages' results.

    `code_prefix` is empty for a stage without a script.
    """

    code_prefix: str
    images: Mapping[str, str]
    inputs: Mapping[str, str] = field(default_factory=dict)
    results: Mapping[str, str] = field(default_factory=dict)  # finished stage -> variable that holds it
