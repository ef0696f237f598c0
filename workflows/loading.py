"""File -> `Pipeline`, and every mistake as one clear line: file, place, what was found, what is allowed."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, get_args

import yaml
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from workflows.errors import RelayError, unknown
from workflows.pipeline import KINDS, Pipeline
from workflows.settings import Model
from workflows.stages import JobStage

Place = tuple[str | int, ...]
UNION_TAGS = {*KINDS, "uri", "framework"}  # in pydantic's locations, not in the file
LARGEST_FILE = 1_000_000  # bytes; a pipeline is written by hand


class SpecificationError(RelayError):
    """One or more mistakes in a pipeline; `problems` holds a line for each."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = list(problems)


def load(path: Path) -> Pipeline:
    """The pipeline in a YAML or Python file, its scripts looked up beside it. Raises SpecificationError."""
    if path.suffix == ".py":
        from workflows.python_pipelines import load_python

        return load_python(path)
    return _load_yaml(path)


def _load_yaml(path: Path) -> Pipeline:
    text = readable(path)
    node = _compose(path, text)
    data = yaml.safe_load(text)
    if not isinstance(data, dict):
        raise SpecificationError(
            [f"{path}:1: found {_show(data)}; a pipeline is a mapping with `name` and `stages`"]
        )
    duplicates = list(_duplicate_keys(path, node))
    if duplicates:
        raise SpecificationError(duplicates)
    try:
        pipeline = Pipeline.model_validate(data)
    except ValidationError as error:
        raise SpecificationError([_line(path, node, detail) for detail in _leading(error)]) from None
    missing = [
        f"{path}:{_find(node, ('stages', index, 'script')).start_mark.line + 1}: {place}: {what}"
        for index, place, what in missing_files(path.parent, pipeline)
    ]
    if missing:
        raise SpecificationError(missing)
    return pipeline


def describe(error: ValidationError) -> list[str]:
    """The mistakes in a model that was made in Python, each as `place: problem`."""
    root = next((model for model in _models() if model.__name__ == error.title), Pipeline)
    lines = []
    for detail in _leading(error):
        place = _without_tags(tuple(detail.get("ctx", {}).get("at") or detail["loc"]))
        model = "" if error.title == Pipeline.__name__ else error.title
        lines.append(": ".join(filter(None, [model, _spell(place), _problem(detail, place, root)])))
    return lines


def json_schema() -> dict[str, Any]:
    """The JSON schema of the specification, for editors (`yaml-language-server: $schema=...`)."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Relay pipeline",
        **Pipeline.model_json_schema(),
    }


# ------------------------------------------------------------------------------------------------ reading
def readable(path: Path) -> str:
    """The text of a pipeline's file. Raises SpecificationError."""
    try:
        if path.stat().st_size > LARGEST_FILE:
            raise SpecificationError([f"{path}: larger than {LARGEST_FILE:,} bytes: is it a pipeline?"])
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        near = difflib.get_close_matches(path.name, [p.name for p in _siblings(path)], 1)
        hint = f"; did you mean `{path.with_name(near[0])}`?" if near else ""
        raise SpecificationError([f"{path}: no such file{hint}"]) from None
    except IsADirectoryError:
        raise SpecificationError([f"{path}: is a folder; name the pipeline's file in it"]) from None
    except (OSError, UnicodeDecodeError) as error:
        raise SpecificationError([f"{path}: cannot be read: {error}"]) from None


def _siblings(path: Path) -> list[Path]:
    kinds = "*.py" if path.suffix == ".py" else "*.y*ml"
    return list(path.parent.glob(kinds)) if path.parent.is_dir() else []


