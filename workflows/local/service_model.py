"""Checks requests against the models of AWS's services, and refuses them in AWS's words.

botocore's own ParamValidator knows types and required members, but neither patterns nor enums nor
most bounds: those are checked by the service on AWS. Here everything is read from the shapes of the
service model (botocore's `service-2.json`), so there is nothing to keep up to date by hand.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Mapping
from datetime import datetime
from functools import cache
from typing import Any

from botocore.model import OperationModel, OperationNotFoundError, Shape

from workflows.ledger.aws_error_names import service_model
from workflows.local.acceptance import MISFIT, Acceptance, acceptance
from workflows.local.service_errors import ServiceError

JSON = dict[str, Any]

_PYTHON_TYPES: dict[str, tuple[type, ...]] = {
    "string": (str,),
    "integer": (int,),
    "long": (int,),
    "float": (int, float),
    "double": (int, float),
    "boolean": (bool,),
    "timestamp": (datetime, int, float),
    "list": (list, tuple),
    "map": (Mapping,),
    "structure": (Mapping,),
}


@cache
def operation_model(service: str, operation: str) -> OperationModel:
    """The model of one operation; raises UnknownOperationException as the front end of AWS does."""
    try:
        return service_model(service).operation_model(operation)
    except OperationNotFoundError:
        raise ServiceError("UnknownOperationException", "") from None


def checked(service: str, operation: str, request: Mapping[str, Any]) -> JSON:
    """The request without its nulls, which AWS takes for absent members.

    Raises ValidationException, with AWS's text, for each constraint that the request breaks.
    """
    accepted = _acceptance(service, operation)(request)
    if accepted is not MISFIT:
        fitting: JSON = accepted
        return fitting
    shape = operation_model(service, operation).input_shape
    found = list(_problems(shape, request, ""))
    if found:
        errors = "error" if len(found) == 1 else "errors"
        raise ServiceError(
            "ValidationException",
            f"{len(found)} validation {errors} detected: " + "; ".join(found),
        )
    kept: JSON = _without_nulls(shape, request)
    return kept


@cache
def _acceptance(service: str, operation: str) -> Acceptance:
    shape = operation_model(service, operation).input_shape
    return dict if shape is None else acceptance(shape, _compiled)


def _without_nulls(shape: Any, value: Any) -> Any:
    kind = shape.type_name
    if kind == "structure":
        present = {name: each for name, each in value.items() if each is not None}
        return {name: _without_nulls(shape.members[name], each) for name, each in present.items()}
    if kind == "list":
        return [_without_nulls(shape.member, each) for each in value]
    if kind == "map":
        return {key: _without_nulls(shape.value, each) for key, each in value.items()}
    return value


def _problems(shape: Shape, value: Any, path: str) -> Iterator[str]:
    if value is None:
        return
    kind = shape.type_name
    if not _has_type(kind, value):
        raise ServiceError(
            "SerializationException",
            f"{path or 'the request'}: {type(value).__name__} can not be converted to {kind}",
        )
    if kind == "structure":
        yield from _structure_problems(shape, value, path)
    elif kind == "list":
        yield from _bounds(shape, len(value), value, path, "length")
        for index, member in enumerate(value, start=1):
            yield from _present(shape.member, member, f"{path}.{index}.member")
    elif kind == "map":
        yield from _bounds(shape, len(value), value, path, "length")
        for key, member in value.items():
            yield from _problems(shape.key, key, path)
            yield from _present(shape.value, member, f"{path}.{key}.member")
    elif kind == "string":
        yield from _string_problems(shape, value, path)
    elif kind in ("integer", "long", "float", "double"):
        yield from _bounds(shape, value, value, path, "value")


def _structure_problems(shape: Any, value: Mapping[str, Any], path: str) -> Iterator[str]:
    for name in value:
        if name not in shape.members:
            near = difflib.get_close_matches(str(name), shape.members, n=1)
            hint = f"; did you mean {near[0]}?" if near else ""
            where = f" at '{path}'" if path else ""
            raise ServiceError(
                "ValidationException",
                f"relay local: {name!r}{where} is no member of {shape.name}{hint}",
            )
    for name, member in shape.members.items():
        inner = f"{path}.{_camel(name)}" if path else _camel(name)
        if name in shape.required_members:
            yield from _present(member, value.get(name), inner)
        else:
            yield from _problems(member, value.get(name), inner)


def _present(shape: Shape, value: Any, path: str) -> Iterator[str]:
    if value is None:
        yield f"Value null at '{path}' failed to satisfy constraint: Member must not be null"
    else:
        yield from _problems(shape, value, path)


def _string_problems(shape: Any, value: str, path: str) -> Iterator[str]:
    before = list(_bounds(shape, len(value), value, path, "length"))
    yield from before
    if shape.enum and value not in shape.enum:
        yield _said(shape, value, path, f"Member must satisfy enum value set: [{', '.join(shape.enum)}]")
    pattern = shape.metadata.get("pattern")
    # A text of the wrong length is not matched as well: the patterns may be costly on long texts.
    if pattern and not before and not _matches(pattern, value):
        yield _said(shape, value, path, f"Member must satisfy regular expression pattern: {pattern}")


def _bounds(shape: Shape, size: float, value: Any, path: str, what: str) -> Iterator[str]:
    low, high = shape.metadata.get("min"), shape.metadata.get("max")
    if low is not None and size < low:
        yield _said(shape, value, path, f"Member must have {what} greater than or equal to {low}")
    if high is not None and size > high:
        yield _said(shape, value, path, f"Member must have {what} less than or equal to {high}")


def _has_type(kind: str, value: Any) -> bool:
    if kind == "blob":
        return isinstance(value, str | bytes | bytearray) or hasattr(value, "read")
    if isinstance(value, bool):
        return kind == "boolean"
    return isinstance(value, _PYTHON_TYPES.get(kind, (object,)))


def _said(shape: Shape, value: Any, path: str, constraint: str) -> str:
    # What the model calls sensitive (definitions, inputs, outputs) AWS does not repeat.
    shown = "" if shape.metadata.get("sensitive") else f" '{value}'"
    return f"Value{shown} at '{path}' failed to satisfy constraint: {constraint}"


def _camel(name: str) -> str:
    return name[:1].lower() + name[1:]


_JAVA = {r"\p{L}": r"\w", r"\p{N}": r"\d", r"\p{Z}": r"\s", r"\p{M}": "", r"\p{ASCII}": r"[\x00-\x7f]"}


@cache
def _compiled(pattern: str) -> re.Pattern[str] | None:
    # The model's patterns are Java's; Python's re lacks their Unicode classes.
    for java, python in _JAVA.items():
        pattern = pattern.replace(java, python)
    try:
        return re.compile(pattern)
    except re.error:
        return None


def _matches(pattern: str, value: str) -> bool:
    compiled = _compiled(pattern)
    return compiled is None or compiled.fullmatch(value) is not None
