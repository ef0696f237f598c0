"""A run as its execution history tells it: the stages, their attempts, and what goes on now.

Pure: takes the events of GetExecutionHistory, in the order of their ids, and returns data. The ledger
entries are what the machine itself assigned, so they survive a failed run, which has no output.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from workflows.training_job import variable

Entry = Mapping[str, Any]


STOPPED_WITH_THE_RUN = "stopped with the run"


def attempt_of(job: str) -> tuple[int, int]:
    """(redrive, attempt) from the end of a job's name, by which the attempts of a stage are in order."""
    *_, redrive, attempt = job.split("-")
    return int(redrive), int(attempt)


def stages_in(definition: Mapping[str, Any]) -> dict[str, str]:
    """Stage -> kind, in order, as the machine's text shows them: by its tasks that run jobs."""
    kinds = {"createTrainingJob.sync": "train", "createProcessingJob.sync": "process"}
    found: dict[str, str] = {}
    for name, state in definition["States"].items():
        kind = kinds.get(str(state.get("Resource", "")).rpartition(":")[2])
        if kind:
            found.setdefault(name.partition(":")[0], kind)
        for branch in state.get("Branches", []):
            found |= stages_in(branch)
    return found


@dataclass
class StageView:
    """One stage of a run."""

    name: str
    kind: str
    status: str = "waiting"  # waiting, running, done, failed, stopped
    phase: str = ""  # the phrase of the state it is in: "on spot", "back off, then spot", ...
    job: str | None = None  # the job that runs now
    attempts: list[Entry] = field(default_factory=list)
    outputs: dict[str, str] = field(default_factory=dict)


@dataclass
class RunView:
    """A run, kept up to date with `update`."""

    run: str
    pipeline: str
    kinds: Mapping[str, str]  # stage -> "train" or "process", in order
    status: str = "RUNNING"
    error: str = ""
    cause: str = ""
    prefix: str = ""  # key prefix of everything the run writes
    tag: str = ""  # what all its job names hold
    stages: dict[str, StageView] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.stages = {name: StageView(name, kind) for name, kind in self.kinds.items()}
        self._names = {variable(name): name for name in self.stages}

    def update(self, events: Iterable[Mapping[str, Any]]) -> None:
        """Takes in further events; each is to be given once."""
        for event in events:
            for key, details in event.items():
                if key == "stateEnteredEventDetails":
                    self._entered(details["name"])
                elif key == "stateExitedEventDetails":
                    self._assigned(details.get("assignedVariables", {}))
                elif key == "taskScheduledEventDetails":
                    self._scheduled(details)
            self._ended(event)

    def add_stopped(self, job: str, stage: str, figures: Mapping[str, Any]) -> None:
        """Takes in a job that the machine could not tell of, because the run was stopped while it ran.

        `figures`: market, instance type and count, seconds, as in a ledger entry.
        """
        view = self.stages[stage]
        number = attempt_of(job)
        before = [entry for entry in view.attempts if attempt_of(entry["job"]) < number]
        step = before[-1]["saved_step"] if before else 0
        entry = {
            "stage": stage,
            "attempt": number[1],
            "job": job,
            "outcome": STOPPED_WITH_THE_RUN,
            "decision": "none",
            "why": "the run was stopped while this job ran",
            "message": "",
            "wait_seconds": 0,
            **dict.fromkeys(("resumed_step", "reached_step", "saved_step"), step),
            **figures,
        }
        view.attempts = sorted([*view.attempts, entry], key=lambda each: attempt_of(each["job"]))

    def stage_of(self, state: str) -> StageView | None:
        """The stage that a state belongs to, by the state's name."""
        return self.stages.get(state.partition(":")[0])

    def _entered(self, state: str) -> None:
        stage = self.stage_of(state)
        if stage:
            stage.status, stage.phase = "running", state.partition(": ")[2]
            if stage.phase not in {"on spot", "on demand"}:
                stage.job = None

    def _scheduled(self, details: Mapping[str, Any]) -> None:
        if not details["resource"].endswith(".sync"):
            return
        job = json.loads(details["parameters"])
        name = job.get("TrainingJobName") or job.get("ProcessingJobName")
        tags = {tag["Key"]: tag["Value"] for tag in job.get("Tags", [])}
        if stage := self.stages.get(tags.get("relay:stage", "")):
            stage.job = name

    def _assigned(self, variables: Mapping[str, str]) -> None:
        for name, text in variables.items():
            value = json.loads(text)
            if name == "run":
                self.prefix, self.tag = value["prefix"], value["tag"]
            elif name in self._names:
                self.stages[self._names[name]].attempts = list(value["ledger"])
            elif name == "done" or name.startswith("done_"):
                for stage, result in value.items():
                    view = self.stages[stage]
                    view.attempts, view.outputs = list(result["ledger"]), result["outputs"]
                    view.status, view.phase, view.job = "done", "done", None

    def _ended(self, event: Mapping[str, Any]) -> None:
        ends = {
            "ExecutionSucceeded": "SUCCEEDED",
            "ExecutionFailed": "FAILED",
            "ExecutionAborted": "ABORTED",
            "ExecutionTimedOut": "TIMED_OUT",
            "ExecutionRedriven": "RUNNING",
        }
        if event["type"] not in ends:
            return
        self.status = ends[event["type"]]
        for key in ("executionFailedEventDetails", "executionAbortedEventDetails"):
            self.error = event.get(key, {}).get("error", self.error)
            self.cause = event.get(key, {}).get("cause", self.cause)
        if self.status != "RUNNING":
            left = "failed" if self.status == "FAILED" else "stopped"
            for stage in self.stages.values():
                if stage.status == "running":
                    stage.status, stage.job = left, None
