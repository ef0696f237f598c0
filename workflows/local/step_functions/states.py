"""Carries out each type of state: quick ones take no time, slow ones wait for something."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

from workflows.local.json_texts import text_of
from workflows.local.service_errors import TaskError
from workflows.local.step_functions.branch import Branch, Waiting
from workflows.local.step_functions.history import HistoryFullError
from workflows.local.step_functions.jsonata.templates import evaluate_as
from workflows.local.step_functions.limits import RUNTIME, fitting
from workflows.local.step_functions.program import State
from workflows.local.step_functions.retry import matches

NO_CHOICE = "States.NoChoiceMatched"
LONGEST_WAIT = 99_999_999


def _pass(branch: Branch, state: State) -> None:
    branch.leave(state, state.after, branch.input, state.next)


def _succeed(branch: Branch, state: State) -> None:
    branch.leave(state, state.after, branch.input, None)


def _choice(branch: Branch, state: State) -> None:
    expressions = branch.interpreter.expressions
    for rule in state.choices:
        if evaluate_as(rule.condition, "boolean", expressions, branch):
            branch.leave(state, rule.after, branch.input, rule.next)
            return
    if state.default is None:
        raise TaskError(
            NO_CHOICE,
            branch.blame(
                state,
                "Failed to transition out of the state. The state does not point to a next state.",
            ),
        )
    branch.leave(state, state.after, branch.input, state.default)


def _fail(branch: Branch, state: State) -> None:
    found = {}
    for key in ("Error", "Cause"):
        if key in state.fields:
            found[key] = evaluate_as(state.fields[key], "string", branch.interpreter.expressions, branch)
    raise TaskError(found.get("Error", ""), found.get("Cause"))


def wait(branch: Branch, state: State) -> Waiting:
    """Wait for Seconds or until Timestamp; one that has passed is left at once."""
    env, expressions = branch.interpreter.env, branch.interpreter.expressions
    if "Seconds" in state.fields:
        delay = evaluate_as(state.fields["Seconds"], "integer", expressions, branch)
        if not 0 <= delay <= LONGEST_WAIT:
            problem = f"Seconds is {delay}; it must be 0 to {LONGEST_WAIT}."
            raise TaskError(RUNTIME, branch.blame(state, problem))
    else:
        text = evaluate_as(state.fields["Timestamp"], "string", expressions, branch)
        delay = (_moment(branch, state, text) - branch.interpreter.clock.now()).total_seconds()
    if delay > 0:
        yield env.timeout(delay)
    branch.leave(state, state.after, branch.input, state.next)


def _moment(branch: Branch, state: State, text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
        if "T" not in text or moment.tzinfo is None:
            raise ValueError(text)
    except ValueError:
        problem = f"Timestamp is '{text}'; it must be RFC 3339, as in 2026-01-31T12:00:00Z."
        raise TaskError(RUNTIME, branch.blame(state, problem)) from None
    return moment


def with_retries(branch: Branch, state: State, attempt: Callable[[Branch, State], Waiting]) -> Waiting:
    """Run attempts of a Task, Parallel or Map until one succeeds or an error gets through.

    The result's Output and Assign belong to the attempt: their failures are retried and caught
    too. What fails in a catcher's own Output is not.
    """
    used = [0] * len(state.retry)
    while True:
        try:
            result = yield from attempt(branch, state)
            branch.show_result(result)
            branch.leave(state, state.after, result, state.next)
            return
        except TaskError as error:
            branch.note(state, error)
            if isinstance(error, HistoryFullError):
                raise
            delay = _retry_delay(branch, state, error, used)
            if delay is None:
                _catch(branch, state, error)
                return
        branch.retry_count += 1
        branch.children = branch.map_run = None
        branch.forget()
        yield branch.interpreter.env.timeout(delay)


def _retry_delay(branch: Branch, state: State, error: TaskError, used: list[int]) -> float | None:
    """Return the wait of the first retrier that answers, None if it is used up or there is none."""
    for place, retrier in enumerate(state.retry):
        if matches(retrier.errors, error.error):
            delay = retrier.delay(used[place], branch.interpreter.random)
            used[place] += 1
            return delay
    return None


def _catch(branch: Branch, state: State, error: TaskError) -> None:
    for catcher in state.catch:
        if matches(catcher.errors, error.error):
            output = {"Error": error.error}
            if error.cause is not None:
                output["Cause"] = error.cause
            branch.show_error(output)
            branch.leave(state, catcher.after, output, catcher.next)
            return
    raise error


def arguments_of(branch: Branch, state: State) -> Any:
    """Return the Arguments of a Task or Parallel, or the state's input where there are none."""
    if "Arguments" not in state.fields:
        value = branch.input
        branch.arguments_text = text_of(value)
        return value
    value = state.fields["Arguments"].evaluate(branch.interpreter.expressions, branch)
    branch.arguments_text = fitting(text_of(value), state.name)
    return value


QUICK: dict[str, Callable[[Branch, State], None]] = {
    "Pass": _pass,
    "Succeed": _succeed,
    "Choice": _choice,
    "Fail": _fail,
}
