"""Virtual worlds for the tests of the SageMaker platform: a clock, objects, and job requests."""

from __future__ import annotations

import json
from typing import Any

from tests.training_jobs import training_job
from workflows.local.capacity import Capacity, Scripted
from workflows.local.clock import VirtualClock
from workflows.local.objects import MemoryObjects
from workflows.local.sagemaker.modelled import ModelledWorkload
from workflows.local.sagemaker.sagemaker_api import SageMaker
from workflows.local.sagemaker.work_model import WorkModel
from workflows.local.scenario import parse_scenario

PREFIX = "pipeline/runs/r1/pretrain/checkpoints/"


def request(name: str = "job-1", *, spot: bool = True, **changes: Any) -> dict[str, Any]:
    """A CreateTrainingJob request as the compiler makes it."""
    checkpoints = {"S3Uri": f"s3://bucket/{PREFIX}"}
    return training_job(name, spot=spot, **{"CheckpointConfig": checkpoints, **changes})


class World:
    """A SageMaker in virtual time with one modelled stage, `pretrain`."""

    def __init__(
        self,
        model: WorkModel | None = None,
        *,
        scenario: object = None,
        capacity: Capacity | None = None,
        **options: Any,
    ) -> None:
        self.clock = VirtualClock()
        self.objects = MemoryObjects()
        parsed = parse_scenario(scenario)
        self.sagemaker = SageMaker(
            self.clock,
            capacity=capacity or Scripted(parsed.spot, parsed.on_demand),
            workload=ModelledWorkload(
                self.clock, self.objects, {"pretrain": model or WorkModel(seconds=1000, steps=100)}
            ),
            **options,
        )

    def create(self, name: str = "job-1", **changes: Any) -> None:
        self.sagemaker.handle("CreateTrainingJob", request(name, **changes))

    def describe(self, name: str = "job-1") -> dict[str, Any]:
        return self.sagemaker.handle("DescribeTrainingJob", {"TrainingJobName": name})

    def run(self, name: str = "job-1") -> dict[str, Any]:
        """The final description of a job."""
        answer: dict[str, Any] = self.clock.run(self.sagemaker.ended("training", name))
        return answer

    def progress(self, name: str = "progress.json") -> dict[str, Any]:
        content: dict[str, Any] = json.loads(self.objects.get("bucket", PREFIX + name))
        return content

    def transitions(self, name: str = "job-1") -> list[tuple[str, float, float]]:
        """(status, start, end) in seconds since the epoch of the clock."""
        return [
            (
                each["Status"],
                (each["StartTime"] - self.clock.epoch).total_seconds(),
                (each["EndTime"] - self.clock.epoch).total_seconds(),
            )
            for each in self.describe(name)["SecondaryStatusTransitions"]
        ]
