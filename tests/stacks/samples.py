"""The Arguments of every task of a machine, for a run in whose course everything has happened once."""

from __future__ import annotations

import functools
import json
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from workflows.local.server import ACCOUNT, REGION
from workflows.local.step_functions.jsonata.expressions import Expressions
from workflows.local.step_functions.jsonata.json_values import ExpressionError, UndefinedError, prepare
from workflows.local.step_functions.jsonata.templates import expression_text
from workflows.state_machine.lint import inside

Json = Any
NOW = "2026-01-02T00:00:00.000Z"
MUCH = 1000  # dollars
_ENDS = ({"status": "Failed", "secondary": "Failed"}, {"status": "Stopped", "secondary": "Stopped"})
_TRIAL = {"trial": 0, "parameters": {}, "again": False, "purse": 0}
_EXPRESSIONS = Expressions(lambda: datetime(2026, 1, 2, tzinfo=UTC))


def arn(service: str, resource: str) -> str:
    """An ARN of the local world's account and region."""
    return f"arn:aws:{service}:{REGION}:{ACCOUNT}:{resource}"


def states(block: Mapping[str, Json]) -> Iterator[tuple[str, Mapping[str, Json]]]:
    """Every state of a machine, those within others included."""
    for name, state in block["States"].items():
        yield name, state
        for inner in inside(state):
            yield from states(inner)


def evaluated(machine: Mapping[str, Json], task: str) -> list[dict[str, Json]]:
    """The Arguments of a task for each way in which a run can have got there."""
    text = machine["DefinitionString"]
    arguments = _states_of(text)[task]["Arguments"]
    found: list[dict[str, Json]] = []
    for variables in _ways(text):
        try:
            value = _value(arguments, variables)
        except (ExpressionError, UndefinedError):
            continue  # the message of a failure where there was no redrive, or a job held back after one
        if value not in found:
            found.append(value)
    return found


def evaluated_watch(
    watch: Mapping[str, Json], machine: Mapping[str, Json]
) -> Iterator[tuple[str, dict[str, Json]]]:
    """(resource, Arguments) of every task of the capacity watch, for each spot job of the machine."""
    known = dict(states(json.loads(watch["DefinitionString"])))
    look = next(state["Assign"]["look"] for state in known.values() if "look" in state.get("Assign", {}))
    for job in _spot_jobs(machine):
        event = {"detail": {"TrainingJobName": job["TrainingJobName"]}}
        variables = {"states": {"input": event, "result": job}, "progress": {}}
        variables["look"] = _value(look, variables)
        for state in known.values():
            if state["Type"] == "Task":
                yield state["Resource"], _value(state["Arguments"], variables)


def _spot_jobs(machine: Mapping[str, Json]) -> Iterator[dict[str, Json]]:
    """DescribeTrainingJob of each spot job while it waits."""
    for name, state in states(json.loads(machine["DefinitionString"])):
        if state.get("Arguments", {}).get("EnableManagedSpotTraining"):
            for request in evaluated(machine, name):
                waits = [{"Status": "Starting", "StartTime": NOW}]
                times = {"CreationTime": NOW, "LastModifiedTime": NOW, "SecondaryStatusTransitions": waits}
                yield {**request, **times, "TrainingJobStatus": "InProgress", "SecondaryStatus": "Starting"}


@functools.cache
def _states_of(text: str) -> dict[str, Mapping[str, Json]]:
    return dict(states(json.loads(text)))


@functools.cache
def _ways(text: str) -> list[dict[str, Json]]:
    """The variables of a run in which every job ended in one of these ways, before and after a redrive."""
    found = []
    for end in _ENDS:
        variables = _variables(_states_of(text), end)
        found += [variables, {**variables, "states": _context(redrives=1)}]
    return found


