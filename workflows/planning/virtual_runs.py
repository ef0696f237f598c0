"""One planned run: the compiled machine in virtual time on drawn capacity, and what there is to say of it.

The machine and its capacity watch are the texts that would be deployed; the interpreter, Step Functions'
and SageMaker's emulation are those of the local world. Only the clock and the work are models.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from workflows.errors import RelayError
from workflows.ledger.run_view import RunView
from workflows.ledger.stage_view import stages_in
from workflows.ledger.vocabulary import CANNOT_START
from workflows.local.garbage import uncollected
from workflows.local.prepared import PreparedMachine
from workflows.local.sagemaker.job_records import Record
from workflows.local.sagemaker.work_model import WorkModel
from workflows.local.virtual import VirtualWorld, Watch
from workflows.planning.outlook import HistoryCapacity, Outlook

Json = Any
RUN_NAME = "plan"


@dataclass(frozen=True)
class Scene:
    """What all runs of a plan share: the texts of both machines, the work, the platform, the outlook."""

    definition: Mapping[str, Json]
    watch_definition: Mapping[str, Json]
    watch_pattern: Mapping[str, Json]
    bucket: str
    models: Mapping[str, WorkModel]
    launch: float
    outlook: Outlook
    types: tuple[str, ...]  # instance types that the stages may ask for on spot
    horizon: float  # seconds of capacity to draw
    seed: int = 0

    def draw(self, number: int) -> HistoryCapacity:
        """The capacity that every variant's run of that number meets."""
        return self.outlook.draw(self.types, self.horizon, np.random.default_rng([self.seed, number]))


@dataclass(frozen=True)
class Variant:
    """One way to run: what the run's input says, and how often it saves (seconds; None: as assumed)."""

    name: str
    run_input: Mapping[str, Json] = field(default_factory=dict)
    save_every: float | None = None


@dataclass(frozen=True)
class Figures:
    """One run, in machine seconds and dollars.

    `phases`: seconds of job time by what was going on, summed over all jobs: waiting, launching, loading,
    spot (training), on-demand (training), uploading. `redone`: seconds of work that were lost.
    """

    status: str
    seconds: float
    usd: float
    attempts: int
    on_demand_attempts: int
    interruptions: int
    redone: float
    phases: Mapping[str, float]
    cause: str = ""

    @property
    def done(self) -> bool:
        """Whether the run has finished."""
        return self.status == "SUCCEEDED"


class Planner:
    """Runs variants of one scene; made once in each process, because the machine is parsed only once."""

    def __init__(self, scene: Scene) -> None:
        self.scene = scene
        watch = Watch(scene.watch_definition, scene.watch_pattern)
        self._machine = PreparedMachine(scene.definition, bucket=scene.bucket, watch=watch)

    def run(self, variant: Variant, number: int) -> Figures:
        """The run of that number. All variants of one number meet the same capacity and the same luck.

        Raises RelayError when the machine refuses the run at its start.
        """
        with uncollected():  # the world is dropped before garbage is looked for, and looked through once
            return self._run(variant, number)

    def _run(self, variant: Variant, number: int) -> Figures:
        world, arn = self._world(variant, number)
        ended = world.describe(arn)
        if ended.get("error") == CANNOT_START:
            raise RelayError(f"the run would be refused at its start: {ended['cause']}")
        return self._figures(world, arn, ended)

    def _world(self, variant: Variant, number: int) -> tuple[VirtualWorld, str]:
        scene = self.scene
        models = dict(scene.models)
        if variant.save_every is not None:
            models = {
                name: replace(model, save_every=variant.save_every) if model.stall else model
                for name, model in models.items()
            }
        finished = self._machine.run(
            models=models,
            capacity=scene.draw(number),
            run_input=variant.run_input,
            seed=scene.seed * 1_000_003 + number,
            launch_seconds=scene.launch,
        )
        return finished.world, finished.arn

    def _figures(self, world: VirtualWorld, arn: str, ended: Mapping[str, Json]) -> Figures:
        records = list(world.sagemaker.records)
        entries = list(self._entries(world, arn, ended))
        return Figures(
            status=str(ended["status"]),
            seconds=(ended["stopDate"] - ended["startDate"]).total_seconds(),
            usd=float(sum(entry.get("usd", 0.0) for entry in entries)),
            attempts=len(records),
            on_demand_attempts=sum(not _on_spot(each) for each in records if each.kind == "training"),
            interruptions=sum(_count(each, "Interrupted") for each in records),
            redone=world.workload.redone,
            phases=_phases(records, self.scene.launch),
            cause=str(ended.get("cause", "")),
        )

    def _entries(
        self, world: VirtualWorld, arn: str, ended: Mapping[str, Json]
    ) -> Iterable[Mapping[str, Json]]:
        """The ledger: from the output, which a failed run has not; then from its history."""
        if ended["status"] == "SUCCEEDED":
            for left in json.loads(ended["output"])["stages"].values():
                yield from left.get("ledger", [])
            return
        view = RunView(RUN_NAME, "plan", stages_in(self.scene.definition))
        view.update(world.history(arn))
        for stage in view.stages.values():
            yield from stage.entries()


def _on_spot(record: Record) -> bool:
    return bool(record.request.get("EnableManagedSpotTraining"))


def _count(record: Record, status: str) -> int:
    return sum(each["Status"] == status for each in record.transitions)


def _phases(records: Sequence[Record], launch: float) -> dict[str, float]:
    found = dict.fromkeys(("waiting", "launching", "loading", "spot", "on-demand", "uploading"), 0.0)
    names = {"Downloading": "loading", "Uploading": "uploading"}
    for record in records:
        for each in record.transitions:
            seconds = (each.get("EndTime", each["StartTime"]) - each["StartTime"]).total_seconds()
            status = each["Status"]
            if status == "Starting":
                found["launching"] += min(seconds, launch)
                found["waiting"] += max(0.0, seconds - launch)
            elif status == "Training":
                found["spot" if _on_spot(record) else "on-demand"] += seconds
            elif status in names:
                found[names[status]] += seconds
    return found
