"""A checked definition turned into what the interpreter walks: templates, retriers, choices."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from workflows.local.step_functions.jsonata.expressions import Expressions
from workflows.local.step_functions.jsonata.templates import Template, compile_template
from workflows.local.step_functions.retry import Retrier


@dataclass(frozen=True, slots=True)
class Assignment:
    """The `Assign` and `Output` of a state, a choice or a catcher."""

    assign: tuple[tuple[str, Template], ...] = ()
    output: Template | None = None


@dataclass(frozen=True, slots=True)
class Catcher:
    """One entry of `Catch`."""

    errors: tuple[str, ...]
    next: str
    after: Assignment


@dataclass(frozen=True, slots=True)
class ChoiceRule:
    """One entry of `Choices`."""

    condition: Template
    next: str
    after: Assignment


@dataclass(frozen=True, slots=True)
class State:
    """One state; `fields` holds the templates of the fields its type has."""

    name: str
    type: str
    entered: str  # the kinds of its events
    exited: str
    next: str | None
    after: Assignment
    fields: dict[str, Template] = field(default_factory=dict)
    literals: dict[str, Any] = field(default_factory=dict)
    retry: tuple[Retrier, ...] = ()
    catch: tuple[Catcher, ...] = ()
    choices: tuple[ChoiceRule, ...] = ()
    default: str | None = None
    branches: tuple[Program, ...] = ()
    distributed: bool = False


@dataclass(frozen=True, slots=True)
class Program:
    """States and where they start: a state machine, a branch of a Parallel, the body of a Map."""

    start: str
    states: dict[str, State]
    timeout: float | None = None


_TEMPLATES = (
    "Arguments",
    "Seconds",
    "Timestamp",
    "TimeoutSeconds",
    "HeartbeatSeconds",
    "Error",
    "Cause",
    "Items",
    "ItemSelector",
    "MaxConcurrency",
    "ToleratedFailureCount",
    "ToleratedFailurePercentage",
)


def load_program(definition: str, expressions: Expressions) -> Program:
    """Compile the text of a definition that `definition.check` found valid."""
    return _program(json.loads(definition), expressions)


def _program(body: dict[str, Any], expressions: Expressions) -> Program:
    states = {name: _state(name, text, expressions) for name, text in body["States"].items()}
    return Program(body["StartAt"], states, body.get("TimeoutSeconds"))


def _state(name: str, body: dict[str, Any], expressions: Expressions) -> State:
    bodies = list(body.get("Branches", ()))
    if "ItemProcessor" in body:
        bodies.append(body["ItemProcessor"])
    mode = body.get("ItemProcessor", {}).get("ProcessorConfig", {}).get("Mode")
    return State(
        name=name,
        type=body["Type"],
        entered=f"{body['Type']}StateEntered",
        exited=f"{body['Type']}StateExited",
        next=body.get("Next"),
        after=_assignment(body, "", expressions),
        fields={key: compile_template(expressions, body[key], key) for key in _TEMPLATES if key in body},
        literals={key: body[key] for key in ("Resource", "Label") if key in body},
        retry=tuple(_retrier(item) for item in body.get("Retry", ())),
        catch=tuple(
            Catcher(
                tuple(item["ErrorEquals"]),
                item["Next"],
                _assignment(item, f"Catch[{place}]/", expressions),
            )
            for place, item in enumerate(body.get("Catch", ()))
        ),
        choices=tuple(
            ChoiceRule(
                compile_template(expressions, item["Condition"], f"Choices[{place}]/Condition"),
                item["Next"],
                _assignment(item, f"Choices[{place}]/", expressions),
            )
            for place, item in enumerate(body.get("Choices", ()))
        ),
        default=body.get("Default"),
        branches=tuple(_program(item, expressions) for item in bodies),
        distributed=mode == "DISTRIBUTED",
    )


def _assignment(body: dict[str, Any], prefix: str, expressions: Expressions) -> Assignment:
    return Assignment(
        tuple(
            (name, compile_template(expressions, value, f"{prefix}Assign/{name}"))
            for name, value in body.get("Assign", {}).items()
        ),
        compile_template(expressions, body["Output"], f"{prefix}Output") if "Output" in body else None,
    )


def _retrier(body: dict[str, Any]) -> Retrier:
    return Retrier(
        errors=tuple(body["ErrorEquals"]),
        interval=body.get("IntervalSeconds", 1),
        rate=body.get("BackoffRate", 2.0),
        attempts=body.get("MaxAttempts", 3),
        longest=body.get("MaxDelaySeconds"),
        jitter=body.get("JitterStrategy") == "FULL",
    )