def _context(redrives: int) -> dict[str, Json]:
    execution = {"Id": arn("states", "execution:m:run"), "Name": "run", "StartTime": NOW}
    context = {"Execution": {**execution, "RedriveCount": redrives}, "Map": {"Item": {"Value": _TRIAL}}}
    return {"context": context, "input": _TRIAL}


def _variables(known: Mapping[str, Mapping[str, Json]], end: Mapping[str, str]) -> dict[str, Json]:
    variables: dict[str, Json] = {"states": {**_context(0), "input": {}}}
    for name, text in known["start"]["Assign"].items():
        if not name.startswith("stage_"):
            variables[name] = _value(text, variables)
    variables["states"] = _context(0)
    variables |= _results(variables["run"])
    for name, text in _assigned(known):
        if name.startswith("stage_") and f"$merge([${name}" not in text:
            variables[name] = _value(text, variables) | _what_happened(end)
        elif name == "schedule":
            pipeline = variables["run"]["prefix"].partition("/")[0]
            variables[name] = {"holder": {"execution": arn("states", f"execution:{pipeline}:a"), "etag": "1"}}
        elif name.startswith(("redriven_", "purse_", "ledger_")):
            variables[name] = {"redriven": 0, "purse": MUCH, "ledger": []}[name.partition("_")[0]]
    for state in known.values():
        if str(state.get("Resource")).endswith(".sync"):
            arguments = state["Arguments"]
            stage = "stage_" + arguments["Environment"]["RELAY_STAGE"].replace("-", "_")
            kind = "Training" if "TrainingJobName" in arguments else "Processing"
            variables[stage]["job"] = _value(arguments[f"{kind}JobName"], variables)
    return variables | dict(_trials(known, variables))


def _trials(
    known: Mapping[str, Mapping[str, Json]], variables: Mapping[str, Json]
) -> Iterator[tuple[str, list[Json]]]:
    """What the trials of each sweep left: one that succeeded, with the metrics that samples choose by."""
    for name, state in known.items():
        for tried in state.get("Assign", {}):
            if tried.startswith("trials_"):
                stage = variables["stage_" + name.partition(":")[0].replace("-", "_")]
                metrics = dict.fromkeys(("accuracy", "score", "loss"), 1)
                yield tried, [{**_TRIAL, "job": stage["job"], "metrics": metrics, "ledger": []}]


def _assigned(known: Mapping[str, Mapping[str, Json]]) -> Iterator[tuple[str, str]]:
    for state in known.values():
        yield from state.get("Assign", {}).items()


def _what_happened(end: Mapping[str, str]) -> dict[str, Json]:
    holder = {"execution": arn("states", "execution:earlier-name:run"), "tag": "0123456789", "etag": "1"}
    line = {"job": "job-0-1", "trial": 0, "usd": 1}
    record = {"next": "spot", "line": line}
    return {"end": end, "reused": True, "message": "failed", "holder": holder, **record}


def _results(run: Mapping[str, Json]) -> dict[str, Json]:
    """What finished stages left, in every scope that a machine can have."""
    results = {}
    for name in run["stages"]:
        place = f"s3://relay-{ACCOUNT}-{REGION}/{run['prefix']}/{name}/output"
        outputs = {each: f"{place}/{each}" for each in ("digits", "cells")}
        outputs["model"] = f"{place}/job/output/model.tar.gz"
        results[name] = {"outputs": outputs, "metrics": {}, "ledger": [], "arn": "arn", "job": "job"}
    return dict.fromkeys(("done", *(f"done_{number}" for number in range(1, 9))), results)


def _value(value: Json, variables: Mapping[str, Json]) -> Json:
    """A field with its expressions evaluated."""
    text = expression_text(value)
    if text is not None:
        prepared = {name: prepare(each) for name, each in variables.items()}
        return _EXPRESSIONS.evaluate(_EXPRESSIONS.compile(text), prepared)
    if isinstance(value, Mapping):
        return {key: _value(each, variables) for key, each in value.items()}
    if isinstance(value, list):
        return [_value(each, variables) for each in value]
    return value
