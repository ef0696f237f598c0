"""How deep the machine's first expression is, as Step Functions counts it before it refuses an evaluation.

All other expressions of a machine have the same depth whatever the pipeline (the tests hold them below 60 in
the reference JSONata); this one reads the pipeline and the run's input.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from workflows.local.step_functions.jsonata.expressions import Expressions
from workflows.local.step_functions.jsonata.json_values import prepare

_EXECUTION = {
    "Id": "arn:aws:states:us-east-1:000000000000:execution:check:check",
    "Name": "check",
    "StartTime": "2026-01-01T00:00:00.000Z",
    "RedriveCount": 0,
}


def depth_of_start(definition: Mapping[str, Any]) -> int:
    """The levels of the state `start` for the input `{}`. Raises ExpressionError when it is refused."""
    states = definition["States"]
    text = states["start"]["Assign"]["run"].removeprefix("{%").removesuffix("%}").strip()
    written = states[definition["StartAt"]]["Assign"]["written"]
    expressions = Expressions(lambda: datetime(2026, 1, 1, tzinfo=UTC))
    seen = {"context": {"Execution": _EXECUTION}, "input": {}}
    return expressions.depth_of(
        expressions.compile(text), {"written": prepare(written), "states": prepare(seen)}
    )
