"""Mistakes of the compiler itself, found in the text that it made: what AWS would refuse, or fail on later.

The public linters know the language; these rules know our machines.
"""

from __future__ import annotations

import difflib
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from workflows.ledger.aws_error_names import STATES, known_errors
from workflows.specification.aws_limits import LONGEST_STATE_NAME

RESOURCES = {
    "sagemaker:createTrainingJob.sync",
    "sagemaker:createProcessingJob.sync",
    "aws-sdk:sagemaker:describeTrainingJob",
    "aws-sdk:sagemaker:describeProcessingJob",
    "aws-sdk:sagemaker:listTrainingJobs",
    "aws-sdk:sagemaker:listProcessingJobs",
    "aws-sdk:sagemaker:createModelPackageGroup",
    "aws-sdk:sagemaker:createModelPackage",
    "aws-sdk:sagemaker:stopTrainingJob",
    "aws-sdk:s3:getObject",
    "aws-sdk:s3:headObject",
    "aws-sdk:s3:putObject",
    "aws-sdk:s3:listObjectsV2",
    "aws-sdk:sfn:describeExecution",
    "aws-sdk:dynamodb:putItem",
    "aws-sdk:cloudwatch:putMetricData",
}
_JSONPATH = {
    "InputPath",
    "OutputPath",
    "ResultPath",
    "Parameters",
    "ResultSelector",
    "ItemsPath",
    "SecondsPath",
}
_TEXT = re.compile(r'"(?:\\.|[^"\\])*"|\'(?:\\.|[^\'\\])*\'|`[^`]*`')
_BOUND = re.compile(r"\$(\w+)\s*:=")
_PARAMETERS = re.compile(r"function\(([^)]*)\)")
_READ = re.compile(r"\$([A-Za-z_]\w*)\b(?!\s*\()")  # what is called is a function
_GIVEN = {"states"}
INNER = {"Branches", "ItemProcessor"}

State = Mapping[str, Any]


def problems_in(definition: Mapping[str, Any]) -> list[str]:
    """A line for each mistake in a machine's text; none for one that is sound."""
    states = list(_states(definition))
    # Names are unique in the whole machine, what stands in branches and Maps included.
    counts = Counter(name for name, _ in states)
    found = [f"the state `{name}`: stands there {n} times" for name, n in counts.items() if n > 1]
    found += [f"the state `{name}`: {what}" for name, state in states for what in _of_state(name, state)]
    return found + list(_unassigned(definition, frozenset()))


def _states(block: Mapping[str, Any]) -> Iterator[tuple[str, State]]:
    for name, state in block["States"].items():
        yield name, state
        for inner in inside(state):
            yield from _states(inner)


def inside(state: State) -> Iterator[Mapping[str, Any]]:
    """The machines within a state: branches, or the iterations of a Map."""
    yield from state.get("Branches", ())
    if "ItemProcessor" in state:
        yield state["ItemProcessor"]


def _of_state(name: str, state: State) -> Iterator[str]:
    if len(name) > LONGEST_STATE_NAME:
        yield f"its name has {len(name)} characters, at most {LONGEST_STATE_NAME} are allowed"
    resource = str(state.get("Resource", "")).partition(":states:::")[2]
    if state["Type"] == "Task" and resource not in RESOURCES:
        yield f"the resource `{state.get('Resource')}` is none of those that Relay's role allows"
    yield from _wrong_names(state)
    paths = [key for key in _keys(state) if key.endswith(".$")] + sorted(_JSONPATH & set(state))
    if paths or state.get("QueryLanguage") == "JSONPath":
        yield f"JSONPath in a machine of JSONata: {', '.join(paths) or 'QueryLanguage'}"


def _wrong_names(state: State) -> Iterator[str]:
    """Names in Retry and Catch that what the state does cannot give: they would never match."""
    resource = str(state.get("Resource", ""))
    known = known_errors(resource) if state["Type"] == "Task" else None
    if known is None and state["Type"] == "Task":
        return
    possible = known.all if known else STATES
    for field in ("Retry", "Catch"):
        for name in (name for each in state.get(field, ()) for name in each["ErrorEquals"]):
            if name not in possible:
                near = difflib.get_close_matches(name, possible, n=1, cutoff=0.5)
                hint = f"; did you mean `{near[0]}`?" if near else ""
                yield f"its {field} names `{name}`, which `{resource or state['Type']}` cannot give{hint}"


def _keys(value: Any) -> Iterator[str]:
    if isinstance(value, Mapping):
        for key, each in value.items():
            yield key
            yield from _keys(each) if key not in INNER else ()
    elif isinstance(value, list):
        for each in value:
            yield from _keys(each)


# --------------------------------------------------------------------------------------------- variables
def _unassigned(block: Mapping[str, Any], outer: frozenset[str]) -> Iterator[str]:
    """Reads of what nobody assigns: branches see what is around them, executions of their own do not."""
    visible = outer | {name for state in block["States"].values() for name in _assigned(state)}
    for title, state in block["States"].items():
        for name in sorted(_read(state) - visible - _GIVEN):
            yield f"the state `{title}` reads ${name}, which nothing assigns"
        for inner in inside(state):
            apart = inner.get("ProcessorConfig", {}).get("Mode") == "DISTRIBUTED"
            yield from _unassigned(inner, frozenset() if apart else visible)


def _assigned(state: State) -> Iterator[str]:
    yield from state.get("Assign", {})
    for each in (*state.get("Catch", ()), *state.get("Choices", ())):
        yield from each.get("Assign", {})


def _read(value: Any) -> set[str]:
    """The variables that the expressions in a state's fields read."""
    if isinstance(value, Mapping):
        parts = [_read(each) for key, each in value.items() if key not in INNER]
        return set().union(*parts)
    if isinstance(value, list):
        return set().union(*map(_read, value))
    if not isinstance(value, str) or not value.startswith("{%"):
        return set()
    text = _TEXT.sub('""', value)
    bound = set(_BOUND.findall(text))
    for names in _PARAMETERS.findall(text):
        bound |= {name.strip().removeprefix("$") for name in names.split(",")}
    return set(_READ.findall(text)) - bound
