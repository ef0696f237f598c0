"""Requests to an AWS API, checked against botocore's own model of the service."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import cache
from typing import Any, TypeVar

import botocore.session
from botocore.model import OperationModel, ServiceModel, Shape
from botocore.validate import ParamValidator

from workflows.local.errors import ServiceError

T = TypeVar("T")


@cache
def service_model(service: str) -> ServiceModel:
    """Return botocore's model of a service."""
    return botocore.session.get_session().get_service_model(service)


def operation_model(service: str, operation: str) -> OperationModel:
    """Return the model of an operation; raises UnknownOperationException for one AWS lacks."""
    model = service_model(service)
    if operation not in model.operation_names:
        raise ServiceError("UnknownOperationException", f"{service} has no operation {operation}")
    return model.operation_model(operation)


def check_request(service: str, operation: str, request: dict[str, Any]) -> None:
    """Raise ValidationException for what the model forbids: types, lengths, enums, patterns."""
    shape = operation_model(service, operation).input_shape
    report = ParamValidator().validate(request, shape)
    if report.has_errors():
        raise ServiceError("ValidationException", report.generate_report())
    problems = list(_beyond(shape, request, ""))
    if problems:
        plural = "error" if len(problems) == 1 else "errors"
        text = "; ".join(problems)
        raise ServiceError("ValidationException", f"{len(problems)} validation {plural} detected: {text}")


def _beyond(shape: Shape, value: Any, name: str) -> Iterator[str]:
    """What the service checks and botocore's client does not: enums, patterns, upper bounds."""
    if shape.type_name == "structure":
        for key, member in shape.members.items():
            if value.get(key) is not None:
                yield from _beyond(member, value[key], f"{name}.{key}" if name else key)
    elif shape.type_name == "list":
        yield from _size(shape, len(value), value, name, "length")
        for place, item in enumerate(value):
            yield from _beyond(shape.member, item, f"{name}.{place + 1}.member")
    elif shape.type_name == "string":
        yield from _string(shape, value, name)
    elif shape.type_name in ("integer", "long"):
        yield from _size(shape, value, value, name, "value")


def _string(shape: Shape, value: str, name: str) -> Iterator[str]:
    yield from _size(shape, len(value), value, name, "length")
    enum = shape.metadata.get("enum")
    if enum and value not in enum:
        yield f"{_at(value, name)}Member must satisfy enum value set: [{', '.join(enum)}]"
    pattern = shape.metadata.get("pattern")
    if pattern:
        pattern = pattern.replace(r"\p{ASCII}", r"[\x00-\x7f]")
        if re.fullmatch(pattern, value) is None:
            yield f"{_at(value, name)}Member must satisfy regular expression pattern: {pattern}"


def _size(shape: Shape, size: int, value: Any, name: str, what: str) -> Iterator[str]:
    most = shape.metadata.get("max")
    if most is not None and size > most:
        yield f"{_at(value, name)}Member must have {what} less than or equal to {most}"


def _at(value: Any, name: str) -> str:
    shown = str(value)
    shown = shown if len(shown) <= 100 else shown[:100] + "..."
    return f"Value '{shown}' at '{name}' failed to satisfy constraint: "


def page(items: Sequence[T], request: dict[str, Any], most: int) -> tuple[list[T], dict[str, str]]:
    """Cut one page out of a list; returns it with the `nextToken` to add to the answer."""
    token = request.get("nextToken")
    start = 0
    if token is not None:
        found = re.fullmatch(r"after-(\d+)", token)
        if found is None:
            raise ServiceError("InvalidToken", f"Invalid Token: '{token}'")
        start = int(found[1])
    size = request.get("maxResults") or most
    end = start + size
    return list(items[start:end]), {"nextToken": f"after-{end}"} if end < len(items) else {}
