"""The fields of each type of state in a JSONata machine: which, of what type, within what bounds."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from workflows.local.step_functions.jsonata.templates import expression_text

Finding = tuple[str, str]
"""A message and the place inside the state."""

_EVERY = {"Type", "Comment", "QueryLanguage"}
_FLOW = {"Next", "End", "Assign", "Output"}
_ERRORS = {"Retry", "Catch"}

ALLOWED: dict[str, set[str]] = {
    "Task": _EVERY | _FLOW | _ERRORS | {"Resource", "Arguments", "TimeoutSeconds", "HeartbeatSeconds"},
    "Pass": _EVERY | _FLOW,
    "Choice": _EVERY | {"Choices", "Default", "Assign", "Output"},
    "Wait": _EVERY | _FLOW | {"Seconds", "Timestamp"},
    "Succeed": _EVERY | {"Output"},
    "Fail": _EVERY | {"Error", "Cause"},
    "Parallel": _EVERY | _FLOW | _ERRORS | {"Branches", "Arguments"},
    "Map": _EVERY
    | _FLOW
    | _ERRORS
    | {
        "Items",
        "ItemProcessor",
        "ItemSelector",
        "MaxConcurrency",
        "ToleratedFailureCount",
        "ToleratedFailurePercentage",
        "Label",
    },
}

REQUIRED = {
    "Task": ("Resource",),
    "Choice": ("Choices",),
    "Parallel": ("Branches",),
    "Map": ("ItemProcessor",),
}

JSONPATH_ONLY = {
    "InputPath",
    "OutputPath",
    "ResultPath",
    "ResultSelector",
    "Parameters",
    "Result",
    "ItemsPath",
    "MaxConcurrencyPath",
    "SecondsPath",
    "TimestampPath",
    "TimeoutSecondsPath",
    "HeartbeatSecondsPath",
    "ErrorPath",
    "CausePath",
    "ToleratedFailureCountPath",
    "ToleratedFailurePercentagePath",
}

NOT_HERE = {"Credentials", "ItemReader", "ItemBatcher", "ResultWriter"}
"""Fields that AWS has and this interpreter does not: refused, since ignoring them would pretend."""

_WHOLE = {
    "Seconds": (0, 99_999_999),
    "TimeoutSeconds": (1, 99_999_999),
    "HeartbeatSeconds": (1, 99_999_999),
    "MaxConcurrency": (0, None),
    "ToleratedFailureCount": (0, None),
}


def check_values(kind: str, state: dict[str, Any]) -> Iterator[Finding]:
    """Check types and bounds of the fields that are no expressions."""
    for key in ("Next", "Default", "Resource", "Timestamp", "Error", "Cause", "Comment", "Label"):
        if key in state and not isinstance(state[key], str):
            yield "Expected value of type [STRING]", key
    for key, (least, most) in _WHOLE.items():
        if key in state and expression_text(state[key]) is None:
            yield from _whole(state[key], least, most, key)
    for key in ("Branches", "Choices", "Retry", "Catch"):
        if key in state and not isinstance(state[key], list):
            yield "Expected value of type [ARRAY]", key
    timeout, heartbeat = state.get("TimeoutSeconds"), state.get("HeartbeatSeconds")
    if isinstance(timeout, int) and isinstance(heartbeat, int) and heartbeat >= timeout:
        yield "HeartbeatSeconds must be smaller than TimeoutSeconds", "HeartbeatSeconds"
    if kind == "Wait" and len(state.keys() & {"Seconds", "Timestamp"}) != 1:
        yield "Exactly one of these fields is required: [Seconds, Timestamp]", ""
    if kind == "Choice":
        yield from _choices(state.get("Choices"))
    yield from _unclosed(state)


def _choices(choices: Any) -> Iterator[Finding]:
    if not isinstance(choices, list):
        return
    if not choices:
        yield "Choices must not be empty", "Choices"
    for place, rule in enumerate(choices):
        at = f"Choices[{place}]"
        if not isinstance(rule, dict):
            yield "Expected value of type [OBJECT]", at
            continue
        for key in rule.keys() - {"Condition", "Next", "Assign", "Output", "Comment"}:
            yield f"Field '{key}' is not supported", at
        for key in ("Condition", "Next"):
            if key not in rule:
                yield f"These fields are required: [{key}]", at
        condition = rule.get("Condition", True)
        if not isinstance(condition, bool) and expression_text(condition) is None:
            yield "Expected a JSONata expression or a boolean", f"{at}/Condition"


def check_retry(state: dict[str, Any]) -> Iterator[Finding]:
    """Check the retriers, their bounds and their ErrorEquals."""
    retriers = state.get("Retry")
    if not isinstance(retriers, list):
        return
    yield from _error_lists(retriers, "Retry")
    allowed = {
        "ErrorEquals",
        "IntervalSeconds",
        "BackoffRate",
        "MaxAttempts",
        "MaxDelaySeconds",
        "JitterStrategy",
        "Comment",
    }
    for place, item in enumerate(retriers):
        at = f"Retry[{place}]"
        if not isinstance(item, dict):
            continue
        for key in item.keys() - allowed:
            yield f"Field '{key}' is not supported", at
        for key, least, most in (
            ("IntervalSeconds", 1, 99_999_999),
            ("MaxAttempts", 0, 99_999_999),
            ("MaxDelaySeconds", 1, 31_622_400),
        ):
            if key in item:
                yield from _whole(item[key], least, most, f"{at}/{key}")
        rate = item.get("BackoffRate", 2)
        if isinstance(rate, bool) or not isinstance(rate, int | float) or rate < 1:
            yield "Expected a number of at least 1.0", f"{at}/BackoffRate"
        interval, longest = item.get("IntervalSeconds", 1), item.get("MaxDelaySeconds")
        if isinstance(interval, int) and isinstance(longest, int) and longest <= interval:
            yield "MaxDelaySeconds must be greater than IntervalSeconds", f"{at}/MaxDelaySeconds"
        if item.get("JitterStrategy", "NONE") not in ("FULL", "NONE"):
            yield "Value should be one of the following: [FULL, NONE]", f"{at}/JitterStrategy"


def check_catch(state: dict[str, Any]) -> Iterator[Finding]:
    """Check the catchers and their ErrorEquals."""
    catchers = state.get("Catch")
    if not isinstance(catchers, list):
        return
    yield from _error_lists(catchers, "Catch")
    for place, item in enumerate(catchers):
        if isinstance(item, dict):
            if not isinstance(item.get("Next"), str):
                yield "These fields are required: [Next]", f"Catch[{place}]"
            for key in item.keys() - {"ErrorEquals", "Next", "Assign", "Output", "Comment"}:
                yield f"Field '{key}' is not supported", f"Catch[{place}]"


def _error_lists(items: list[Any], name: str) -> Iterator[Finding]:
    for place, item in enumerate(items):
        at = f"{name}[{place}]"
        errors = item.get("ErrorEquals") if isinstance(item, dict) else None
        if not isinstance(errors, list) or not errors:
            yield "ErrorEquals must be a non-empty array of strings", at
            continue
        if not all(isinstance(error, str) for error in errors):
            yield "ErrorEquals must be a non-empty array of strings", at
        if "States.ALL" in errors and (len(errors) > 1 or place != len(items) - 1):
            message = (
                f"'States.ALL' must appear alone in 'ErrorEquals' and only in the last element of '{name}'"
            )
            yield message, f"{at}/ErrorEquals"


def check_processor(state: dict[str, Any]) -> Iterator[Finding]:
    """Check the mode of a Map and what only the DISTRIBUTED one has."""
    config = state["ItemProcessor"].get("ProcessorConfig", {})
    mode = config.get("Mode", "INLINE") if isinstance(config, dict) else None
    if mode not in ("INLINE", "DISTRIBUTED"):
        message = "Value should be one of the following: [INLINE, DISTRIBUTED]"
        yield message, "ItemProcessor/ProcessorConfig/Mode"
        return
    if mode == "DISTRIBUTED" and config.get("ExecutionType") != "STANDARD":
        message = "The local world runs iterations of a distributed Map only as STANDARD"
        yield message, "ItemProcessor/ProcessorConfig/ExecutionType"
    if mode == "INLINE":
        for key in ("ToleratedFailureCount", "ToleratedFailurePercentage", "Label"):
            if key in state:
                yield f"Field '{key}' is only supported in DISTRIBUTED mode", key
    percent = state.get("ToleratedFailurePercentage", 0)
    if isinstance(percent, int | float) and not 0 <= percent <= 100:
        yield "Expected a number from 0 to 100", "ToleratedFailurePercentage"


def _whole(value: Any, least: int, most: int | None, at: str) -> Iterator[Finding]:
    if isinstance(value, bool) or not isinstance(value, int):
        yield "Expected value of type [INTEGER]", at
    elif value < least or (most is not None and value > most):
        upper = "" if most is None else f" and at most {most}"
        yield f"Expected a value of at least {least}{upper}, but was {value}", at


def _unclosed(state: dict[str, Any]) -> Iterator[Finding]:
    """Find strings that begin or end like an expression but are none."""
    for key, value in state.items():
        if key in ("Branches", "ItemProcessor", "Comment"):
            continue
        for text, at in _strings(value, key):
            if text.startswith("{%") != text.endswith("%}"):
                yield "A JSONata expression must be enclosed in '{%' and '%}'", at


def _strings(value: Any, at: str) -> Iterator[Finding]:
    if isinstance(value, str):
        yield value, at
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from _strings(item, f"{at}/{key}")
    elif isinstance(value, list):
        for place, item in enumerate(value):
            yield from _strings(item, f"{at}[{place}]")