def _compose(path: Path, text: str) -> yaml.Node:
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        yaml.safe_load(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        place = f":{mark.line + 1}:{mark.column + 1}" if mark else ""
        problem = getattr(error, "problem", None) or str(error)
        raise SpecificationError([f"{path}{place}: not YAML: {problem}"]) from None
    except RecursionError:
        raise SpecificationError([f"{path}: nested too deeply"]) from None
    if node is None:
        raise SpecificationError([f"{path}: is empty; a pipeline has a `name` and `stages`"])
    return node


def _duplicate_keys(path: Path, node: yaml.Node) -> Iterator[str]:
    """YAML's safe loader silently takes the last of two equal keys; here that is a mistake."""
    if isinstance(node, yaml.MappingNode):
        seen: set[str] = set()
        for key, value in node.value:
            if key.value in seen:
                yield f"{path}:{key.start_mark.line + 1}: the key `{key.value}` stands twice"
            seen.add(key.value)
            yield from _duplicate_keys(path, value)
    elif isinstance(node, yaml.SequenceNode):
        for item in node.value:
            yield from _duplicate_keys(path, item)


# ----------------------------------------------------------------------------------------------- messages
def _line(path: Path, root: yaml.Node, detail: ErrorDetails) -> str:
    """One mistake as `file:line: place: problem`."""
    context = detail.get("ctx", {})
    place = _in_yaml(root, tuple(context.get("at") or detail["loc"]))
    node = _find(root, place)
    where = f"{path}:{node.start_mark.line + 1}: {_spell(place) or 'pipeline'}"
    return f"{where}: {_problem(detail, place)}"


def _leading(error: ValidationError) -> list[ErrorDetails]:
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


def _problem(detail: ErrorDetails, place: Place, root: type[BaseModel] = Pipeline) -> str:
    kind, found, context = detail["type"], detail.get("input"), detail.get("ctx", {})
    if kind == "extra_forbidden":
        allowed = _fields_at(detail["loc"][:-1], root)
        return unknown("field", str(place[-1]), allowed)
    if kind == "missing":
        return f"the field `{detail['loc'][-1]}` is missing"
    if kind == "value_error":
        return f"found {_show(found)}; expected {context.get('error', detail['msg'])}"
    if kind == "string_pattern_mismatch":
        return f"found {_show(found)}; allowed: {_explain(str(context['pattern']))}"
    if kind in _BOUNDS:
        name, words = _BOUNDS[kind]
        return f"found {_show(found)}; expected {words} {context[name]}"
    if kind in _SHAPES:
        return f"found {_show(found)}; expected {_SHAPES[kind]}"
    if "allowed" in context:
        return unknown(str(context["what"]), str(context["found"]), list(context["allowed"]))
    if kind in _OWN_WORDS:
        return detail["msg"]
    return f"found {_show(found)}; {detail['msg'][0].lower()}{detail['msg'][1:]}"


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


def _show(value: Any) -> str:
    text = repr(value) if not isinstance(value, str) else f'"{value}"'
    return text if len(text) <= 80 else text[:77] + "..."


def _spell(place: Place) -> str:
    text = ""
    for part in place:
        if part == "[key]":  # pydantic's mark of a key that is wrong itself
            continue
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text


# ------------------------------------------------------------------------------------------------- places
def _in_yaml(root: yaml.Node, location: Place) -> Place:
    """Pydantic's location without the names of union members, as far as the file goes."""
    place: list[str | int] = []
    node: yaml.Node | None = root
    for part in location:
        child = _child(node, part)
        if child is None and part in UNION_TAGS:
            continue  # e.g. ("stages", 0, "train", "name")
        place.append(part)
        node = child if child is not None else node
    return tuple(place)


def _child(node: yaml.Node | None, part: str | int) -> yaml.Node | None:
    if isinstance(node, yaml.MappingNode):
        return next((value for key, value in node.value if key.value == part), None)
    if isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
        item: yaml.Node = node.value[part]
        return item
    return None


def _find(root: yaml.Node, place: Place) -> yaml.Node:
    """The node at a place, or the deepest one on the way to it; for a mapping's entry, its key."""
    node, shown = root, root
    for part in place:
        child = _child(node, part)
        if child is None:
            break
        keys = node.value if isinstance(node, yaml.MappingNode) else []
        shown = next((key for key, _ in keys if key.value == part), child)
        node = child
    return shown


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


def missing_files(folder: Path, pipeline: Pipeline) -> Iterator[tuple[int, str, str]]:
    """(index of the stage, place, what is wrong) of every script that is not in its folder."""
    for index, stage in enumerate(pipeline.stages):
        if not isinstance(stage, JobStage):
            continue
        source = folder / stage.source
        if not stage.script or (source / stage.script).is_file():
            continue
        names = sorted(str(p.relative_to(source)) for p in source.glob("**/*.py"))[:200]
        near = difflib.get_close_matches(stage.script, names, 1)
        hint = f"; did you mean `{near[0]}`?" if near else ""
        yield index, f"stages[{index}].script", f"no file `{stage.script}` in {source.resolve()}{hint}"
