"""What may be said when a run is started: one JSON schema for the console, the API, the schedule and the CLI.

Everything is optional; `{}` runs the pipeline as it is written. The machine's first state checks the same
schema (`state_machine/input_check.py`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from workflows.errors import RelayError, unknown
from workflows.specification.deadlines import INPUT_PATTERN
from workflows.specification.durations import PATTERN
from workflows.specification.pipeline import Pipeline
from workflows.specification.settings import MOST_PREFERENCES
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
    import jsonschema

    found = list(jsonschema.Draft202012Validator(input_schema(pipeline)).iter_errors(run_input))
    # What is no object at all also "excludes" nothing: its type is the mistake.
    kinds = [error for error in found if error.validator == "type" and not error.path] or found
    kinds.sort(key=lambda error: [str(part) for part in error.path])
    problems = [line for error in kinds for line in _lines(error)]
    if problems:
        raise RunInputError("\n".join(problems))


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


def _lines(error: Any) -> Iterator[str]:
    place = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in error.absolute_path)
    where, found = f"run input{place}", error.instance
    if error.validator == "pattern":
        yield f"{where}: found {found}, expected {error.schema['description']}"
    elif error.validator == "not":
        yield f"{where}: `from` and `only` exclude each other"
    elif error.validator == "additionalProperties":
        allowed = list(error.schema["properties"])
        yield from (f"{where}: {unknown('field', name, allowed)}" for name in found if name not in allowed)
    elif error.validator == "enum":
        what = "instance type" if error.absolute_path[-1] == "type" else "stage"
        yield f"{where}: {unknown(what, str(found), error.schema['enum'])}"
    elif error.validator == "type":
        kinds = error.schema["type"]
        yield f"{where}: found {found!r}, expected {kinds if isinstance(kinds, str) else ' or '.join(kinds)}"
    elif error.validator in {"minimum", "maximum"}:
        bounds = [error.schema.get("minimum"), error.schema.get("maximum")]
        words = [
            f"{word} {b}" for word, b in zip(("at least", "at most"), bounds, strict=True) if b is not None
        ]
        yield f"{where}: found {found}, expected {' and '.join(words)}"
    else:
        yield f"{where}: {error.message}"
