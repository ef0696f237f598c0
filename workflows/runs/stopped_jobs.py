"""The jobs that ran when their run was stopped: no line of the ledger tells of them, and they cost, too."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from workflows.ledger.run_view import RunView


def complete(view: RunView, sagemaker: Any) -> None:
    """Adds them to the view of an ended run, as SageMaker describes them. `sagemaker`: a boto3 client."""
    for kind in ("training", "processing") if view.tag else ():
        for name in view.untold(_jobs_of(sagemaker, kind, view.tag)):
            _add(view, sagemaker, kind, name)


def _add(view: RunView, sagemaker: Any, kind: str, name: str) -> None:
    title = kind.capitalize()
    job = getattr(sagemaker, f"describe_{kind}_job")(**{f"{title}JobName": name})
    listed = sagemaker.list_tags(ResourceArn=job[f"{title}JobArn"])["Tags"]
    tags = {tag["Key"]: tag["Value"] for tag in listed}
    trial = int(tags["relay:trial"]) if "relay:trial" in tags else None
    figures = _training_figures(job) if kind == "training" else _processing_figures(job)
    view.add_stopped(name, tags["relay:stage"], figures, trial=trial)


def _jobs_of(sagemaker: Any, kind: str, tag: str) -> Iterator[str]:
    """The names of a run's jobs; a sweep's are more than one page."""
    title = kind.capitalize()
    for page in sagemaker.get_paginator(f"list_{kind}_jobs").paginate(NameContains=tag):
        yield from (summary[f"{title}JobName"] for summary in page[f"{title}JobSummaries"])


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
