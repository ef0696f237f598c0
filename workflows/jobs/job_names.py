"""The names of jobs: whose they are is told by how they begin, which of them it is by the rest.

digits--train-1a2b3c4d5e-6f7a8b0c1d2e3f-0-2
pipeline, stage, run, stage and content, redrives, attempt
"""

from __future__ import annotations

import hashlib

from workflows.specification.aws_limits import LONGEST_JOB_NAME
from workflows.specification.pipeline import END_OF_OWNER

OWNER_TAG = "relay:pipeline"  # the tag that names a job's pipeline; roles stop no job without it
STAGE_ID, CONTENT = 6, 8  # hexadecimal digits in a job's name: whose it is, and what it computes
LONGEST_OWNER = 20  # characters of a pipeline's name, which leaves its stages at least six
# "-<tag of 10>-<stage and content>-<redrives>-<attempt>", with room for 999 redrives and 9,999 attempts
_SUFFIX = 1 + 10 + 1 + STAGE_ID + CONTENT + 1 + 3 + 1 + 4


def stage_id(pipeline: str, stage: str) -> str:
    """A few digits that tell the jobs of a stage from all others, whatever is cut off from their names."""
    return _digits(f"{pipeline}/{stage}")


def job_base(pipeline: str, stage: str) -> str:
    """The beginning of the job names of a stage, for people; what is too long is cut."""
    return (job_prefix(pipeline) + stage)[: LONGEST_JOB_NAME - _SUFFIX].rstrip("-")


def job_prefix(pipeline: str) -> str:
    """The text with which the job names of a pipeline begin, and those of no other.

    Roles, the watch's rule and `relay destroy` tell a pipeline's jobs by it: those of `digits-large` must not
    be taken for jobs of `digits`, which is why no pipeline's name has two hyphens in a row.
    """
    if len(pipeline) > LONGEST_OWNER:
        pipeline = f"{pipeline[: LONGEST_OWNER - 1 - STAGE_ID].rstrip('-')}-{_digits(pipeline)}"
    return pipeline + END_OF_OWNER


def _digits(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:STAGE_ID]
