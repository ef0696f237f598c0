"""One line of states being walked: an execution, a branch of a Parallel, an iteration of a Map."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from typing import Any, Protocol

import simpy

from workflows.local.json_texts import Text, text_of
from workflows.local.service_errors import TaskError
from workflows.local.step_functions.history import NOT_TRUNCATED, History
from workflows.local.step_functions.interpreter import Interpreter
from workflows.local.step_functions.jsonata.json_values import prepare
from workflows.local.step_functions.jsonata.templates import EvaluationFailedError
from workflows.local.step_functions.limits import fitting, fitting_variable, timestamp
from workflows.local.step_functions.program import Assignment, Program, State

Waiting = Generator[simpy.Event, Any, Any]

_MISSING: Any = object()
_NOTHING: dict[str, Any] = {}  # of most states' assigned variables; never written to
# States that wait for something say so when they are cut off; the others take no time.
_ABORTABLE = frozenset({"Task", "Wait", "Parallel", "Map"})
# A redrive goes on inside these without entering them again (AWS, "Redriving executions").
_GOES_ON = frozenset({"Task", "Wait", "Parallel", "Map", "Choice"})


class MapRunOfBranch(Protocol):
    """What a branch in a distributed Map asks of the run of that Map (`map_run.py`)."""

    arn: str
    redrive_count: int

    def redrive(self) -> None:
        """Run again, with the children that have not succeeded."""

    def walk(self, branch: Branch) -> Waiting:
        """Run the children until all have ended."""

    def end(self, status: str) -> None:
        """Close the run and stop the children that still run."""

    def results(self) -> list[Any]:
        """Returns the output of each child in order; for one that failed, why it did."""


class Owner(Protocol):
    """What a branch asks of the execution that it belongs to."""

    interpreter: Interpreter
    arn: str

    @property
    def map_runs(self) -> Sequence[MapRunOfBranch]:
        """The runs of distributed Maps that it has begun."""

    @property
    def behaviour(self) -> Mapping[str, Behaviour]:
        """The functions that carry out each type of state."""

    def save(self) -> None:
        """Keep the resume point."""

    def context(self) -> dict[str, Any]:
        """Return a fresh context object without the parts that belong to a state."""

    def open_map_run(self, label: str, body: Program, inputs: list[Any], **limits: Any) -> MapRunOfBranch:
        """Make a run of a distributed Map, its children not begun yet."""


class Branch:
    """Walks a program from its start, or on from where it was, and is the scope of its expressions.

    Inner branches read the variables of outer ones and assign only their own. JSON values are
    shared freely: nobody ever changes one in place.
    """

    # What most branches never have stands here, and is set on the others.
    item: dict[str, Any] | None = None
    children: list[Branch] | None = None
    map_run: MapRunOfBranch | None = None
    process: simpy.Process | None = None
    entered_id = 0
    resuming = False
    retry_count = 0
    done = False
    output: Any = None
    error: TaskError | None = None
    cut_off = False
    arguments_text: Text = ""
    result_text: Text | None = None
    _text: Text | None = None
    _prepared: Any = _MISSING

    def __init__(
        self,
        execution: Owner,
        program: Program,
        value: Any,
        *,
        history: History,
        outer: Mapping[str, Any] | None = None,
        last_event: int = 0,
        item: dict[str, Any] | None = None,
    ) -> None:
        self.execution = execution
        self.interpreter = execution.interpreter
        self.program = program
        self.history = history
        self.last_event = last_event
        self.at = program.start
        self.input = value
        self.variables: dict[str, Any] = {}
        # What expressions see, prepared for JSONata: the variables, and `$states` of the present state. An
        # object that was shown may have become part of a value: the next `$states` is another one.
        self.seen: dict[str, Any] = dict(outer or _NOTHING)
        # The input and the result as they came: one with a null in it was copied to be prepared.
        self.plain: tuple[Any, Any] = (value, _MISSING)
        if item is not None:
            self.item = item

    def use_input_text(self, text: Text | None) -> None:
        """Show the input in the first event as it was written, not as we would write it (None)."""
        self._text = text

    # Walking

    def run(self) -> Generator[simpy.Event, Any, None]:
        """Walk to the end and keep the output; raises TaskError, or Interrupt when cut off."""
        program, behaviour = self.program.states, self.execution.behaviour
        while True:
            if self.history.closed:  # as that of every execution that has ended, however it ended
                raise simpy.Interrupt("stopped")
            state = program[self.at]
            self._enter(state)
            try:
                waiting = behaviour[state.type](self, state)
                if waiting is not None:
                    yield from waiting
            except TaskError as error:
                self.note(state, error)
                raise
            except simpy.Interrupt:
                if state.type in _ABORTABLE:
                    self.event(f"{state.type}StateAborted")
                raise
            if self.done:
                return

    def walk(self, ended: Callable[[Branch], None]) -> Generator[simpy.Event, Any, None]:
        """Walk as a process of its own and say how it ended; never fails."""
        self.error, self.cut_off = None, False
        try:
            yield from self.run()
        except TaskError as error:
            self.error = error
        except simpy.Interrupt:
            self.cut_off = True
        ended(self)

    def _enter(self, state: State) -> None:
        value = self.input
        if value is not self.plain[0] or self._prepared is _MISSING:  # most states pass their input on
            self._prepared = prepare(value, self._text)
        self.forget()
        self.retry_count = 0
        if self.resuming:
            self.resuming = False
            if self.entered_id and state.type in _GOES_ON:
                self.execution.save()
                return
        self.children = self.map_run = None
        if self._text is None:
            self._text = text_of(value)
        details = {"name": state.name, "input": self._text, "inputDetails": NOT_TRUNCATED}
        self.entered_id = self.last_event = self.history.append(
            state.entered, self.last_event, "stateEnteredEventDetails", details
        )
        self.execution.save()

    def leave(self, state: State, after: Assignment, default: Any, next_state: str | None) -> None:
        """Evaluate Output and Assign, both from the variables as they are now, and go on to the next state.

        What fails (TaskError) leaves the branch in the state as it was.
        """
        expressions = self.interpreter.expressions
        output = default if after.output is None else after.output.evaluate(expressions, self)
        assigned = texts = _NOTHING
        if after.assign:
            assigned = {name: value.evaluate(expressions, self) for name, value in after.assign}
        text = self._text_of(output, state)
        details: dict[str, Any] = {"name": state.name, "output": text, "outputDetails": NOT_TRUNCATED}
        if after.assign:
            texts = {name: fitting_variable(value, name) for name, value in assigned.items()}
            details["assignedVariables"] = texts
            details["assignedVariablesDetails"] = NOT_TRUNCATED
        self.last_event = self.history.append(
            state.exited, self.last_event, "stateExitedEventDetails", details
        )
        for name, value in assigned.items():
            self.variables[name] = value
            self.seen[name] = prepare(value, texts[name])
        if next_state is None:
            self.done, self.output = True, output
        else:
            self.at, self.input, self._text = next_state, output, text

    def _text_of(self, output: Any, state: State) -> Text:
        text: Text | None = None
        if output is self.input:  # its text was worked out, and found to fit, when it came, like the result's
            text = self._text
        elif output is self.plain[1]:
            text = self.result_text
        return fitting(text_of(output), state.name) if text is None else text

    # The result of an attempt

    def take(self, result: Any, text: Text) -> None:
        """Take what a task gave, with its text."""
        self.plain, self.result_text = (self.input, result), text

    def show_result(self, result: Any) -> None:
        """Show the result of an attempt as `$states.result`."""
        self.seen["states"] = {"input": self._prepared, "result": prepare(result, self.result_text)}

    def show_error(self, output: Any) -> None:
        """Show what a catcher caught as `$states.errorOutput`, and no longer a result."""
        self.forget()
        self.seen["states"]["errorOutput"] = prepare(output)

    def forget(self) -> None:
        """Forget the result of an attempt that failed."""
        self.plain, self.result_text = (self.input, _MISSING), None
        self.seen["states"] = {"input": self._prepared}

    def child(self, program: Program, value: Any, *, item: dict[str, Any] | None) -> Branch:
        """Make an inner branch; its first event follows this branch's last one."""
        return Branch(
            self.execution,
            program,
            value,
            history=self.history,
            outer=self.seen,
            last_event=self.last_event,
            item=item,
        )

    # History

    def event(self, kind: str, key: str | None = None, details: Any = None) -> int:
        """Add an event to this branch's chain and return its id."""
        self.last_event = self.history.append(kind, self.last_event, key, details)
        return self.last_event

    def note(self, state: State, error: TaskError) -> None:
        """Complete and record, once, the failure of an expression of this state."""
        if not isinstance(error, EvaluationFailedError) or error.noted:
            return
        error.noted = True
        error.cause = self.blame(state, error.cause or "")
        self.event(
            "EvaluationFailed",
            "evaluationFailedEventDetails",
            {
                "error": error.error,
                "cause": error.cause[:32768],
                "location": error.location[:256],
                "state": state.name,
            },
        )

    def blame(self, state: State, problem: str) -> str:
        """Say where an error of the machine itself happened, in AWS's words."""
        return (
            f"An error occurred while executing the state '{state.name}' "
            f"(entered at the event id #{self.entered_id}). {problem}"
        )

    # Scope

    def show_context(self) -> None:
        """Show the context object, which is costly to make and seldom read, as `$states.context`."""
        self.seen["states"] = {**self.seen["states"], "context": self._context()}

    def _context(self) -> dict[str, Any]:
        context = self.execution.context()
        entered = self.history.moment(self.entered_id) if self.entered_id else self.interpreter.clock.now()
        context["State"] = {
            "Name": self.at,
            "EnteredTime": timestamp(entered),
            "RetryCount": self.retry_count,
        }
        if self.item is not None:
            context["Map"] = {"Item": prepare(self.item)}
        return context


Behaviour = Callable[[Branch, State], Waiting | None]
"""Does what a state does and leaves it: at once, or as a generator that waits for something."""
