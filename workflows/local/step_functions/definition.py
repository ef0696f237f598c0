"""Checks a definition as CreateStateMachine does, with AWS's codes."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from workflows.local.garbage import uncollected
from workflows.local.json_texts import size_of
from workflows.local.step_functions.fields import (
    ALLOWED,
    JSONPATH_ONLY,
    NOT_HERE,
    REQUIRED,
    check_catch,
    check_processor,
    check_retry,
    check_values,
)
from workflows.local.step_functions.jsonata.expressions import Expressions
from workflows.local.step_functions.jsonata.json_values import ExpressionError
from workflows.local.step_functions.jsonata.templates import expressions_in
from workflows.specification.aws_limits import MOST_DEFINITION

SCHEMA = "SCHEMA_VALIDATION_FAILED"
TRANSITION = "MISSING_TRANSITION_TARGET"
NO_END = "MISSING_END_STATE"
BAD_EXPRESSION = "INVALID_JSONATA_EXPRESSION"
UNSUPPORTED = "UNSUPPORTED_JSONATA_EXPRESSION"

Refusal = Callable[[str], str | None]
MACHINE_FIELDS = {"Comment", "StartAt", "States", "Version", "TimeoutSeconds", "QueryLanguage"}
TYPES = ("Task", "Wait", "Pass", "Succeed", "Fail", "Choice", "Parallel", "Map")


@dataclass(frozen=True, slots=True)
class Problem:
    """One diagnostic, as ValidateStateMachineDefinition lists it."""

    code: str
    message: str
    location: str | None = None

    def __str__(self) -> str:
        where = f" at {self.location}" if self.location else ""
        return f"{self.code}: {self.message}{where}"


def check(definition: str, expressions: Expressions, refusal: Refusal) -> list[Problem]:
    """Return everything that keeps a definition from being created; empty when it can be.

    `refusal` says why a Task resource cannot run here, None when it can.
    """
    if size_of(definition) > MOST_DEFINITION:
        return [Problem("INVALID_DEFINITION", f"Definition is larger than {MOST_DEFINITION} bytes.")]
    try:
        body = json.loads(definition)
    except (ValueError, RecursionError) as error:
        return [Problem("INVALID_JSON_DESCRIPTION", f"Invalid JSON: {error}")]
    if not isinstance(body, dict):
        return [Problem(SCHEMA, "Definition must be a JSON object", "/")]
    if body.get("QueryLanguage") != "JSONata":
        # Relay compiles to JSONata only, so its interpreter speaks nothing else.
        found = json.dumps(body.get("QueryLanguage", "JSONPath"))
        message = (
            f"QueryLanguage is {found}; the local world runs only state machines whose top-level "
            'QueryLanguage is "JSONata"'
        )
        return [Problem(SCHEMA, message, "/QueryLanguage")]
    checker = _Checker(expressions, refusal)
    with uncollected():  # parsed expressions stay for good
        checker.machine(body)
    return checker.problems


class _Checker:
    """Collects the problems of a machine and everything inside it."""

    def __init__(self, expressions: Expressions, refusal: Refusal) -> None:
        self.expressions = expressions
        self.refusal = refusal
        self.problems: list[Problem] = []
        self.names: set[str] = set()  # of states: unique in the whole machine

    def add(self, message: str, location: str, code: str = SCHEMA) -> None:
        self.problems.append(Problem(code, message, location))

    def machine(self, body: dict[str, Any]) -> None:
        for key in body.keys() - MACHINE_FIELDS:
            self.add(f"Field '{key}' is not supported", "/")
        timeout = body.get("TimeoutSeconds", 1)
        if not isinstance(timeout, int) or isinstance(timeout, bool) or timeout < 1:
            self.add("Expected value of type [INTEGER] of at least 1", "/TimeoutSeconds")
        self.states(body, "", frozenset())

    def states(self, body: dict[str, Any], where: str, outer: frozenset[str]) -> None:
        """Check `StartAt` and `States` of a machine, a branch or an ItemProcessor."""
        states = body.get("States")
        for key in ("StartAt", "States"):
            if key not in body:
                self.add(f"These fields are required: [{key}]", where or "/")
        if not isinstance(states, dict) or not isinstance(body.get("StartAt"), str):
            return
        if not states:
            self.add("States must not be empty", f"{where}/States")
        inside = outer | _assigned(states)
        for name, state in states.items():
            if name in self.names:
                self.add(f"Duplicate State name: {name}", f"{where}/States/{name}", "DUPLICATE_STATE_NAME")
            self.names.add(name)
            self.state(name, state, f"{where}/States/{name}", outer, inside)
        self.transitions(body["StartAt"], states, where)

    def state(self, name: str, state: Any, where: str, outer: frozenset[str], inside: frozenset[str]) -> None:
        if not 1 <= len(name) <= 80:
            self.add("State names must be 1 to 80 characters", where)
        if not isinstance(state, dict):
            self.add("Expected value of type [OBJECT]", where)
            return
        kind = state.get("Type")
        if kind not in TYPES:
            values = ", ".join(TYPES)
            self.add(f"The field 'Type' should have one of these values: [{values}]", f"{where}/Type")
            return
        if state.get("QueryLanguage", "JSONata") != "JSONata":
            message = "'QueryLanguage' can not be 'JSONPath' if set to 'JSONata' for whole state machine"
            self.add(message, where)
            return
        self.fields(kind, state, where)
        for message, at in check_values(kind, state):
            self.add(message, f"{where}/{at}" if at else where)
        for message, at in (*check_retry(state), *check_catch(state)):
            self.add(message, f"{where}/{at}")
        self.next_or_end(kind, state, where)
        self.queries(state, where)
        self.assignments(state, where, outer)
        if kind == "Task" and isinstance(state.get("Resource"), str):
            reason = self.refusal(state["Resource"])
            if reason is not None:
                self.add(reason, f"{where}/Resource")
        self.inner(kind, state, where, inside)

    def fields(self, kind: str, state: dict[str, Any], where: str) -> None:
        for key in state:
            if key in JSONPATH_ONLY:
                message = (
                    f"The QueryLanguage is set to 'JSONata', but field '{key}' is only supported "
                    "for the 'JSONPath' QueryLanguage"
                )
                self.add(message, where)
            elif key in NOT_HERE:
                self.add(f"Field '{key}' is not supported by the local world, though by AWS", where)
            elif key not in ALLOWED[kind]:
                self.add(f"Field '{key}' is not supported", where)
        missing = [key for key in REQUIRED.get(kind, ()) if key not in state]
        if missing:
            self.add(f"These fields are required: [{', '.join(missing)}]", where)

    def next_or_end(self, kind: str, state: dict[str, Any], where: str) -> None:
        if kind in ("Choice", "Succeed", "Fail"):
            return
        given = [key for key in ("Next", "End") if key in state]
        if len(given) != 1:
            self.add("Exactly one of these fields is required: [Next, End]", where)
        if "End" in state and state["End"] is not True:
            self.add("The field 'End' must be true", f"{where}/End")

    def queries(self, state: dict[str, Any], where: str) -> None:
        """Check every expression: it parses, and reads nothing that does not exist."""
        inner = {"Branches", "ItemProcessor", "Retry", "Next", "Default", "Comment", "Resource"}
        for key, value in state.items():
            if key in inner:
                continue
            for text, location in expressions_in(value, key):
                self.query(text, f"{where}/{location}", key == "Catch")

    def query(self, text: str, where: str, in_catch: bool) -> None:
        try:
            expression = self.expressions.compile(text)
        except ExpressionError as error:
            self.add(str(error), where, BAD_EXPRESSION)
            return
        for message in expression.unsupported():
            self.add(message, where, UNSUPPORTED)
        if "$states.errorOutput" in text and not in_catch:
            message = "Reference to '$states.errorOutput' is not supported."
            self.add(message, where, UNSUPPORTED)

    def assignments(self, state: dict[str, Any], where: str, outer: frozenset[str]) -> None:
        for names, at in _assigns(state):
            if not isinstance(names, dict):
                self.add("Expected value of type [OBJECT]", f"{where}/{at}")
                continue
            for name in names:
                if not (name.isidentifier() and len(name) <= 80) or name == "states":
                    self.add(f"'{name}' is not a valid variable name", f"{where}/{at}/{name}")
                if name in outer:
                    message = f"Variable '{name}' is assigned in an outer scope"
                    self.add(message, f"{where}/{at}/{name}")

    def inner(self, kind: str, state: dict[str, Any], where: str, inside: frozenset[str]) -> None:
        if kind == "Parallel" and isinstance(state.get("Branches"), list):
            if not state["Branches"]:
                self.add("Branches must not be empty", f"{where}/Branches")
            for place, body in enumerate(state["Branches"]):
                self.body(body, f"{where}/Branches[{place}]", {"StartAt", "States"}, inside)
        if kind == "Map" and isinstance(state.get("ItemProcessor"), dict):
            body = state["ItemProcessor"]
            for message, at in check_processor(state):
                self.add(message, f"{where}/{at}")
            config = body.get("ProcessorConfig")
            distributed = isinstance(config, dict) and config.get("Mode") == "DISTRIBUTED"
            self.body(
                body,
                f"{where}/ItemProcessor",
                {"StartAt", "States", "ProcessorConfig"},
                frozenset() if distributed else inside,
            )

    def body(self, body: Any, where: str, allowed: set[str], inside: frozenset[str]) -> None:
        if not isinstance(body, dict):
            self.add("Expected value of type [OBJECT]", where)
            return
        for key in body.keys() - allowed - {"Comment"}:
            self.add(f"Field '{key}' is not supported", where)
        self.states(body, where, inside)

    def transitions(self, start: str, states: dict[str, Any], where: str) -> None:
        """Check that targets exist, that every state is reached, and that the end is."""
        if start not in states:
            self.add(f"Missing 'StartAt' target: {start}", f"{where}/StartAt", TRANSITION)
        reached, ends = {start}, False
        for name, state in states.items():
            if not isinstance(state, dict):
                continue
            ends = ends or state.get("End") is True or state.get("Type") in ("Succeed", "Fail")
            for target, at in targets_of(state):
                key = at.rpartition("/")[2]
                if target not in states:
                    message = f"Missing '{key}' target: {target}"
                    self.add(message, f"{where}/States/{name}/{at}", TRANSITION)
                elif target != name:
                    reached.add(target)
        for name in states:
            if name not in reached:
                message = f'State "{name}" is not reachable.'
                self.add(message, f"{where}/States/{name}", TRANSITION)
        if not ends:
            self.add("No terminal state found in machine.", f"{where}/States", NO_END)


def _list(state: dict[str, Any], key: str) -> list[Any]:
    value = state.get(key)
    return value if isinstance(value, list) else []


def targets_of(state: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """(name, where it stands) of each state that this one leads to."""
    for key in ("Next", "Default"):
        if isinstance(state.get(key), str):
            yield state[key], key
    for key in ("Choices", "Catch"):
        for place, item in enumerate(_list(state, key)):
            if isinstance(item, dict) and isinstance(item.get("Next"), str):
                yield item["Next"], f"{key}[{place}]/Next"


def _assigns(state: dict[str, Any]) -> Iterator[tuple[Any, str]]:
    if "Assign" in state:
        yield state["Assign"], "Assign"
    for key in ("Choices", "Catch"):
        for place, item in enumerate(_list(state, key)):
            if isinstance(item, dict) and "Assign" in item:
                yield item["Assign"], f"{key}[{place}]/Assign"


def _assigned(states: dict[str, Any]) -> frozenset[str]:
    """The variables that the states of one scope assign."""
    found: set[str] = set()
    for state in states.values():
        if isinstance(state, dict):
            for names, _ in _assigns(state):
                found.update(names if isinstance(names, dict) else ())
    return frozenset(found)
