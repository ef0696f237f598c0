"""Pipelines for the tests of compiled machines, and a short way to run them in virtual time."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterable
from typing import Any

from workflows.jobs.site import Materials, Site
from workflows.jobs.watch_pattern import watch_pattern
from workflows.ledger.run_view import RunView
from workflows.ledger.stage_view import stages_in
from workflows.local.sagemaker.work_model import WorkModel
from workflows.local.scenario import parse_scenario
from workflows.local.virtual import VirtualWorld, Watch, once
from workflows.specification.pipeline import Pipeline
from workflows.specification.stages import JobStage, RegisterStage
from workflows.state_machine.graph import compile_pipeline
from workflows.state_machine.watch import compile_watch

SITE = Site("bucket", "arn:aws:iam::123456789012:role/relay-job")
IMAGE = "123456789012.dkr.ecr.us-east-1.amazonaws.com/training:1"
PLAIN = {"gate", "register"}  # kinds of stages that run no job
PLATFORM: dict[str, Any] = {}  # options of every world, unless a run says otherwise
PATIENT = {"patience": "10m", "backoff": {"first": "60s", "max": "10m"}}


def pipeline(*stages: dict[str, Any], **defaults: Any) -> Pipeline:
    """A pipeline of these stages; scripts and limits have usual values.

    What is not a field of the pipeline itself is a default of the stages.
    """
    usual = {"script": "train.py", "limit": "1h"}
    spot = {**PATIENT, **defaults.pop("spot", {})}
    top = {key: defaults.pop(key) for key in ("deadline", "budget_usd", "reuse") if key in defaults}
    return Pipeline.model_validate(
        {
            "name": "demo",
            **top,
            "defaults": {"image": IMAGE, "spot": spot, **defaults},
            "stages": [stage if stage.get("kind") in PLAIN else {**usual, **stage} for stage in stages],
        }
    )


def definition(found: Pipeline) -> dict[str, Any]:
    return compile_pipeline(found, SITE, materials(found))


def materials(found: Pipeline, code: str = "abc") -> dict[str, Materials]:
    """What `gather` would find."""
    made = {}
    for stage in found.stages:
        if isinstance(stage, RegisterStage):
            made[stage.name] = Materials("", {"": IMAGE})
        elif isinstance(stage, JobStage):
            image = stage.image if isinstance(stage.image, str) else IMAGE
            made[stage.name] = Materials(
                f"s3://bucket/{found.name}/code/{code}/", {rung.type: image for rung in stage.rungs()}
            )
    return made


def watch(arrivals: Any = once, roles: Iterable[str] = ()) -> Watch:
    """The capacity watch of the pipeline; `arrivals` says when copies of an event come, `roles` are those of
    stages that name their own."""
    return Watch(compile_watch("demo", SITE, roles), watch_pattern("demo"), arrivals)


class Run:
    """One finished run of a pipeline in virtual time.

    A person may stop its job at a given second; `before` may change the world before the run starts.
    """

    def __init__(
        self,
        found: Pipeline,
        *,
        scenario: Any = None,
        models: dict[str, WorkModel] | None = None,
        stop_after: float | None = None,
        before: Callable[[VirtualWorld], None] = lambda world: None,
        run_input: Any = None,
        **world: Any,
    ) -> None:
        self._prepare(found, models=models, scenario=scenario, **world)
        before(self.world)
        if stop_after is not None:
            self.world.clock.env.process(self._stop(stop_after))
        self.arn = self.world.run(self.definition, run_input)

    @classmethod
    def begun(cls, found: Pipeline, *, models: Any = None, scenario: Any = None, **world: Any) -> Run:
        """A run for which no time has passed yet."""
        run = cls.__new__(cls)
        run._prepare(found, models=models, scenario=scenario, **world)
        run.arn = run.world.start(run.world.install("machine", run.definition), "run", {})
        return run

    def _prepare(self, found: Pipeline, *, models: Any, scenario: Any, **world: Any) -> None:
        self.definition = definition(found)
        work = dict.fromkeys(
            (s.name for s in found.stages), WorkModel(seconds=1200, steps=100, save_every=60)
        )
        self.world = VirtualWorld(
            {**work, **(models or {})},
            bucket="bucket",
            scenario=parse_scenario(scenario or {}),
            **{**PLATFORM, **world},
        )

    def again(self, run_input: Any = None, *, name: str = "again", of: Pipeline | None = None) -> Run:
        """Another run in the same world, of the same pipeline or of a changed one."""
        run = copy.copy(self)
        run.definition = definition(of) if of else self.definition
        run.arn = self.world.run(run.definition, run_input, name=name)
        return run

    @property
    def ended(self) -> dict[str, Any]:
        """DescribeExecution."""
        return self.world.describe(self.arn)

    @property
    def results(self) -> dict[str, Any]:
        """What each stage left in the run's output."""
        found: dict[str, Any] = json.loads(self.ended["output"])["stages"]
        return found

    @property
    def jobs(self) -> list[dict[str, Any]]:
        """Every training job of the world, in the order in which they were created."""
        order = {"MaxResults": 100, "SortBy": "CreationTime", "SortOrder": "Ascending"}
        listed = self.world.sagemaker.handle("ListTrainingJobs", order)["TrainingJobSummaries"]
        return [self.job(summary["TrainingJobName"]) for summary in listed]

    def job(self, name: str) -> dict[str, Any]:
        """DescribeTrainingJob."""
        return self.world.sagemaker.handle("DescribeTrainingJob", {"TrainingJobName": name})

    @property
    def view(self) -> RunView:
        view = RunView("run", "demo", stages_in(self.definition))
        view.update(self.world.history(self.arn))
        return view

    @property
    def states(self) -> list[str]:
        """The names of the states, as they were entered."""
        return self.states_of(self.arn)

    def states_of(self, execution: str) -> list[str]:
        events = self.world.history(execution)
        return [e["stateEnteredEventDetails"]["name"] for e in events if "stateEnteredEventDetails" in e]

    def attempts(self, stage: str) -> list[tuple[str, str, str]]:
        """(market, outcome, decision) of each attempt."""
        return [(a.market, a.outcome, a.decision) for a in self.view.stages[stage].attempts]

    def _stop(self, seconds: float) -> Any:
        """A person stops whatever job then runs."""
        yield self.world.clock.env.timeout(seconds)
        running = self.world.sagemaker.handle("ListTrainingJobs", {"StatusEquals": "InProgress"})
        for job in running["TrainingJobSummaries"]:
            self.world.sagemaker.handle("StopTrainingJob", {"TrainingJobName": job["TrainingJobName"]})

    def redrive(self) -> None:
        self.world.step_functions.handle("RedriveExecution", {"executionArn": self.arn})
        self.world.wait(self.arn)
