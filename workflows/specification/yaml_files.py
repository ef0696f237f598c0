"""A pipeline written in YAML: file -> `Pipeline`, each mistake with the line on which it stands."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import yaml
from pydantic import ValidationError
from pydantic_core import ErrorDetails

from workflows.specification.mistakes import (
    UNION_TAGS,
    Place,
    SpecificationError,
    leading,
    missing_files,
    shown,
    spelt,
    what_is_wrong,
)
from workflows.specification.pipeline import Pipeline
from workflows.specification.text_files import readable


def load_yaml(path: Path) -> Pipeline:
    """The pipeline in a YAML file, its scripts looked up beside it. Raises SpecificationError."""
    text = readable(path)
    node = _compose(path, text)
    data = yaml.safe_load(text)
    if not isinstance(data, dict):
        raise SpecificationError(
            [f"{path}:1: found {shown(data)}; a pipeline is a mapping with `name` and `stages`"]
        )
    duplicates = list(_duplicate_keys(path, node))
    if duplicates:
        raise SpecificationError(duplicates)
    try:
        pipeline = Pipeline.model_validate(data)
    except ValidationError as error:
        raise SpecificationError([_line(path, node, detail) for detail in leading(error)]) from None
    missing = [
        f"{path}:{_find(node, ('stages', index, 'script')).start_mark.line + 1}: {place}: {what}"
        for index, place, what in missing_files(path.parent, pipeline)
    ]
    if missing:
        raise SpecificationError(missing)
    return pipeline


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


def _line(path: Path, root: yaml.Node, detail: ErrorDetails) -> str:
    """One mistake as `file:line: place: problem`."""
    context = detail.get("ctx", {})
    place = _in_yaml(root, tuple(context.get("at") or detail["loc"]))
    node = _find(root, place)
    where = f"{path}:{node.start_mark.line + 1}: {spelt(place) or 'pipeline'}"
    return f"{where}: {what_is_wrong(detail, place)}"


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
