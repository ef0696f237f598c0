"""The record of a job, the answers of Describe and List that are made from it, and its file.

Field names and their meaning: DescribeTrainingJob and DescribeProcessingJob API reference.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any

from workflows.local.messages import Fixed, Growing, Overlaid, form
from workflows.local.sagemaker.json_files import read, write
from workflows.local.sagemaker.workload import JSON, Kind
from workflows.local.service_model import operation_model

INTERNAL_ERROR = "InternalServerError: We encountered an internal error. Please try again."
TERMINAL = ("Completed", "Failed", "Stopped")

MESSAGES = {
    "Starting": "Starting the training job.",
    "Downloading": "Downloading input data",
    "Training": "Training image download completed. Training in progress.",
    "Interrupted": "Spot instance interruption; the training job will be restarted.",
    "Uploading": "Uploading generated training model",
    "Stopping": "Stopping the training job",
    "Stopped": "Training job stopped",
    "Completed": "Training job completed",
    "Failed": "Training job failed",
    "MaxRuntimeExceeded": "Training job runtime exceeded MaxRuntimeInSeconds provided",
    "MaxWaitTimeExceeded": "Training job exceeded MaxWaitTimeInSeconds provided",
}
"""StatusMessages as consoles and SDK logs print them; that of Interrupted is not published."""


@dataclass
class Record:
    """The state of one job, from which Describe and List answer."""

    kind: Kind
    name: str
    arn: str
    request: JSON
    tags: dict[str, str]
    created: datetime
    modified: datetime
    status: str = "InProgress"
    secondary: str = "Starting"
    reason: str | None = None
    exit_message: str | None = None
    transitions: Growing = field(default_factory=Growing)
    started: datetime | None = None
    ended: datetime | None = None
    seconds: float | None = None
    """Seconds on instances; waiting for capacity is not among them."""
    artifacts: str | None = None
    metrics: list[JSON] = field(default_factory=list)

    def __setattr__(self, name: str, value: Any) -> None:
        """Describes the job anew after each change of a field; earlier descriptions stay as they were.

        A transition (`enter`, `close`, `say`) goes another way and keeps the ground: it changes only
        members that are laid over it.
        """
        known = self.__dict__
        if known.get(name, known) is not value:
            known[name] = value
            known["_ground"] = known["_described"] = None

    @property
    def described(self) -> Overlaid:
        """The answer of DescribeTrainingJob or DescribeProcessingJob, made once between two changes."""
        known = self.__dict__
        kept: Overlaid | None = known["_described"]
        if kept is None:
            kept = known["_described"] = Overlaid(*self.parts())
        return kept

    def parts(self) -> tuple[Fixed, JSON]:
        """Returns the description in two parts: an older one, and the few members that have changed since.

        Most changes are transitions, which change the same few members each time.
        """
        known = self.__dict__
        moving = _moving_training(self) if self.kind == "training" else _moving_processing(self)
        ground: Fixed | None = known["_ground"]
        if ground is None:
            whole = _training(self, moving) if self.kind == "training" else _processing(self, moving)
            ground = known["_ground"] = Fixed(whole)
        return ground, moving

    @property
    def terminal(self) -> bool:
        """Whether the job has ended for good."""
        return self.status in TERMINAL

    def enter(self, now: datetime, status: str, secondary: str) -> None:
        """Close the last transition and open the next, as SecondaryStatusTransitions shows them."""
        if self.transitions:
            self.close(now)
        opened = {"Status": secondary, "StartTime": now, "StatusMessage": MESSAGES[secondary]}
        self.transitions.append(opened)
        known = self.__dict__
        known["status"], known["secondary"], known["modified"] = status, secondary, now
        known["_described"] = None

    def close(self, now: datetime) -> None:
        """Give the last transition its end, if it has none."""
        last = self.transitions[-1]
        if "EndTime" not in last:
            self._replace_last({**last, "EndTime": now})

    def say(self, message: str) -> None:
        """Give the last transition another message."""
        last = self.transitions[-1]
        if last["StatusMessage"] != message:
            self._replace_last({**last, "StatusMessage": message})

    def _replace_last(self, transition: JSON) -> None:
        self.transitions[-1] = transition
        self.__dict__["_described"] = None


def _moving_training(record: Record) -> JSON:
    return {
        "TrainingJobStatus": record.status,
        "SecondaryStatus": record.secondary,
        "LastModifiedTime": record.modified,
        "SecondaryStatusTransitions": record.transitions.as_it_is(),
    }


def _training(record: Record, moving: JSON) -> JSON:
    described: JSON = {
        **form(record.request, _repeated),
        "TrainingJobName": record.name,
        "TrainingJobArn": record.arn,
        "TrainingJobStatus": record.status,  # with the next, for their place
        "SecondaryStatus": record.secondary,
        "CreationTime": record.created,
        **moving,
        **form(record.request, _flags),
    }
    optional = {
        "FailureReason": record.reason,
        "TrainingStartTime": record.started,
        "TrainingEndTime": record.ended,
    }
    described |= {name: value for name, value in optional.items() if value is not None}
    if record.artifacts:
        described["ModelArtifacts"] = {"S3ModelArtifacts": record.artifacts}
    if record.metrics:
        described["FinalMetricDataList"] = [dict(each) for each in record.metrics]
    if record.seconds is not None:
        # A started second counts whole. Billable seconds are seconds on instances, without the spot
        # discount, which is left to the price (AWS.md 2.6).
        whole = math.ceil(round(record.seconds, 6))
        described |= {"TrainingTimeInSeconds": whole, "BillableTimeInSeconds": whole}
    return described


def _repeated(request: JSON) -> JSON:
    """The request as AWS repeats it, with what it fills in itself (AWS.md 2.8)."""
    repeated = {
        **echo("DescribeTrainingJob", request),
        "StoppingCondition": {"MaxRuntimeInSeconds": 86400, **request.get("StoppingCondition", {})},
        "OutputDataConfig": {"KmsKeyId": "", **request["OutputDataConfig"]},
    }
    if "InputDataConfig" in request:
        repeated["InputDataConfig"] = [_channel(channel) for channel in request["InputDataConfig"]]
    return repeated


def _channel(channel: JSON) -> JSON:
    filled = {"CompressionType": "None", "RecordWrapperType": "None", **channel}
    source = channel["DataSource"].get("S3DataSource")
    if source is not None:
        spread = {"S3DataDistributionType": "FullyReplicated", **source}
        filled["DataSource"] = {**channel["DataSource"], "S3DataSource": spread}
    return filled


def _flags(request: JSON) -> JSON:
    names = ("EnableNetworkIsolation", "EnableInterContainerTrafficEncryption", "EnableManagedSpotTraining")
    return {name: bool(request.get(name)) for name in names}


def echo(operation: str, request: JSON) -> JSON:
    """The members of the request that the answer of `operation` repeats."""
    return {name: request[name] for name in _members(operation) if name in request}


@cache
def _members(operation: str) -> tuple[str, ...]:
    return tuple(operation_model("sagemaker", operation).output_shape.members)


def _moving_processing(record: Record) -> JSON:
    return {"ProcessingJobStatus": record.status, "LastModifiedTime": record.modified}


def _processing(record: Record, moving: JSON) -> JSON:
    described = {
        **echo("DescribeProcessingJob", record.request),
        "ProcessingJobName": record.name,
        "ProcessingJobArn": record.arn,
        "ProcessingJobStatus": record.status,
        "CreationTime": record.created,
        **moving,
    }
    optional = {
        "FailureReason": record.reason,
        "ExitMessage": record.exit_message,
        "ProcessingStartTime": record.started,
        "ProcessingEndTime": record.ended,
    }
    return described | {name: value for name, value in optional.items() if value is not None}


def summary(record: Record) -> JSON:
    """The job's entry in ListTrainingJobs or ListProcessingJobs."""
    prefix = record.kind.capitalize()
    answer: JSON = {
        f"{prefix}JobName": record.name,
        f"{prefix}JobArn": record.arn,
        f"{prefix}JobStatus": record.status,
        "CreationTime": record.created,
        "LastModifiedTime": record.modified,
    }
    if record.terminal and record.ended:
        answer[f"{prefix}EndTime"] = record.ended
    if record.kind == "processing":
        if record.reason:
            answer["FailureReason"] = record.reason
    else:
        answer["SecondaryStatus"] = record.secondary
    return answer


class RecordStore:
    """The records' files, `<folder>/<kind>-jobs/<name>.json`; without a folder nothing is kept.

    A job's name is safe as a file's: the service model allows letters, digits and hyphens only.
    """

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder

    def save(self, record: Record) -> None:
        """Write one record atomically."""
        if self._folder is None:
            return
        write(self._folder / f"{record.kind}-jobs" / f"{record.name}.json", asdict(record))

    def load(self, now: datetime) -> Iterator[Record]:
        """Every record; one that was in progress when the world died comes back as Failed."""
        if self._folder is None:
            return
        for path in sorted(self._folder.glob("*-jobs/*.json")):
            kept = read(path)
            record = Record(**{**kept, "transitions": Growing(kept["transitions"])})
            if not record.terminal:
                record.reason = INTERNAL_ERROR
                # Time on instances after the last sign of life is not known, and not charged.
                record.seconds = record.seconds or (0.0 if record.started else None)
                record.ended = record.modified if record.started else None
                record.enter(max(now, record.modified), "Failed", "Failed")
                record.close(record.modified)
                self.save(record)
            yield record
