"""The requests that a machine would send, evaluated: for tests that look at one request without a run."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from workflows.jobs.kinds import job_of
from workflows.jobs.site import Materials, Site
from workflows.ledger.vocabulary import variable
from workflows.local.step_functions.jsonata.expressions import Expressions
from workflows.local.step_functions.jsonata.json_values import prepare
from workflows.policy.prices import load_prices
from workflows.specification.pipeline import Pipeline
from workflows.specification.stages import JobStage
from workflows.state_machine import expressions as x
from workflows.state_machine.arrangement import arrange
from workflows.state_machine.start import run_variable
from workflows.state_machine.timing import bindings

EXPRESSIONS = Expressions(lambda: datetime(2026, 1, 5, tzinfo=UTC), 0)
CONTEXT = {
    "Execution": {
        "Id": "arn:aws:states:us-east-1:123456789012:execution:demo:run",
        "Name": "run",
        "StartTime": "2026-01-05T00:00:00.000Z",
        "RedriveCount": 0,
    }
}


def evaluate(expression: str, **variables: Any) -> Any:
    """The value of an expression, given variables."""
    known = {name: prepare(value) for name, value in variables.items()}
    return EXPRESSIONS.evaluate(EXPRESSIONS.compile(expression), known)


def run_of(
    pipeline: Pipeline, materials: dict[str, Materials], run_input: Any = None, context: Any = None
) -> Any:
    """The variable `$run` of a run with this input."""
    text = run_variable(pipeline, materials, load_prices(), *bindings(arrange(pipeline)))
    return evaluate(text, states={"context": context or CONTEXT, "input": run_input or {}})


def request_of(
    pipeline: Pipeline, stage: JobStage, site: Site, materials: Materials, *, spot: bool = True
) -> dict[str, Any]:
    """The stage's first request as AWS gets it."""
    requests = dict(job_of(stage).requests(pipeline, site, materials, slack="0"))
    request = requests["spot" if spot and "spot" in requests else "on-demand"]
    run = run_of(pipeline, {each.name: materials for each in pipeline.stages})
    states = {"context": CONTEXT}
    own = evaluate(x.fresh(stage), run=run, states=states)
    if not spot:
        own["market"] = "on-demand"
    filled: dict[str, Any] = _filled(request, {"run": run, "states": states, variable(stage.name): own})
    return filled


def _filled(value: Any, variables: dict[str, Any]) -> Any:
    if isinstance(value, dict):
        return {key: _filled(inner, variables) for key, inner in value.items()}
    if isinstance(value, list):
        return [_filled(inner, variables) for inner in value]
    if isinstance(value, str) and value.startswith("{%"):
        return evaluate(value.removeprefix("{%").removesuffix("%}"), **variables)
    return value
