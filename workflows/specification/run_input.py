"""What may be said when a run is started: one JSON schema for the console, the API, the schedule and the CLI.

Everything is optional; `{}` runs the pipeline as it is written. The machine's first state checks the same
schema (`state_machine/input_check.py`).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from workflows.errors import RelayError, hint
from workflows.specification.aws_limits import MOST_PREFERENCES
from workflows.specification.deadlines import INPUT_PATTERN
from workflows.specification.durations import PATTERN
from workflows.specification.pipeline import Pipeline
from workflows.specification.stages import JobStage

Schema = dict[str, Any]
LONGEST_KEY = 64  # characters of an idempotency key
SCHEDULED = "scheduled"  # what only a schedule fills in
DROPPED = "dropped"  # in the output of a run of a schedule that did nothing: why

_DURATION = {
    "type": "string",
    "pattern": PATTERN.replace(r"\d", "[0-9]").replace(r"\.", "[.]"),
    "description": "a duration such as 90s, 45m, 2h or 1h30m",
}
_DEADLINE = {
    "type": "string",
    "pattern": INPUT_PATTERN,
    "description": "a deadline such as 36h, 07:30+01:00 or 2026-12-01T06:00:00Z",
}
_KEY = {
    "type": "string",
    "pattern": f"^[A-Za-z0-9][A-Za-z0-9_-]{{0,{LONGEST_KEY - 1}}}$",
    "description": f"1 to {LONGEST_KEY} letters, digits, hyphens and underscores",
}
_SCHEDULED = {
    "type": "string",
    "pattern": "^20[0-9]{2}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])"
    "T([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]([.][0-9]{3})?(Z|[+-][0-9]{2}:[0-9]{2})$",
    "description": "the time of a schedule for which the run is, such as 2026-12-01T06:00:00Z: "
    "one run is started for each, and none beside another",
}
_SCALAR: Schema = {"type": ["string", "number", "boolean"]}


class RunInputError(RelayError):
    """A run input that the schema does not allow."""


def input_schema(pipeline: Pipeline) -> Schema:
    """The JSON schema of the pipeline's run input (draft 4 and later understand it)."""
    names = [stage.name for stage in pipeline.stages]
    jobs = pipeline.jobs
    fields = {
        "deadline": _DEADLINE,
        "budget_usd": {"type": "number", "minimum": 0.01},
        "parameters": _object({stage.name: _object(_parameters(stage)) for stage in jobs}),
        "spot": _object({stage.name: _object(_spot(stage)) for stage in jobs if stage.on_spot}),
        "on_demand": _object(
            {stage.name: _object({"ladder": _ladder(stage)}) for stage in jobs if stage.on_demand.enabled}
        ),
        "from": {"type": "string", "enum": names},
        "only": {
            "type": "array",
            "items": {"type": "string", "enum": names},
            "minItems": 1,
            "uniqueItems": True,
        },
        "reuse": {"type": "boolean"},
        "key": _KEY,
        SCHEDULED: _SCHEDULED,
    }
    return {**_object(fields), "not": {"required": ["from", "only"]}}


def check_input(pipeline: Pipeline, run_input: Any) -> None:
    """Raises RunInputError with a line for every mistake."""
    problems = [
        _hinted(said, schema, value) for said, schema, value in _walk(input_schema(pipeline), run_input)
    ]
    if problems:
        raise RunInputError("\n".join(problems))


def mistakes(schema: Schema, value: Any) -> list[str]:
    """A line for every mistake, in the machine's words and order (`state_machine/input_check.py`)."""
    return [said for said, _, _ in _walk(schema, value)]


def _object(properties: Mapping[str, Any]) -> Schema:
    return {"type": "object", "properties": dict(properties), "additionalProperties": False}


def _parameters(stage: JobStage) -> dict[str, Schema]:
    return dict.fromkeys(stage.settable, _SCALAR)


def _spot(stage: JobStage) -> dict[str, Schema]:
    least = 0 if stage.on_demand.enabled else 1
    return {
        "retry_budget": {"type": "integer", "minimum": least, "maximum": 200},
        "no_progress_limit": {"type": "integer", "minimum": 1, "maximum": 50},
        "patience": _DURATION,
        "ladder": _ladder(stage),
    }


