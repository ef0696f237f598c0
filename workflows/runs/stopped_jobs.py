"""The jobs that ran when their run was stopped: no line of the ledger tells of them, and they cost, too."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from workflows.jobs.job_types import JOB_TYPES, PROCESSING, TRAINING, JobType
from workflows.ledger.run_view import RunView


def complete(view: RunView, sagemaker: Any) -> None:
    """Adds them to the view of an ended run, as SageMaker describes them. `sagemaker`: a boto3 client."""
    for its in JOB_TYPES if view.tag else ():
        for name in view.untold(_jobs_of(sagemaker, its, view.tag)):
            _add(view, sagemaker, its, name)


def _add(view: RunView, sagemaker: Any, its: JobType, name: str) -> None:
    job = its.call(sagemaker, "describe", **{its.name: name})
    listed = sagemaker.list_tags(ResourceArn=job[f"{its.word}JobArn"])["Tags"]
    tags = {tag["Key"]: tag["Value"] for tag in listed}
    trial = int(tags["relay:trial"]) if "relay:trial" in tags else None
    figures = _FIGURES[its](job)
    view.add_stopped(name, tags["relay:stage"], figures, trial=trial)


def _jobs_of(sagemaker: Any, its: JobType, tag: str) -> Iterator[str]:
    """The names of a run's jobs; a sweep's are more than one page."""
    for page in its.pages(sagemaker, NameContains=tag):
        yield from (summary[its.name] for summary in page[its.summaries])


def _training_figures(job: Mapping[str, Any]) -> dict[str, Any]:
    """What a ledger entry says of a training job's place and time."""
    changes, place = job.get("SecondaryStatusTransitions", []), job["ResourceConfig"]
    return {
        "market": "spot" if job.get("EnableManagedSpotTraining") else "on-demand",
        # A job that named several types (InstancePreferences) says which one it got, if it got one.
        "instance_type": place.get("SelectedInstanceType") or place.get("InstanceType", "any"),
        "instance_count": place.get("SelectedInstanceCount") or place.get("InstanceCount", 1),
        "trained_seconds": job.get("TrainingTimeInSeconds", 0),
        "billed_seconds": job.get("BillableTimeInSeconds", None if "TrainingStartTime" in job else 0),
        "interruptions": sum(change["Status"] == "Interrupted" for change in changes),
    }


def _processing_figures(job: Mapping[str, Any]) -> dict[str, Any]:
    """The same of a processing job, which bills from its start to its end."""
    place = job["ProcessingResources"]["ClusterConfig"]
    start, end = job.get("ProcessingStartTime"), job.get("ProcessingEndTime")
    seconds = round((end - start).total_seconds()) if start and end else 0
    return {
        "market": "on-demand",
        "instance_type": place["InstanceType"],
        "instance_count": place["InstanceCount"],
        "trained_seconds": seconds,
        "billed_seconds": seconds,
        "interruptions": 0,
    }


_FIGURES = {TRAINING: _training_figures, PROCESSING: _processing_figures}
