"""Which kind of stage runs which type of job."""

from __future__ import annotations

from typing import Any

from workflows.jobs.job import Job
from workflows.jobs.job_types import JOB_TYPES, JobType
from workflows.jobs.processing import ProcessingJob
from workflows.jobs.training import TrainingJob, TrialJob
from workflows.specification.pipeline import Pipeline
from workflows.specification.stages import JobStage

JOBS: dict[str, type[Job[Any]]] = {"train": TrainingJob, "sweep": TrialJob, "process": ProcessingJob}
"""Kind of stage -> its jobs. A kind that is not here runs none."""


def job_of(stage: JobStage) -> Job[Any]:
    """The stage as the machine runs it."""
    return JOBS[stage.kind](stage)


def job_types(pipeline: Pipeline) -> tuple[JobType, ...]:
    """The types of jobs that a pipeline runs, each once."""
    used = {JOBS[stage.kind].type for stage in pipeline.jobs}
    return tuple(each for each in JOB_TYPES if each in used)
