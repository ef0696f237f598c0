"""Runs one machine many times in virtual time: it is checked and compiled once, each run has a new world.

    prepared = PreparedMachine(definition, watch=watch, bucket="bucket")
    finished = prepared.run(models=models, capacity=capacity, seed=3)

A run depends on its arguments and on no earlier run: worlds share only objects that never change.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from workflows.local.capacity import Capacity
from workflows.local.sagemaker.work_model import WorkModel
from workflows.local.scenario import Scenario
from workflows.local.step_functions.jsonata.expressions import USES_BEFORE_COMPILING
from workflows.local.step_functions.program import Program
from workflows.local.virtual import Definition, VirtualWorld, Watch


@dataclass(frozen=True)
class FinishedRun:
    """A world whose run has ended, and the run's ARN."""

    world: VirtualWorld
    arn: str

    @property
    def ended(self) -> dict[str, Any]:
        """The answer of DescribeExecution: `status`, `output`, `startDate`, `stopDate`."""
        return self.world.describe(self.arn)

    @property
    def seconds(self) -> float:
        """Machine seconds from the start to the end."""
        ended = self.ended
        return float((ended["stopDate"] - ended["startDate"]).total_seconds())


class PreparedMachine:
    """Runs one machine in many worlds; raises ServiceError (InvalidDefinition) for one that AWS refuses.

    `compile_after`: how often the library evaluates each expression before it is compiled; None: always.
    """

    def __init__(
        self,
        definition: Mapping[str, Any],
        *,
        bucket: str,
        watch: Watch | None = None,
        compile_after: int | None = USES_BEFORE_COMPILING,
    ) -> None:
        self._definition = Definition.of(definition)
        texts = [self._definition]
        if watch is not None:
            looked_after = Definition.of(watch.definition)
            watch = replace(watch, definition=looked_after)
            texts.append(looked_after)
        self._watch = watch
        self._bucket = bucket
        self._compile_after = compile_after
        self._programs: Mapping[str, Program] = {}
        world = self._world({}, seed=0)
        world.install("machine", self._definition)
        executions = world.step_functions.executions
        self._programs = {each.text: executions.program(each.text) for each in texts}

    def run(
        self,
        *,
        models: Mapping[str, WorkModel],
        capacity: Capacity | None = None,
        scenario: Scenario | None = None,
        run_input: Any = None,
        seed: int = 0,
        **platform: Any,
    ) -> FinishedRun:
        """Run to the end in a new world; `capacity`, or `scenario`, and `platform` as of `VirtualWorld`."""
        world = self._world(models, capacity=capacity, scenario=scenario, seed=seed, **platform)
        return FinishedRun(world, world.run(self._definition, run_input))

    def _world(self, models: Mapping[str, WorkModel], **options: Any) -> VirtualWorld:
        return VirtualWorld(
            models,
            bucket=self._bucket,
            watch=self._watch,
            programs=self._programs,
            compile_after=self._compile_after,
            **options,
        )
