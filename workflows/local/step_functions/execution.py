"""One execution of a state machine: its life from the start to the end, and on from a redrive."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from typing import Any, ClassVar

import simpy

from workflows.local.json_texts import Text, text_of
from workflows.local.service_errors import TaskError
from workflows.local.step_functions.branch import Behaviour, Branch, Waiting
from workflows.local.step_functions.fanout import attempt_map, attempt_parallel
from workflows.local.step_functions.history import NOT_TRUNCATED, History
from workflows.local.step_functions.interpreter import Interpreter
from workflows.local.step_functions.jsonata.json_values import prepare
from workflows.local.step_functions.limits import MAX_EVENTS, timestamp
from workflows.local.step_functions.map_run import MapRun, attempt_map_run
from workflows.local.step_functions.program import Program, State
from workflows.local.step_functions.resume_points import restore, snapshot
from workflows.local.step_functions.retry import TIMEOUT
from workflows.local.step_functions.states import QUICK, wait, with_retries
from workflows.local.step_functions.task_states import attempt_task

RUNNING, SUCCEEDED, FAILED = "RUNNING", "SUCCEEDED", "FAILED"
TIMED_OUT, ABORTED = "TIMED_OUT", "ABORTED"


def _attempt_map(branch: Branch, state: State) -> Waiting:
    return attempt_map_run(branch, state) if state.distributed else attempt_map(branch, state)


BEHAVIOUR: dict[str, Behaviour] = {
    **QUICK,
    "Wait": wait,
    "Task": partial(with_retries, attempt=attempt_task),
    "Parallel": partial(with_retries, attempt=attempt_parallel),
    "Map": partial(with_retries, attempt=_attempt_map),
}


@dataclass(slots=True, kw_only=True)
class Execution:
    """One execution: its identity, how it stands, and the process that walks it."""

    behaviour: ClassVar[Mapping[str, Behaviour]] = BEHAVIOUR

    interpreter: Interpreter
    arn: str
    name: str
    machine_arn: str
    machine_name: str
    role_arn: str
    definition: str
    program: Program
    input: Any
    written_input: Text
    version_arn: str | None = None
    alias_arn: str | None = None
    trace_header: str | None = None
    started: datetime
    status: str = RUNNING
    stopped_at: datetime | None = None
    output_text: str | None = None
    error: str | None = None
    cause: str | None = None
    redrive_count: int = 0
    redriven_at: datetime | None = None
    map_run: MapRun[Execution] | None = None  # of which the execution is a child
    map_runs: list[MapRun[Execution]] = field(default_factory=list)
    history: History
    on_save: Callable[[Execution], None] | None = None
    on_end: Callable[[Execution], None] | None = None
    root: Branch = field(init=False)
    process: simpy.Process | None = None
    _ended: simpy.Event | None = None
    _base_context: dict[str, Any] | None = None

    def __post_init__(self) -> None:
        self.root = self._new_root()

    def _new_root(self) -> Branch:
        root = Branch(self, self.program, self.input, history=self.history)
        root.use_input_text(self.written_input)
        return root

    # Life

    @property
    def ended(self) -> simpy.Event:
        """An event that succeeds with the description when the execution has ended; few are waited for."""
        if self._ended is None:
            self._ended = self.interpreter.env.event()
            if self.stopped:
                self._ended.succeed(self.describe())
        return self._ended

    @property
    def input_text(self) -> str:
        """The input as JSON."""
        return str(self.written_input)

    @property
    def stopped(self) -> bool:
        """Whether the execution has ended, however it ended."""
        return self.status != RUNNING

    @property
    def begun(self) -> bool:
        """Whether it was started: a child of a Map run waits until there is room for it."""
        return self.history.count > 0

    @property
    def full(self) -> bool:
        """Whether its history has no room for a redrive."""
        return self.history.count >= MAX_EVENTS - 1

    def begin(self) -> None:
        """Start walking; the first state is entered when the clock next runs."""
        self.started = self.interpreter.clock.now()
        details: dict[str, Any] = {
            "input": self.written_input,
            "inputDetails": NOT_TRUNCATED,
            "roleArn": self.role_arn,
        }
        if self.alias_arn:
            details["stateMachineAliasArn"] = self.alias_arn
        if self.version_arn:
            details["stateMachineVersionArn"] = self.version_arn
        self.history.append("ExecutionStarted", 0, "executionStartedEventDetails", details)
        self._walk()

    def redrive(self) -> None:
        """Go on from where the execution failed or was stopped."""
        frontier = snapshot(self.root)
        self.redrive_count += 1
        self.redriven_at = self.interpreter.clock.now()
        self.status, self.stopped_at = RUNNING, None
        self.output_text = self.error = self.cause = None
        # A new one over the same events: branches of the stopped run, which may still be cleaning
        # up in this moment, keep the closed one.
        self.history = History(self.interpreter.clock, self.history.events)
        self._base_context = self._ended = None
        event = self.history.append(
            "ExecutionRedriven",
            self.root.last_event,
            "executionRedrivenEventDetails",
            {"redriveCount": self.redrive_count},
        )
        self.root = self._new_root()
        restore(self.root, frontier, event)
        self._walk()

    def stop(self, error: str | None, cause: str | None) -> None:
        """Abort; jobs that Tasks started are stopped when the clock next runs."""
        details = {"error": error, "cause": cause}
        details = {key: value for key, value in details.items() if value is not None}
        self._close(ABORTED, "ExecutionAborted", self.root.last_event, details, error=error, cause=cause)
        self._interrupt()

    def _walk(self) -> None:
        self.save()
        self.process = self.interpreter.env.process(self._main(self.root))
        if self.program.timeout is not None:
            deadline = self.interpreter.env.timeout(self.program.timeout)
            run = self.redrive_count
            deadline.callbacks.append(lambda _event: self._time_out(run))

    def _main(self, root: Branch) -> Generator[simpy.Event, Any, None]:
        try:
            yield from root.run()
        except TaskError as error:
            if not self.stopped:
                self._fail(root, error)
        except simpy.Interrupt:
            return
        else:
            if not self.stopped:
                self._succeed(root)

    def _succeed(self, root: Branch) -> None:
        self.output_text = text_of(root.output)
        details = {"output": self.output_text, "outputDetails": NOT_TRUNCATED}
        self._close(SUCCEEDED, "ExecutionSucceeded", root.last_event, details)

    def _fail(self, root: Branch, error: TaskError) -> None:
        details = {}
        if error.error:
            details["error"] = error.error[:256]
        if error.cause is not None:
            details["cause"] = error.cause[:32768]
        self._close(FAILED, "ExecutionFailed", root.last_event, details, **details)

    def _time_out(self, run: int) -> None:
        if self.stopped or run != self.redrive_count:
            return
        # AWS names the error only in the event: DescribeExecution shows neither error nor cause.
        self._close(TIMED_OUT, "ExecutionTimedOut", 0, {"error": TIMEOUT})
        self._interrupt()

    def _close(
        self,
        status: str,
        event: str,
        previous: int,
        details: dict[str, Any],
        error: str | None = None,
        cause: str | None = None,
    ) -> None:
        self.status, self.stopped_at = status, self.interpreter.clock.now()
        self.error, self.cause = error, cause
        for run in self.map_runs:
            run.end(ABORTED)  # those that have ended stay as they are
        key = f"{event[0].lower()}{event[1:]}EventDetails"
        self.history.finish(event, previous, key, details)
        self.save()
        if self._ended is not None:
            self._ended.succeed(self.describe())
        if self.on_end is not None:
            self.on_end(self)

    def _interrupt(self) -> None:
        """Cut the process off a moment later: an execution may stop itself through the API."""
        process = self.process

        def cut(_event: simpy.Event) -> None:
            if process is not None and process.is_alive:
                process.interrupt("aborted")

        self.interpreter.env.timeout(0).callbacks.append(cut)

    def save(self) -> None:
        """Keep the resume point, where there is a place for it."""
        if self.on_save is not None:
            self.on_save(self)

    def describe(self) -> dict[str, Any]:
        """Return what DescribeExecution shows, less whether it can be redriven."""
        shown = {
            "executionArn": self.arn,
            "stateMachineArn": self.machine_arn,
            "name": self.name,
            "status": self.status,
            "startDate": self.started,
            "stopDate": self.stopped_at,
            "input": self.input_text,
            "inputDetails": {"included": True},
            "output": self.output_text,
            "outputDetails": {"included": True} if self.output_text is not None else None,
            "traceHeader": self.trace_header,
            "mapRunArn": self.map_run and self.map_run.arn,
            "error": self.error,
            "cause": self.cause,
            "stateMachineVersionArn": self.version_arn,
            "stateMachineAliasArn": self.alias_arn,
            "redriveCount": self.redrive_count,
            "redriveDate": self.redriven_at,
        }
        return {key: value for key, value in shown.items() if value is not None}

    # What states ask for

    def context(self) -> dict[str, Any]:
        """Return a fresh context object, prepared for JSONata, without the parts that belong to a state."""
        if self._base_context is None:
            execution = {
                "Id": self.arn,
                "Input": prepare(self.input, self.written_input),
                "Name": self.name,
                "RoleArn": self.role_arn,
                "StartTime": timestamp(self.started),
                "RedriveCount": self.redrive_count,
            }
            if self.redriven_at is not None:
                execution["RedriveTime"] = timestamp(self.redriven_at)
            machine = {"Id": self.version_arn or self.machine_arn, "Name": self.machine_name}
            self._base_context = {"Execution": execution, "StateMachine": machine}
        return dict(self._base_context)

    def open_map_run(self, label: str, body: Program, inputs: list[Any], **limits: Any) -> MapRun[Execution]:
        """Make a run of a distributed Map, its children not begun yet."""
        now = self.interpreter.clock.now()
        # Their ids follow from the execution: a run repeats with its seed, and yet no two worlds of one
        # folder, which begin with the same seed, give two children one name.
        origin = f"{self.arn} {self.started.isoformat()} {len(self.map_runs)}"
        prefix = f"{self.arn.rpartition(':')[0]}/{label}"
        arn = f"{prefix.replace(':execution:', ':mapRun:', 1)}:{_id_of(origin)}"
        run = MapRun(owner=self, arn=arn, label=label, started=now, **limits)
        for place, value in enumerate(inputs):
            name = _id_of(f"{origin} {place}")
            child = Execution(
                interpreter=self.interpreter,
                arn=f"{prefix}:{name}",
                name=name,
                machine_arn=f"{self.machine_arn}/{label}",
                machine_name=f"{self.machine_name}/{label}",
                role_arn=self.role_arn,
                definition=self.definition,
                program=body,
                input=value,
                written_input=text_of(value),
                started=now,
                map_run=run,
                history=History(self.interpreter.clock),
                on_save=self.on_save,
            )
            child.save()
            run.children.append(child)
        self.map_runs.append(run)
        return run

    def expires(self, days: int) -> datetime:
        """Return the moment `days` after the execution ended (or started, while it runs)."""
        return (self.stopped_at or self.started) + timedelta(days=days)


def _id_of(origin: str) -> str:
    return str(uuid.uuid5(uuid.NAMESPACE_URL, origin))
