"""The types of SageMaker jobs that stages run, and how AWS's APIs, ARNs, logs and quotas name them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class JobType:
    """One type of job. `word` stands in the names of its API: Create{word}Job, {word}JobName."""

    word: str
    spot: bool  # whether SageMaker offers it spot capacity

    @property
    def name(self) -> str:
        """The member that names a job of the type."""
        return f"{self.word}JobName"

    @property
    def status(self) -> str:
        """The member that holds its status: InProgress, Completed, Failed, Stopping, Stopped."""
        return f"{self.word}JobStatus"

    @property
    def summaries(self) -> str:
        """The member that holds a page of its list."""
        return f"{self.word}JobSummaries"

    @property
    def lower(self) -> str:
        """The word in boto3's method names, ARNs and Service Quotas."""
        return self.word.lower()

    def call(self, client: Any, verb: str, **request: Any) -> Mapping[str, Any]:
        """Call boto3's `{verb}_{word}_job` (`describe`, `stop`)."""
        answer: Mapping[str, Any] = getattr(client, f"{verb}_{self.lower}_job")(**request)
        return answer

    def pages(self, client: Any, **request: Any) -> Any:
        """The pages of boto3's `list_{word}_jobs`."""
        return client.get_paginator(f"list_{self.lower}_jobs").paginate(**request)


TRAINING = JobType("Training", spot=True)
PROCESSING = JobType("Processing", spot=False)
JOB_TYPES = (TRAINING, PROCESSING)
