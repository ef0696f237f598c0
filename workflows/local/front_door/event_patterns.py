"""EventBridge's patterns, which choose events for a rule, and its transformers of what a target is sent.

Source: EventBridge user guide, "Event patterns" and "Input transformation".
"""

from __future__ import annotations

import fnmatch
import json
import operator
import re
from collections.abc import Callable, Mapping
from typing import Any

_ABSENT = object()
_PLACEHOLDER = re.compile(r"<([A-Za-z0-9_.-]+)>")

_COMPARISONS: dict[str, Callable[[Any, Any], bool]] = {
    "=": operator.eq,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


Question = Callable[[Any], bool]
"""Asked of an event, or of a part of it."""

Glance = Callable[[Any], bool | None]
"""Asked of some of its members; None when it depends on the others."""


def matches(pattern: Mapping[str, Any], event: Any) -> bool:
    """Whether the event has, in every place that the pattern names, one of the values it lists."""
    return _matching(pattern)(event)


class EventPattern:
    """A pattern that many events are asked about, read once.

    `wants(event)` is the answer, `glance(known)` the same as far as some members of the event tell: whether
    they rule it out, or let it through whatever the others say.
    """

    def __init__(self, pattern: Mapping[str, Any]) -> None:
        self.wants: Question = _matching(pattern)
        self.glance: Glance = _glancing(pattern)


def _matching(pattern: Mapping[str, Any]) -> Question:
    questions = [_place(name, wanted) for name, wanted in pattern.items()]

    def ask(event: Any) -> bool:
        # What is no object has nothing in any place.
        there = event if isinstance(event, dict) else {}
        return all(question(there) for question in questions)

    return ask


def _place(name: str, wanted: Any) -> Question:
    if name == "$or":
        either = [_matching(each) for each in wanted]
        return lambda event: any(each(event) for each in either)
    if isinstance(wanted, Mapping):
        inside = _matching(wanted)
        return lambda event: inside(event.get(name))
    fits = _listed(wanted)
    return lambda event: fits(event.get(name, _ABSENT))


def _glancing(pattern: Mapping[str, Any]) -> Glance:
    # Most events are ruled out by one text among few. What has to be looked into comes after those, and what
    # is more than a list of texts (a name's beginning) last.
    places = sorted(pattern.items(), key=_effort)
    return _all([_known_place(name, wanted) for name, wanted in places])


def _effort(place: tuple[str, Any]) -> int:
    name, wanted = place
    if name == "$or" or isinstance(wanted, Mapping):
        return 1
    return 0 if all(isinstance(each, str) for each in wanted) else 2


def _known_place(name: str, wanted: Any) -> Glance:
    if name == "$or":
        return _any([_glancing(each) for each in wanted])
    if isinstance(wanted, Mapping):
        inside = _glancing(wanted)
        return lambda known: inside(known.get(name))
    fits = _listed(wanted)
    return lambda known: fits(known[name]) if name in known else None


def _all(glances: list[Glance]) -> Glance:
    def look(known: Any) -> bool | None:
        there = known if isinstance(known, dict) else {}
        sure: bool | None = True
        for glance in glances:
            answer = glance(there)
            if answer is False:
                return False
            sure = sure and answer
        return sure

    return look


def _any(glances: list[Glance]) -> Glance:
    def look(known: Any) -> bool | None:
        sure: bool | None = False
        for glance in glances:
            answer = glance(known)
            if answer:
                return True
            sure = None if answer is None else sure
        return sure

    return look


def target_input(target: Mapping[str, Any], event: Mapping[str, Any]) -> str:
    """The JSON text that a target is sent: Input, InputPath, InputTransformer, or the event."""
    if "Input" in target:
        return str(target["Input"])
    if "InputPath" in target:
        return json.dumps(_at(event, target["InputPath"]))
    if "InputTransformer" in target:
        paths = target["InputTransformer"].get("InputPathsMap", {})
        values = {name: _at(event, path) for name, path in paths.items()}
        return _transformed(str(target["InputTransformer"]["InputTemplate"]), values, event)
    return json.dumps(event)


def _listed(wanted: list[Any]) -> Question:
    # The usual rule is a list of texts.
    texts = frozenset(each for each in wanted if isinstance(each, str))
    others = [each for each in wanted if not isinstance(each, str)]

    def ask(found: Any) -> bool:
        if isinstance(found, str) and found in texts:
            return True
        return bool(others) and any(_fits(each, found) for each in others)

    # A list in the event matches when one of its members does.
    return lambda found: any(map(ask, found)) if isinstance(found, list) else ask(found)


def _fits(wanted: Any, found: Any) -> bool:
    if isinstance(wanted, str) or not isinstance(wanted, Mapping):
        return type(wanted) is type(found) and bool(wanted == found)
    kind, argument = next(iter(wanted.items()))
    if kind == "exists":
        return bool(argument) == (found is not _ABSENT)
    if found is _ABSENT:
        return False
    if kind == "anything-but":
        if isinstance(argument, Mapping):
            return not _fits(argument, found)
        return not _listed(argument if isinstance(argument, list) else [argument])(found)
    if kind == "numeric":
        return _numeric(argument, found)
    return isinstance(found, str) and _text_fits(kind, argument, found)


def _text_fits(kind: str, argument: Any, found: str) -> bool:
    if isinstance(argument, Mapping):  # {"prefix": {"equals-ignore-case": "a"}}
        argument, found = str(argument["equals-ignore-case"]).lower(), found.lower()
    if kind == "prefix":
        return found.startswith(argument)
    if kind == "suffix":
        return found.endswith(argument)
    if kind == "equals-ignore-case":
        return found.lower() == str(argument).lower()
    if kind == "wildcard":
        return fnmatch.fnmatchcase(found, re.sub(r"([\[\]?])", r"[\1]", argument))
    return False


def _numeric(argument: list[Any], found: Any) -> bool:
    if isinstance(found, bool) or not isinstance(found, int | float):
        return False
    pairs = zip(argument[::2], argument[1::2], strict=True)
    return all(_COMPARISONS[sign](found, limit) for sign, limit in pairs)


def _at(event: Any, path: str) -> Any:
    """The value at a simple JSON path: `$.detail.Tags`, `$.resources[0]`."""
    for name, index in re.findall(r"\.([^.\[]+)|\[(\d+)\]", path):
        try:
            event = event[name] if name else event[int(index)]
        except (KeyError, IndexError, TypeError):
            return None
    return event


def _transformed(template: str, values: Mapping[str, Any], event: Mapping[str, Any]) -> str:
    own = {
        "aws.events.event": event,
        "aws.events.event.json": event,
        "aws.events.event.ingestion-time": event.get("time"),
    }
    known = {**own, **values}

    def replace(found: re.Match[str]) -> str:
        if found[1] not in known:
            return found[0]
        value = known[found[1]]
        # Within quotes a text stands for itself; elsewhere every value is JSON.
        quoted = template.count('"', 0, found.start()) % 2 == 1
        if quoted:
            return json.dumps(value)[1:-1] if isinstance(value, str) else json.dumps(value)
        return json.dumps(value)

    return _PLACEHOLDER.sub(replace, template)