def _ladder(stage: JobStage) -> Schema:
    # Only of these types do images and prices stand in the machine.
    rung = _object(
        {
            "type": {"type": "string", "enum": stage.instance_types()},
            "count": {"type": "integer", "minimum": 1, "maximum": 64},
        }
    )
    most = MOST_PREFERENCES if stage.on_demand.preferences else 10
    return {"type": "array", "items": {**rung, "required": ["type"]}, "minItems": 1, "maxItems": most}


# --------------------------------------------------------------------------------------------- the check
def _walk(schema: Schema, value: Any) -> Iterator[tuple[str, Schema, Any]]:
    """(line, schema, value) of each mistake, level by level."""
    places = [("run input", schema, value)]
    while places:
        for at, rule, found in places:
            yield from ((f"{at}: {said}", rule, found) for said in _said(rule, found, at))
        places = [inner for place in places for inner in _inside(*place)]


def _said(schema: Schema, value: Any, at: str) -> Iterator[str]:
    kind = _kind(value)
    kinds = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
    if kind not in kinds and not (kind == "integer" and "number" in kinds):
        yield f"found {_shown(value)}, expected {' or '.join(kinds)}"
    elif kind == "object":
        yield from _of_object(schema, value)
    elif kind == "array":
        yield from _of_array(schema, value)
    else:
        yield from _of_scalar(schema, value, at)


def _of_object(schema: Schema, value: dict[str, Any]) -> Iterator[str]:
    allowed = ", ".join(schema["properties"]) or "none"
    yield from (f"unknown field `{n}`; allowed: {allowed}" for n in value if n not in schema["properties"])
    yield from (f"the field `{n}` is missing" for n in schema.get("required", ()) if n not in value)
    apart = schema.get("not", {}).get("required", [])
    if apart and all(name in value for name in apart):
        yield f"`{'` and `'.join(apart)}` exclude each other"


def _of_array(schema: Schema, value: list[Any]) -> Iterator[str]:
    least, most = schema.get("minItems"), schema.get("maxItems")
    if (least is not None and len(value) < least) or (most is not None and len(value) > most):
        yield f"found {len(value)} items, expected {least} to {'any' if most is None else most}"
    if schema.get("uniqueItems") and len(set(map(_shown_apart, value))) < len(value):
        yield "names one item twice"


def _of_scalar(schema: Schema, value: Any, at: str) -> Iterator[str]:
    if "enum" in schema and value not in schema["enum"]:
        yield f"unknown {_named(at)} `{value}`; allowed: {', '.join(schema['enum'])}"
    elif "pattern" in schema and not re.search(schema["pattern"].replace("$", r"\Z"), value):
        yield f"found {value}, expected {schema['description']}"
    elif ("minimum" in schema and value < schema["minimum"]) or (
        "maximum" in schema and value > schema["maximum"]
    ):
        most = f" and at most {schema['maximum']}" if "maximum" in schema else ""
        yield f"found {_shown(value)}, expected at least {schema['minimum']}{most}"


def _inside(at: str, schema: Schema, value: Any) -> Iterator[tuple[str, Schema, Any]]:
    if isinstance(value, dict):
        known = schema.get("properties", {})
        yield from ((f"{at}.{name}", known[name], each) for name, each in value.items() if name in known)
    elif isinstance(value, list) and "items" in schema:
        yield from ((f"{at}[{place}]", schema["items"], each) for place, each in enumerate(value))


def _kind(value: Any) -> str:
    """JSON's name of a value's type; a whole number is an integer however it is written."""
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int | float):
        return "integer" if value == int(value) else "number"
    names: dict[type, str] = {str: "string", dict: "object", list: "array"}
    return names.get(type(value), "null")


def _shown(value: Any) -> str:
    """A value as JSONata writes it."""
    if isinstance(value, str):
        return value
    if isinstance(value, float):
        return str(int(value)) if value == int(value) else f"{value:.15g}"
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _shown_apart(value: Any) -> str:
    return json.dumps(value, sort_keys=True)


def _named(at: str) -> str:
    return "instance type" if at.endswith(".type") else "stage"


def _hinted(said: str, schema: Schema, value: Any) -> str:
    """The line with the nearest name that is allowed: the machine cannot look for it."""
    asked = re.search(": unknown .*?`(.*?)`; allowed", said)
    allowed = list(schema["properties"]) if isinstance(value, dict) else schema.get("enum", [])
    return said + hint(asked[1], allowed) if asked else said
