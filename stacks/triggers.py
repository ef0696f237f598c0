"""What starts a pipeline's machine besides a person: as much of it as the team asked for."""

from __future__ import annotations

from constructs import Construct

from stacks.api import Api
from stacks.grants import Place
from stacks.schedule import Schedule
from stacks.trigger_settings import Triggers
from workflows.specification.pipeline import Pipeline


class StartedBy(Construct):
    """`schedule` and `api` are None where there is none."""

    def __init__(
        self,
        scope: Construct,
        id_: str,
        *,
        pipeline: Pipeline,
        triggers: Triggers,
        machine_arn: str,
        place: Place,
    ) -> None:
        super().__init__(scope, id_)
        self.schedule: Schedule | None = None
        self.api: Api | None = None
        if triggers.schedule:
            self.schedule = Schedule(
                self,
                "Schedule",
                pipeline=pipeline,
                settings=triggers.schedule,
                machine_arn=machine_arn,
                place=place,
            )
        if triggers.api:
            self.api = Api(self, "Api", pipeline=pipeline, settings=triggers.api, place=place)
