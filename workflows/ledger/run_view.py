"""A run as its execution history tells it: the stages, their attempts, and what goes on now.

Pure: takes the events of GetExecutionHistory, in the order of their ids, and returns data. The ledger
entries are what the machine itself assigned, so they survive a failed run, which has no output.

The trials of a sweep have the same states and the same variable, side by side: which one an event belongs to
follows from the chain of `previousEventId` to the iteration's start, or from what the event itself says.
Trials that are executions of their own (a large sweep) have histories of their own, which are given apart
(`update_trial`); without them such trials are known when the sweep has ended.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from workflows.ledger.entry import Entry, attempt_of
from workflows.ledger.stage_view import (
    Activity,
    StageView,
    TrialView,
)
from workflows.ledger.vocabulary import CANNOT_START, FAILED_PHASES, OF_THE_SWEEP, variable
from workflows.policy.outcomes import Outcome
from workflows.specification.run_input import DROPPED

ENDS = {
    "ExecutionSucceeded": "SUCCEEDED",
    "ExecutionFailed": "FAILED",
    "ExecutionAborted": "ABORTED",
    "ExecutionTimedOut": "TIMED_OUT",
    "ExecutionRedriven": "RUNNING",
}
MAP_RUN_ENDS = {"MapRunSucceeded", "MapRunFailed", "MapRunAborted"}
Event = Mapping[str, Any]
Trial = tuple[str, int]  # (stage, number)


@dataclass
class RunView:
    """A run, kept up to date with `update`."""

    run: str
    pipeline: str
    kinds: Mapping[str, str]  # stage -> train, process, sweep, gate or register, in order
    status: str = "RUNNING"
    error: str = ""
    cause: str = ""
    prefix: str = ""  # key prefix of everything the run writes
    tag: str = ""  # what all its job names hold
    budget_usd: float | None = None
    deadline: datetime | None = None
    ended_at: datetime | None = None
    dropped: str = ""  # why a run of a schedule did nothing
    stages: dict[str, StageView] = field(default_factory=dict)
    map_runs: dict[str, bool] = field(default_factory=dict)  # of large sweeps: ARN -> whether it runs

    def __post_init__(self) -> None:
        self.stages = {name: StageView(name=name, kind=kind) for name, kind in self.kinds.items()}
        self._names = {variable(name): name for name in self.stages}
        self._trials: dict[int, Trial] = {}  # event -> the trial that it belongs to
        self._sweeps: dict[int, str] = {}  # event at which a sweep's Map begins -> the sweep
        self._map_run_at: dict[int, str] = {}  # event at which a Map run begins or goes on -> its ARN

    @property
    def refused(self) -> bool:
        """Whether the machine's first state refused the run: nothing has begun, `cause` says why."""
        return self.error == CANNOT_START

    @property
    def reason(self) -> str:
        """Why it failed: the stage's own message, without Step Functions' words around it."""
        failed = [stage for stage in self.stages.values() if stage.status == "failed"]
        ended = [one for stage in failed for one in (*stage.trials.values(), stage) if one.status == "failed"]
        said = next((one.why for one in ended if one.why), "")
        return said or self.cause or self.error or "no reason was given"

    @property
    def spent_usd(self) -> float:
        """Dollars of the attempts that have ended, as the machine itself reckons them."""
        return sum(entry.usd or 0.0 for stage in self.stages.values() for entry in stage.entries())

    def update(self, events: Iterable[Event]) -> None:
        """Takes in further events; each is to be given once."""
        for event in events:
            self._take(event, self._trial_of(event))
            self._take_of_map(event)
            self._ended(event)

    def update_trial(self, trial: Trial, events: Iterable[Event]) -> None:
        """Takes in further events of a trial that is an execution of its own; they may come late."""
        for event in events:
            # Its ids mean nothing in the run's history.
            self._take({key: value for key, value in event.items() if key != "id"}, trial)
            if event["type"] in ENDS:
                self._trial_execution_ended(self.stages[trial[0]].trial(trial[1]), event)

    def _take(self, event: Event, trial: Trial | None) -> None:
        for key, details in event.items():
            if key == "stateEnteredEventDetails":
                self._entered(details["name"], trial)
            elif key == "stateExitedEventDetails":
                self._assigned(event, details.get("assignedVariables", {}), trial)
            elif key == "taskScheduledEventDetails":
                self._scheduled(event, details)

    def _take_of_map(self, event: Event) -> None:
        """How many trials a sweep has, and whether they are executions of their own."""
        before = event.get("previousEventId", 0)
        if event["type"] == "MapStateEntered":
            self._sweeps[event["id"]] = event["stateEnteredEventDetails"]["name"].partition(": ")[0]
        elif "mapStateStartedEventDetails" in event and before in self._sweeps:
            self.stages[self._sweeps[before]].count = event["mapStateStartedEventDetails"]["length"]
        elif event["type"] in {"MapRunStarted", "MapRunRedriven"}:
            details = event.get("mapRunStartedEventDetails") or event["mapRunRedrivenEventDetails"]
            self._map_run_at[event["id"]] = details["mapRunArn"]
            self.map_runs[details["mapRunArn"]] = True
        elif event["type"] in MAP_RUN_ENDS and before in self._map_run_at:
            self.map_runs[self._map_run_at[before]] = False

    def untold(self, jobs: Iterable[str]) -> list[str]:
        """Those of the run's jobs that no line of the ledger stands for."""
        entries = [entry for stage in self.stages.values() for entry in stage.entries()]
        told = {entry.job for entry in entries}
        # A line that stands for several names the last one; a trial's jobs share all but the end.
        up_to: dict[str, tuple[int, int]] = {}
        for job in (entry.job for entry in entries if entry.attempts > 1):
            up_to[_series(job)] = max(attempt_of(job), up_to.get(_series(job), (0, 0)))
        return [job for job in jobs if job not in told and attempt_of(job) > up_to.get(_series(job), (-1, 0))]

    def add_stopped(
        self, job: str, stage: str, figures: Mapping[str, Any], *, trial: int | None = None
    ) -> None:
        """Takes in a job that the machine could not tell of, because the run was stopped while it ran.

        `figures`: market, instance type and count, seconds, as in a ledger entry.
        """
        view: Activity = self.stages[stage] if trial is None else self.stages[stage].trial(trial)
        number = attempt_of(job)
        before = [entry for entry in view.attempts if entry.order < number]
        step = before[-1].saved_step if before else 0
        entry = Entry(
            stage=stage,
            attempt=number[1],
            job=job,
            outcome=Outcome.STOPPED_WITH_RUN,
            decision="none",
            why="the run was stopped while this job ran",
            resumed_step=step,
            reached_step=step,
            saved_step=step,
            trial=trial,
            **figures,
        )
        view.attempts = sorted([*view.attempts, entry], key=lambda each: each.order)

    # -------------------------------------------------------------------------------------- whose it is
    def _trial_of(self, event: Event) -> Trial | None:
        """The trial that an event belongs to; its successors are found by it."""
        started = event.get("mapIterationStartedEventDetails")
        if started:
            trial: Trial | None = (started["name"].partition(":")[0], int(started["index"]))
        else:
            trial = self._trials.get(event.get("previousEventId", 0))
            if event["type"].startswith("MapIteration"):
                return None  # what follows its end is the sweep's
        if trial:
            self._trials[event["id"]] = trial
        return trial

    def _activity(self, stage: StageView, trial: Trial | None) -> Activity:
        return stage.trial(trial[1]) if trial and trial[0] == stage.name else stage

    def _belongs(self, event: Event, stage: StageView, number: int) -> Activity:
        """After a redrive the chain may begin anew: then it begins here."""
        if "id" in event:
            self._trials[event["id"]] = (stage.name, number)
        return stage.trial(number)

    # ------------------------------------------------------------------------------------------- events
    def _entered(self, state: str, trial: Trial | None) -> None:
        name, colon, phrase = state.partition(": ")
        stage = self.stages.get(name)
        if not stage or not colon:
            return
        if stage.kind == "sweep" and not trial and phrase not in {*OF_THE_SWEEP, *FAILED_PHASES}:
            return  # of a trial that is not known yet
        self._activity(stage, trial).entered(phrase)

    def _scheduled(self, event: Event, details: Mapping[str, Any]) -> None:
        if not details["resource"].endswith(".sync"):
            return
        job = json.loads(details["parameters"])
        tags = {tag["Key"]: tag["Value"] for tag in job.get("Tags", [])}
        stage = self.stages.get(tags.get("relay:stage", ""))
        if stage:
            number = tags.get("relay:trial")
            activity = stage if number is None else self._belongs(event, stage, int(number))
            activity.status, activity.job = "running", job.get("TrainingJobName") or job["ProcessingJobName"]
            activity.checkpoints = job.get("CheckpointConfig", {}).get("S3Uri", "")

    def _assigned(self, event: Event, variables: Mapping[str, str], trial: Trial | None) -> None:
        for name, text in variables.items():
            value = json.loads(text)
            if name == "run" and not trial:
                self._began(value)
            elif name in self._names:
                self._assigned_stage(event, self.stages[self._names[name]], value)
            elif name == "done" or name.startswith("done_"):
                # A trial that is an execution of its own is handed what the stages before it left, too.
                for stage, result in value.items() if not trial else _own(value, trial):
                    self._left(self.stages[stage], result, trial)

    def _began(self, run: Mapping[str, Any]) -> None:
        """The variable `$run`; that of a run that cannot start says only why."""
        self.prefix, self.tag = run.get("prefix", ""), run.get("tag", "")
        self.budget_usd = run.get("budget")
        if "deadline" in run:
            self.deadline = datetime.fromtimestamp(run["deadline"] / 1000, UTC)

    def _assigned_stage(self, event: Event, stage: StageView, value: Mapping[str, Any]) -> None:
        if "trial" in value:
            trial = self._belongs(event, stage, int(value["trial"]))
            stage.trial(int(value["trial"])).parameters = value["parameters"]
            trial.assigned(value)
        else:
            stage.assigned(value)

    def _left(self, stage: StageView, result: Mapping[str, Any], trial: Trial | None) -> None:
        if trial and trial[0] == stage.name:
            stage.trial(trial[1]).left(result)
        else:
            stage.left(result)

    def _ended(self, event: Event) -> None:
        if event["type"] == "MapIterationSucceeded" and "mapIterationSucceededEventDetails" in event:
            self._trial_ended(event["mapIterationSucceededEventDetails"])
        if event["type"] not in ENDS:
            return
        self.status = ENDS[event["type"]]
        for key in ("executionFailedEventDetails", "executionAbortedEventDetails"):
            self.error = event.get(key, {}).get("error", self.error)
            self.cause = event.get(key, {}).get("cause", self.cause)
        if self.status == "RUNNING":
            self.error = self.cause = ""
            return
        self.ended_at = event.get("timestamp")
        output = json.loads(event.get("executionSucceededEventDetails", {}).get("output", "{}"))
        self.dropped = output.get(DROPPED, "")
        self._end_stages()

    def _trial_ended(self, details: Mapping[str, Any]) -> None:
        stage = self.stages[details["name"].partition(":")[0]]
        stage.trial(int(details["index"])).finished()

    def _trial_execution_ended(self, trial: TrialView, event: Event) -> None:
        status = ENDS[event["type"]]
        if status == "SUCCEEDED":
            trial.finished()
        elif status == "RUNNING":
            trial.status = "running"
        else:
            trial.ended("stopped" if status == "ABORTED" else "failed")
            trial.why = trial.why or event.get("executionFailedEventDetails", {}).get("cause", "")

    def _end_stages(self) -> None:
        """What still ran has failed, or was stopped because a sibling failed."""
        running = [stage for stage in self.stages.values() if stage.status == "running"]
        guilty = [stage for stage in running if stage.phase in FAILED_PHASES or _has_failed_trial(stage)]
        for stage in running:
            failed = self.status == "FAILED" and (stage in guilty or not guilty)
            stage.ended("failed" if failed else "stopped")


def trial_in(events: Iterable[Event]) -> Trial | None:
    """Whose history this is, as its beginning tells; None when it has not begun."""
    number, name = None, ""
    for event in events:
        if event["type"] == "ExecutionStarted":
            number = json.loads(event["executionStartedEventDetails"]["input"])["trial"]
        name = name or event.get("stateEnteredEventDetails", {}).get("name", "").partition(": ")[0]
    return (name, number) if name and number is not None else None


def _own(results: Mapping[str, Any], trial: Trial) -> list[tuple[str, Any]]:
    return [(stage, result) for stage, result in results.items() if stage == trial[0]]


def _series(job: str) -> str:
    return job.rsplit("-", 2)[0]


def _has_failed_trial(stage: StageView) -> bool:
    return any(trial.phase == FAILED_PHASES[0] for trial in stage.trials.values())
