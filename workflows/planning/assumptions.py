"""What a plan takes for granted of each stage, with where each figure comes from; and the work that follows.

A plan is as good as these. So each is shown with its source, and each can be said: in the pipeline
(`expected`, `changeover`, `checkpoint`), or as an option of `relay plan`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta

from workflows.checkpointing.interval import Interval
from workflows.errors import RelayError
from workflows.local.sagemaker.work_model import WorkModel
from workflows.planning.measured import Measured
from workflows.specification.durations import format_duration
from workflows.specification.pipeline import Pipeline
from workflows.specification.stages import JobStage

LAUNCH_SECONDS = 120.0  # one to three minutes, as job histories on AWS show
UNKNOWN_STALL = 2.0  # seconds that training stands still for a save, until a script has measured its own;
MOST_OF_INTERVAL = 0.01  # and no more than this share of the longest interval: who saves often saves little
STEPS = 10_000  # a model's work is told in steps as a script's is; this many are exact enough


@dataclass(frozen=True)
class Said:
    """What whoever plans knows better; seconds. `speeds`: instance type -> work done in a second, where the
    first rung does 1. `measured`: what past runs teach of a stage; it goes before the pipeline's `expected`,
    and after what is said here."""

    expected: Mapping[str, float] = field(default_factory=dict)
    stall: float | None = None
    save_every: float | None = None
    speeds: Mapping[str, float] = field(default_factory=dict)
    measured: Mapping[str, Measured] = field(default_factory=dict)


@dataclass(frozen=True)
class Assumption:
    """One figure of one stage."""

    stage: str
    what: str
    value: str
    source: str


@dataclass(frozen=True)
class Work:
    """The models of all stages, what they rest on, and the platform's launch time (seconds)."""

    models: Mapping[str, WorkModel]
    told: tuple[Assumption, ...]
    launch: float

    @property
    def seconds(self) -> float:
        """How long all stages take together, undisturbed and one after the other."""
        return sum(model.seconds + model.download for model in self.models.values())


def assume(pipeline: Pipeline, said: Said) -> Work:
    """The work of a pipeline. Raises RelayError, with all stages that do not say how long they take."""
    jobs = pipeline.jobs
    told_elsewhere = {*said.expected, *said.measured}
    silent = [stage.name for stage in jobs if stage.expected is None and stage.name not in told_elsewhere]
    if silent:
        raise RelayError(
            f"a plan needs to know how long each stage takes undisturbed; missing: {', '.join(silent)}. "
            f"Say `expected: 2h` in the pipeline, or --expected {silent[0]}=2h"
        )
    strange = sorted(set(said.expected) - {stage.name for stage in jobs})
    if strange:
        raise RelayError(f"--expected: no stage that runs jobs is named {', '.join(strange)}")
    launch = min([LAUNCH_SECONDS, *(stage.changeover.total_seconds() for stage in jobs)])
    told: list[Assumption] = []
    models = {stage.name: _model(stage, said, launch, told) for stage in jobs}
    told.append(Assumption("", "launch", format_duration(timedelta(seconds=launch)), "assumed"))
    return Work(models, tuple(told), launch)


def _model(stage: JobStage, said: Said, launch: float, told: list[Assumption]) -> WorkModel:
    def note(what: str, seconds: float, source: str) -> float:
        told.append(Assumption(stage.name, what, format_duration(timedelta(seconds=seconds)), source))
        return seconds

    speeds = said.speeds
    if stage.name in said.expected:
        seconds = note("work", said.expected[stage.name], "--expected")
    elif stage.name in said.measured:
        known = said.measured[stage.name]
        seconds = note("work", round(known.seconds, 3), f"measured in {known.attempts} attempts")
        speeds = {**known.speeds, **said.speeds}
    else:
        assert stage.expected is not None
        seconds = note("work", stage.expected.total_seconds(), "`expected`")
    changeover = note("changeover", stage.changeover.total_seconds(), "`changeover`")
    model = WorkModel(
        seconds=seconds, steps=STEPS, download=max(0.0, changeover - launch), live=False, speeds=speeds
    )
    if stage.checkpoints is None:
        return model
    longest = stage.checkpoints.longest.total_seconds()
    stall = min(UNKNOWN_STALL, MOST_OF_INTERVAL * longest) if said.stall is None else said.stall
    note("stall of a save", stall, "assumed" if said.stall is None else "--stall")
    own = Interval(
        shortest=stage.checkpoints.shortest.total_seconds(),
        longest=longest,
        stall=stall,
    )
    # The interval grows with the instance's age; a model has one, that of an instance of an hour.
    usual = own.seconds(3600.0) if said.save_every is None else said.save_every
    every = note(
        "time between saves",
        usual,
        "as checkpointing chooses it" if said.save_every is None else "--save-every",
    )
    return WorkModel(
        # What a script takes undisturbed holds its saves; the model adds them.
        seconds=seconds / (1 + stall / every),
        steps=STEPS,
        save_every=every,
        stall=stall,
        download=model.download,
        on_sigterm="save",
        live=False,
        speeds=speeds,
    )
