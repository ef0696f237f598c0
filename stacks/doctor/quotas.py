"""Whether every rung has the instances that it needs; spot, on-demand and processing are counted apart."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from stacks.doctor.findings import FAIL, OK, UNKNOWN, WARN, Finding
from workflows.jobs.kinds import job_of
from workflows.specification.pipeline import Pipeline
from workflows.specification.settings import PlacedRung
from workflows.specification.stages import JobStage

CONSOLE = "ask for more in Service Quotas (SageMaker, that name); it may take days"


@dataclass(frozen=True)
class Rung:
    """What a stage needs to run there: `count` instances of a type at once."""

    instance_type: str
    usage: str
    count: int

    @property
    def quota(self) -> str:
        """The quota's name in Service Quotas."""
        return f"{self.instance_type} for {self.usage}"


def ladders(pipeline: Pipeline) -> Iterator[tuple[str, Sequence[Rung]]]:
    """(stage, rungs) of each market that a stage may use; on one of its rungs it has to fit."""
    for stage in pipeline.jobs:
        usage = f"{job_of(stage).type.lower} job usage"
        if stage.on_spot:
            yield stage.name, _needed(stage, stage.spot_rungs(), f"spot {usage}")
        if stage.on_demand.enabled:
            yield stage.name, _needed(stage, stage.on_demand_rungs(), usage)


def _needed(stage: JobStage, rungs: Sequence[PlacedRung], usage: str) -> list[Rung]:
    """What all trials that run at once need together; a stage that is no sweep is one."""
    return [Rung(rung.type, usage, rung.count * stage.trials_at_once) for rung in rungs]


def quotas(client: Any) -> dict[str, float]:
    """Name -> value, of Service Quotas: the account's own where there is one, else AWS's default."""
    found: dict[str, float] = {}
    for operation in ("list_aws_default_service_quotas", "list_service_quotas"):
        for page in client.get_paginator(operation).paginate(ServiceCode="sagemaker"):
            found |= {each["QuotaName"]: each["Value"] for each in page["Quotas"] if "Value" in each}
    return found


def judged(pipeline: Pipeline, known: Mapping[str, float]) -> Iterator[Finding]:
    """A line for each quota that a ladder uses. That other jobs use up a quota cannot be seen here."""
    verdicts: dict[str, list[Finding]] = {}
    for stage, rungs in ladders(pipeline):
        enough = any(known.get(rung.quota, 0) >= rung.count for rung in rungs)
        for rung in rungs:
            verdicts.setdefault(rung.quota, []).append(_one(stage, rung, known.get(rung.quota), enough))
    order = (FAIL, WARN, UNKNOWN, OK)
    for found in verdicts.values():
        yield min(found, key=lambda each: order.index(each.verdict))


def _one(stage: str, rung: Rung, value: float | None, other: bool) -> Finding:
    subject = f"quota {rung.quota}"
    if value is None:
        return Finding(
            subject, UNKNOWN, "Service Quotas lists none of that name",
            f"see whether {rung.instance_type} is offered in the region",
        )  # fmt: skip
    seen = f"{value:g}, and {stage} needs {rung.count}"
    if value >= rung.count:
        return Finding(subject, OK, seen)
    if other:
        return Finding(subject, WARN, f"{seen}: it goes to another rung", CONSOLE)
    return Finding(subject, FAIL, f"{seen}: it fits on no rung", CONSOLE)
