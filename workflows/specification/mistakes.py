"""Every mistake in a pipeline as one clear line: what was found, what is allowed, the nearest valid name.

Where a mistake stands is said by who read the file (`yaml_files.py`, `python_files.py`).
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from workflows.errors import RelayError, unknown
from workflows.specification.pipeline import KINDS, Pipeline
from workflows.specification.settings import Model

Place = tuple[str | int, ...]
UNION_TAGS = {*KINDS, "uri", "framework"}  # in pydantic's locations, not in the file


class SpecificationError(RelayError):
    """One or more mistakes in a pipeline; `problems` holds a line for each."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = list(problems)


def describe(error: ValidationError) -> list[str]:
    """The mistakes in a model that was made in Python, each as `place: problem`."""
    root = next((model for model in _models() if model.__name__ == error.title), Pipeline)
    lines = []
    for detail in leading(error):
        place = _without_tags(tuple(detail.get("ctx", {}).get("at") or detail["loc"]))
        model = "" if error.title == Pipeline.__name__ else error.title
        lines.append(": ".join(filter(None, [model, spelt(place), what_is_wrong(detail, place, root)])))
    return lines


def missing_files(folder: Path, pipeline: Pipeline) -> Iterator[tuple[int, str, str]]:
    """(index of the stage, place, what is wrong) of every script that is not in its folder."""
    for stage in pipeline.jobs:
        index, source = pipeline.stages.index(stage), folder / stage.source
        if not stage.script or (source / stage.script).is_file():
            continue
        names = sorted(str(p.relative_to(source)) for p in source.glob("**/*.py"))[:200]
        near = difflib.get_close_matches(stage.script, names, 1)
        hint = f"; did you mean `{near[0]}`?" if near else ""
        yield index, f"stages[{index}].script", f"no file `{stage.script}` in {source.resolve()}{hint}"


# ------------------------------------------------------------------------------------------------ the words
def leading(error: ValidationError) -> list[ErrorDetails]:
    """The mistakes without those that follow from another one."""
    found = error.errors()
    return [detail for detail in found if not _follows(detail, found)]


def _follows(detail: ErrorDetails, others: Sequence[ErrorDetails]) -> bool:
    """Whether another mistake says it already.

    A list whose items were all refused is also "too short", and a field that was misspelt is also missing.
    """
    if detail["type"] == "missing":
        misspelt = [
            str(other["loc"][-1])
            for other in others
            if other["type"] == "extra_forbidden" and other["loc"][:-1] == detail["loc"][:-1]
        ]
        return bool(difflib.get_close_matches(str(detail["loc"][-1]), misspelt, 1, cutoff=0.5))
    return detail["type"] == "too_short" and bool(detail.get("input"))


def what_is_wrong(detail: ErrorDetails, place: Place, root: type[BaseModel] = Pipeline) -> str:
    kind, found, context = detail["type"], detail.get("input"), detail.get("ctx", {})
    if kind == "extra_forbidden":
        allowed = _fields_at(detail["loc"][:-1], root)
        return unknown("field", str(place[-1]), allowed)
    if kind == "missing":
        return f"the field `{detail['loc'][-1]}` is missing"
    if kind == "value_error":
        return f"found {shown(found)}; expected {context.get('error', detail['msg'])}"
    if kind == "string_pattern_mismatch":
        return f"found {shown(found)}; allowed: {_explain(str(context['pattern']))}"
    if kind in _BOUNDS:
        name, words = _BOUNDS[kind]
        return f"found {shown(found)}; expected {words} {context[name]}"
    if kind in _SHAPES:
        return f"found {shown(found)}; expected {_SHAPES[kind]}"
    if "allowed" in context:
        return unknown(str(context["what"]), str(context["found"]), list(context["allowed"]))
    if kind in _OWN_WORDS:
        return detail["msg"]
    return f"found {shown(found)}; {detail['msg'][0].lower()}{detail['msg'][1:]}"


_OWN_WORDS = {
    "graph",
    "elsewhere",
    "script",
    "backoff",
    "checkpoint",
    "market",
    "inputs",
    "expected",
    "kind",
    "sweep",
} | {
    "network",
    "elsewhere",
    "ladder",
    "container",
}
_BOUNDS = {"greater_than_equal": ("ge", "at least"), "less_than_equal": ("le", "at most")}
_SHAPES = {
    "tuple_type": "a list",
    "dict_type": "a mapping",
    "model_type": "a mapping",
    "model_attributes_type": "a mapping",
    "string_type": "text",
}


_PATTERNS = {
    "ml": "a SageMaker instance type such as ml.g5.2xlarge",
    "name": "a name of 1 to 40 lower-case letters, digits and hyphens that begins with a letter",
}


def _explain(pattern: str) -> str:
    if pattern.startswith("^ml"):
        return _PATTERNS["ml"]
    if pattern.startswith("^[a-z]([a-z0-9-]"):
        return _PATTERNS["name"]
    return f"text that matches {pattern}"


def shown(value: Any) -> str:
    text = repr(value) if not isinstance(value, str) else f'"{value}"'
    return text if len(text) <= 80 else text[:77] + "..."


def spelt(place: Place) -> str:
    text = ""
    for part in place:
        if part == "[key]":  # pydantic's mark of a key that is wrong itself
            continue
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text


def _without_tags(location: Place) -> Place:
    """Pydantic's location without the names of union members, where there is no file to look at."""
    pairs = zip(location, (None, *location), strict=False)
    return tuple(
        part
        for part, before in pairs
        if part not in UNION_TAGS or not (isinstance(before, int) or before == "image")
    )


def _models(base: type[BaseModel] = Model) -> Iterator[type[BaseModel]]:
    """Every model of the specification."""
    for model in base.__subclasses__():
        yield model
        yield from _models(model)


def _fields_at(location: Place, root: type[BaseModel]) -> list[str]:
    """The fields of the model at pydantic's location, seen from `root`."""
    models: list[type[BaseModel]] = [root]
    for part in location:
        if part in KINDS and isinstance(part, str):
            models = [KINDS[part]]
        elif isinstance(part, str):
            inner = [m.model_fields[part].annotation for m in models if part in m.model_fields]
            models = [model for annotation in inner for model in _models_in(annotation)] or models
    return sorted({name for model in models for name in model.model_fields})


def _models_in(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for inner in get_args(annotation) for model in _models_in(inner)]
