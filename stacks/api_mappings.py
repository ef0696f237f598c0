"""What stands between an HTTP request and a call of Step Functions: the files in `mappings`, filled in.

The templates are Velocity, as API Gateway renders them. Machine and account stand in them from the deployment
on, so that a caller can name neither.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from stacks.grants import ALIAS, Place
from workflows.specification.aws_limits import LONGEST_RUN_NAME, MOST_VALUE
from workflows.specification.pipeline import Pipeline
from workflows.specification.run_input import LONGEST_KEY, SCHEDULED, input_schema

FOLDER = Path(__file__).with_name("mappings")
USUAL_PAGE = 20  # runs in a list, where nobody says how many
LARGEST_MODEL = 400_000  # bytes, API Gateway's quota
_CONSOLES = {
    "aws": "console.aws.amazon.com",
    "aws-cn": "console.amazonaws.cn",
    "aws-us-gov": "console.amazonaws-us-gov.com",
}
WRONG = {
    "StartExecution": f"the run input is no JSON of at most {MOST_VALUE} bytes",
    "ListExecutions": "status is RUNNING, SUCCEEDED, FAILED, TIMED_OUT, ABORTED or PENDING_REDRIVE, limit is "
    "1 to 100, next is what the list before said",
    "DescribeExecution": "no run can have this id",
    "StopExecution": "no run can have this id",
}


class Mappings:
    """The templates of one pipeline's API."""

    def __init__(self, pipeline: Pipeline, place: Place) -> None:
        region, name = place.settings.region, pipeline.name
        machine = place.arn("states", f"stateMachine:{name}")
        longest = min(LONGEST_KEY, LONGEST_RUN_NAME - len(name) - 1)
        console = f"https://{region}.{_CONSOLES[place.settings.partition]}/states/home"
        self._fixed = {
            "@PIPELINE@": name,
            "@MACHINE@": machine,
            "@LIVE@": f"{machine}:{ALIAS}",
            "@RUN@": place.arn("states", f"execution:{name}"),
            "@CONSOLE@": f"{console}?region={region}#/v2/executions/details/",
            "@LONGEST@": str(longest),
            "@MORE@": str(longest - 1),
            "@USUAL@": str(USUAL_PAGE),
        }

    def filled(self, name: str, action: str = "") -> str:
        """The template of that name; `action`: the call whose refusal it words."""
        text = (FOLDER / f"{name}.vtl").read_text("utf-8")
        for mark, value in {**self._fixed, "@WRONG@": WRONG.get(action, "")}.items():
            text = text.replace(mark, value)
        return text


def run_input_model(pipeline: Pipeline) -> dict[str, Any]:
    """The run input's one schema as API Gateway takes it (draft 4), without what only a schedule says.

    A caller who could name a scheduled time could make the schedule take its own for duplicates.
    """
    schema = input_schema(pipeline)
    fields = {name: field for name, field in schema["properties"].items() if name != SCHEDULED}
    model = {
        "$schema": "http://json-schema.org/draft-04/schema#",
        "title": f"The input of a run of {pipeline.name}",
        **schema,
        "properties": fields,
    }
    assert len(json.dumps(model)) <= LARGEST_MODEL, "a machine of 1 MiB has no schema of this size"
    return model
