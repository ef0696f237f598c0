"""InstancePreferences: up to five instance types for one on-demand job, in the order in which it likes them.

SageMaker launches the job on the first type that has capacity, which DescribeTrainingJob then shows (AWS.md
3.6). The rules of its refusals are AWS's, the words are ours (AWS.md 3.5).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import simpy

from workflows.local.capacity import Capacity, Demand, Events, Supply
from workflows.local.sagemaker.workload import Work


def impossible(resources: Mapping[str, Any]) -> Iterator[str]:
    """Why AWS refuses a choice of instances."""
    preferences = resources.get("InstancePreferences", [])
    if preferences:
        types = [each["InstanceType"] for each in preferences]
        for other in ("InstanceType", "InstanceGroups", "InstancePlacementConfig"):
            if resources.get(other):
                yield f"InstancePreferences and {other} are mutually exclusive"
        if len(set(types)) < len(types):
            yield f"An instance type can appear only once in InstancePreferences, found {types}"
        counts = sum("InstanceCount" in each for each in preferences)
        if counts != (0 if "InstanceCount" in resources else len(types)):
            yield "InstanceCount must be set on every one of the InstancePreferences or in the ResourceConfig"
    for member in ("SelectedInstanceType", "SelectedInstanceCount"):
        if member in resources:
            yield f"{member} is read-only and is not accepted in requests"


class FirstOf:
    """The capacity of a job with InstancePreferences: the first of them that there is capacity for.

    Each is asked only when those before it cannot be had at once; when none can, the first to come is taken.
    """

    def __init__(self, env: simpy.Environment, capacity: Capacity, demands: Sequence[Demand]) -> None:
        self._env = env
        self._capacity = capacity
        self._demands = demands
        self._chosen: tuple[Demand, Supply] | None = None

    @property
    def selected(self) -> tuple[str, int]:
        """Instance type and count, once granted."""
        assert self._chosen is not None
        return self._chosen[0].instance_type, self._chosen[0].instance_count

    def granted(self) -> simpy.Event:
        """When one can be had; with the last one's FailureReason when all fail."""
        if self._chosen is not None:
            return self._chosen[1].granted()
        event = self._env.event()
        asked = []
        for demand in self._demands:
            supply = self._capacity.supply(self._env, demand)
            granted = supply.granted()
            if granted.triggered and granted.value is None:
                self._chosen = (demand, supply)
                return event.succeed()
            asked.append((demand, supply, granted))
        self._env.process(self._first(asked, event))
        return event

    def taken(self, work: Work) -> simpy.Event:
        """When the chosen one is taken away."""
        assert self._chosen is not None
        return self._chosen[1].taken(work)

    def _first(self, asked: list[tuple[Demand, Supply, simpy.Event]], event: simpy.Event) -> Events:
        while asked:
            yield self._env.any_of([granted for _, _, granted in asked])
            for demand, supply, granted in [each for each in asked if each[2].processed]:
                if granted.value is None:
                    self._chosen = (demand, supply)
                    event.succeed()
                    return
                asked.remove((demand, supply, granted))
                reason = granted.value
        event.succeed(reason)
