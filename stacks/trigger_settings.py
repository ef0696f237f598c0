"""What starts a pipeline besides a person: a schedule, an API. Neither is there unless a team asks for it."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Any

from pydantic import Field

from stacks.schedule_expression import Expression, Zone
from workflows.errors import RelayError, unknown
from workflows.specification.durations import Duration, between
from workflows.specification.pipeline import Pipeline
from workflows.specification.run_input import SCHEDULED, RunInputError, check_input
from workflows.specification.settings import Model

FIELDS_OF_A_START = (SCHEDULED, "key")  # of the run input, that no schedule may fix
LARGEST_BURST = 5_000  # requests, an account's quota in a region


class ScheduleSettings(Model):
    """Starts a run at each of its times; one that falls into a run of the schedule is dropped."""

    expression: Expression  # cron(0 6 ? * MON-FRI *), rate(12 hours), at(2026-12-01T06:00:00)
    timezone: Zone = "UTC"  # of cron and at; summer time is followed
    # The run starts within so many minutes after its time, when it is convenient for AWS.
    flexible_minutes: Annotated[int, Field(ge=0, le=1440)] = 0
    # A start that was refused is tried again so often, until it is so old; then it goes to the dead letters.
    retries: Annotated[int, Field(ge=0, le=185)] = 185
    longest_age: Annotated[Duration, between(timedelta(minutes=1), timedelta(days=1))] = timedelta(hours=1)
    input: dict[str, Any] = Field(default_factory=dict)  # the run input, as `relay schema PIPELINE` has it
    enabled: bool = True


class ApiSettings(Model):
    """An API of the pipeline's own. It needs API Gateway's account setting for logs (`api_gateway_logs`)."""

    # Requests a second, and how many at once; more are answered with 429.
    rate: Annotated[float, Field(gt=0, le=10_000)] = 5
    burst: Annotated[int, Field(ge=1, le=LARGEST_BURST)] = 10


class Triggers(Model):
    """What starts one pipeline."""

    schedule: ScheduleSettings | None = None
    api: ApiSettings | None = None


def check_triggers(triggers: dict[str, Triggers], pipelines: list[Pipeline]) -> None:
    """Raises RelayError for triggers of a pipeline that is not there, or that does not take their input."""
    known = {pipeline.name: pipeline for pipeline in pipelines}
    for name, each in triggers.items():
        where = f"cdk.json: triggers.{name}"
        if name not in known:
            raise RelayError(f"{where}: {unknown('pipeline', name, list(known))}")
        if each.schedule:
            _check_schedule(each.schedule, known[name], f"{where}.schedule.input")


def _check_schedule(schedule: ScheduleSettings, pipeline: Pipeline, where: str) -> None:
    for field in FIELDS_OF_A_START:
        if field in schedule.input:
            raise RelayError(f"{where}: leave out `{field}`: it would be the same at every start")
    try:
        check_input(pipeline, schedule.input)
    except RunInputError as error:
        lines = [f"{where}: {line}" for line in str(error).splitlines()]
        raise RelayError("\n".join(lines)) from None
