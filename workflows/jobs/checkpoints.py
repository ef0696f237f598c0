"""Where a training keeps its checkpoints in S3: bucket, prefix and the two reports in it, as expressions."""

from __future__ import annotations

import json

from workflows.jobs.site import Site
from workflows.ledger.vocabulary import variable
from workflows.specification.stages import JobStage


def checkpoint_bucket(stage: JobStage, site: Site) -> str:
    """The bucket of the stage's checkpoints."""
    return stage.shared_prefix.partition("/")[0] or site.bucket


def checkpoint_folder(stage: JobStage) -> str:
    """The expression of the key prefix of the stage's checkpoints, without the `/` at its end.

    One that the pipeline names is shared by its runs, and divided among the trials of a sweep.
    """
    own = f"${variable(stage.name)}"
    if not stage.shared_prefix:
        return f'{own}.place & "/checkpoints"'
    key = json.dumps(stage.shared_prefix.partition("/")[2])
    return f'{key} & "/" & $string({own}.trial)' if stage.has_trials else key


def checkpoint_key(stage: JobStage, name: str) -> str:
    """The expression of the S3 key of `progress.json` or `complete.json`."""
    return f'{checkpoint_folder(stage)} & "/{name}"'


def checkpoint_uri(stage: JobStage, site: Site, name: str) -> str:
    """The expression of the URI of one of the stage's checkpoint objects."""
    return f'"s3://{checkpoint_bucket(stage, site)}/" & {checkpoint_key(stage, name)}'
