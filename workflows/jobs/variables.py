"""Expressions over the machine's variables: a stage's settings in this run, its rung, its keys in S3."""

from __future__ import annotations

import json

from workflows.jobs.site import Site
from workflows.ledger.vocabulary import variable

MARK = "stopped-by-watch.json"


def settings(stage: str) -> str:
    """The expression of the stage's settings in this run: limits, ladders, parameters."""
    return f"$run.stages.`{stage}`"


def rung(stage: str) -> str:
    """The expression of the rung that the stage is on: type, count, dollars an hour."""
    own = f"${variable(stage)}"
    return f"$lookup({settings(stage)}, {own}.market)[{own}.rung]"


def own_uri(stage: str, site: Site, rest: str) -> str:
    """The expression of a place in the stage's own prefix."""
    return f'"s3://{site.bucket}/" & ${variable(stage)}.place & {json.dumps(rest)}'


def mark_key(stage: str) -> str:
    """The expression of the S3 key at which the capacity watch says that it stops the attempt's job.

    Next to what the job itself leaves, by the job's own name: no script writes there, no later attempt finds
    it, and a stage without a checkpoint prefix has it too.
    """
    return f'${variable(stage)}.place & "/output/" & ${variable(stage)}.job & "/{MARK}"'
