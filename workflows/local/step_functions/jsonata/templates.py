"""The fields of a state that may hold expressions: compiled once, evaluated at each visit."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Protocol

from workflows.local.service_errors import TaskError
from workflows.local.step_functions.jsonata.expressions import Expression, Expressions
from workflows.local.step_functions.jsonata.json_values import (
    ExpressionError,
    UndefinedError,
    UnsupportedResultError,
)

EVALUATION = "States.QueryEvaluationError"


class EvaluationFailedError(TaskError):
    """An expression failed; `location` is the field, `Output/a/b[0]`, relative to its state."""

    def __init__(self, cause: str, location: str) -> None:
        super().__init__(EVALUATION, cause)
        self.location = location
        self.noted = False


class Scope(Protocol):
    """What an expression can see."""

    @property
    def plain(self) -> Sequence[Any]:
        """The large values among them that are plain JSON as they are."""

    @property
    def seen(self) -> Mapping[str, Any]:
        """The variables and `$states`, prepared for JSONata."""

    def show_context(self) -> None:
        """Put the context object into `$states`."""


class Template:
    """A field's value; `evaluate` returns it with every expression replaced by its result."""

    __slots__ = ()

    def evaluate(self, expressions: Expressions, scope: Scope) -> Any:
        """Return the value, which nobody may change; raises EvaluationFailedError."""
        raise NotImplementedError


class Constant(Template):
    """A value without expressions: always the same object, which nobody may change."""

    __slots__ = ("value",)

    def __init__(self, value: Any) -> None:
        self.value = value

    def evaluate(self, expressions: Expressions, scope: Scope) -> Any:
        return self.value


class Query(Template):
    """One `{% expression %}`."""

    __slots__ = ("expression", "location")

    def __init__(self, expression: Expression, location: str) -> None:
        self.expression = expression
        self.location = location

    def evaluate(self, expressions: Expressions, scope: Scope) -> Any:
        expression = self.expression
        if expression.wants_context:
            scope.show_context()
        try:
            return expressions.evaluate(expression, scope.seen, scope.plain)
        except UndefinedError:
            problem = "returned nothing (undefined)."
        except UnsupportedResultError:
            problem = "returned an unsupported result type."
        except ExpressionError as error:
            problem = f"threw an error during evaluation. {error}"
        raise EvaluationFailedError(f"{self.subject()} {problem}", self.location)

    def subject(self) -> str:
        """How AWS begins a sentence about this expression."""
        return f"The JSONata expression '{self.expression.text}' specified for the field '{self.location}'"


class ObjectTemplate(Template):
    """An object with an expression somewhere inside."""

    __slots__ = ("members",)

    def __init__(self, members: list[tuple[str, Template]]) -> None:
        self.members = members

    def evaluate(self, expressions: Expressions, scope: Scope) -> Any:
        return {key: member.evaluate(expressions, scope) for key, member in self.members}


class ListTemplate(Template):
    """An array with an expression somewhere inside."""

    __slots__ = ("items",)

    def __init__(self, items: list[Template]) -> None:
        self.items = items

    def evaluate(self, expressions: Expressions, scope: Scope) -> Any:
        return [item.evaluate(expressions, scope) for item in self.items]


def expression_text(value: Any) -> str | None:
    """Return what stands between `{%` and `%}`, or None if the value is no expression."""
    if isinstance(value, str) and value.startswith("{%") and value.endswith("%}"):
        return value[2:-2].strip()
    return None


def expressions_in(value: Any, location: str) -> Iterator[tuple[str, str]]:
    """Yield each expression's text and location inside a field."""
    text = expression_text(value)
    if text is not None:
        yield text, location
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from expressions_in(item, f"{location}/{key}")
    elif isinstance(value, list):
        for place, item in enumerate(value):
            yield from expressions_in(item, f"{location}[{place}]")


def compile_template(expressions: Expressions, value: Any, location: str) -> Template:
    """Compile a field; raises ExpressionError for one that does not parse."""
    text = expression_text(value)
    if text is not None:
        return Query(expressions.compile(text), location)
    if isinstance(value, dict):
        members = [
            (key, compile_template(expressions, item, f"{location}/{key}")) for key, item in value.items()
        ]
        if all(isinstance(member, Constant) for _, member in members):
            return Constant(value)
        return ObjectTemplate(members)
    if isinstance(value, list):
        items = [
            compile_template(expressions, item, f"{location}[{place}]") for place, item in enumerate(value)
        ]
        return Constant(value) if all(isinstance(i, Constant) for i in items) else ListTemplate(items)
    return Constant(value)


USUAL: dict[str, type] = {"boolean": bool, "integer": int, "number": int, "string": str, "array": list}
TYPES: dict[str, Callable[[Any], bool]] = {
    "boolean": lambda value: isinstance(value, bool),
    "integer": lambda value: isinstance(value, int) and not isinstance(value, bool),
    "number": lambda value: isinstance(value, int | float) and not isinstance(value, bool),
    "string": lambda value: isinstance(value, str),
    "array": lambda value: isinstance(value, list),
}


def evaluate_as(template: Template, kind: str, expressions: Expressions, scope: Scope) -> Any:
    """Evaluate a field that must be of one JSON type; raises EvaluationFailedError with AWS's words."""
    value = template.evaluate(expressions, scope)
    if value.__class__ is USUAL[kind] or TYPES[kind](value):
        return value
    found = next((name for name, fits in TYPES.items() if fits(value)), None)
    found = found or ("null" if value is None else "object")
    subject, location = "The value", ""
    if isinstance(template, Query):
        subject, location = template.subject(), template.location
    raise EvaluationFailedError(
        f"{subject} returned an unexpected result type. Expected '{kind}', but was '{found}' "
        f"for value: {json.dumps(value, ensure_ascii=False)[:1000]}",
        location,
    )
