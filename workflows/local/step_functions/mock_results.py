"""Whether a mocked result has the shape of the API that it stands for: TestState's fieldValidationMode."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from botocore.model import Shape

from workflows.local.service_model import operation_model
from workflows.local.step_functions.sdk import action_of

# What `.sync` gives has the shape of the description of its job (AWS.md 9.10).
_OF_JOBS = {
    "arn:aws:states:::sagemaker:createTrainingJob.sync": "DescribeTrainingJob",
    "arn:aws:states:::sagemaker:createProcessingJob.sync": "DescribeProcessingJob",
}
_KINDS: dict[str, tuple[type, ...]] = {
    "structure": (dict,),
    "map": (dict,),
    "list": (list,),
    "string": (str,),
    "blob": (str,),
    "boolean": (bool,),
    "integer": (int,),
    "long": (int,),
    "float": (int, float),
    "double": (int, float),
    "timestamp": (str, int, float),
}


def problems_of_result(resource: str, kind: str, result: Any, mode: str) -> list[str]:
    """What does not fit; STRICT also asks for the required members, PRESENT for the types alone."""
    if kind == "Map":
        return [] if isinstance(result, list) else ["the result of a Map is an array"]
    if kind == "Parallel":
        return [] if isinstance(result, list) else ["the result of a Parallel is an array"]
    shape = _shape(resource)
    return list(_problems(shape, result, "", mode == "STRICT")) if shape is not None else []


def _shape(resource: str) -> Shape | None:
    if resource in _OF_JOBS:
        return operation_model("sagemaker", _OF_JOBS[resource]).output_shape
    action = action_of(resource)
    return action.model.output_shape if action else None


def _problems(shape: Any, value: Any, where: str, strict: bool) -> Iterator[str]:
    kind, given = shape.type_name, value
    if not isinstance(given, _KINDS.get(kind, (object,))):
        yield f"{where or 'the result'} is {type(value).__name__}, not {kind}"
    elif kind == "structure":
        yield from _members(shape, value, where, strict)
    elif kind == "list":
        for place, each in enumerate(value):
            yield from _problems(shape.member, each, f"{where}[{place}]", strict)
    elif kind == "map":
        for key, each in value.items():
            yield from _problems(shape.value, each, f"{where}.{key}", strict)


def _members(shape: Any, value: dict[str, Any], where: str, strict: bool) -> Iterator[str]:
    members = {name[:1].upper() + name[1:]: (name, each) for name, each in shape.members.items()}
    for key, each in value.items():
        at = f"{where}.{key}".lstrip(".")
        if key not in members:
            yield f"{at} is no field of {shape.name}"
        else:
            yield from _problems(members[key][1], each, at, strict)
    if strict:
        missing = (key for key, (name, _) in members.items() if name in shape.required_members)
        yield from (f"{where or 'the result'} lacks {key}" for key in missing if key not in value)
