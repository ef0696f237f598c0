"""A machine that is prepared once gives each run what a world of its own would."""

from __future__ import annotations

import pytest

from tests.machine.pipelines import definition, pipeline, watch
from workflows.local.capacity import Scripted, random_timeline
from workflows.local.prepared import FinishedRun, PreparedMachine
from workflows.local.sagemaker.work_model import WorkModel
from workflows.local.scenario import Entry, Random, parse_scenario
from workflows.local.service_errors import ServiceError
from workflows.local.virtual import VirtualWorld

FOUND = pipeline({"name": "train", "limit": "6h"}, spot={"retry_budget": 8})
MODELS = {"train": WorkModel(seconds=3 * 3600, steps=1000, save_every=600, stall=5, restore=30)}
STORM = parse_scenario({"random": {"up": "40m", "down": "20m"}})


def prepared() -> PreparedMachine:
    return PreparedMachine(definition(FOUND), bucket="bucket", watch=watch())


def story(world: VirtualWorld, arn: str) -> list[object]:
    """Everything that can be seen of a run and of its watches."""
    return [world.describe(arn), world.history(arn), [world.history(each) for each in world.watches]]


def told(run: FinishedRun) -> list[object]:
    return story(run.world, run.arn)


def test_a_run_is_the_same_whatever_ran_before_it() -> None:
    # given a machine, and one that has run other seeds, and whose expressions are compiled by now
    fresh, used = prepared(), prepared()
    for seed in (7, 3, 9, 4):
        used.run(models=MODELS, scenario=STORM, seed=seed)
    # when both run one seed
    first, later = (each.run(models=MODELS, scenario=STORM, seed=3) for each in (fresh, used))
    # then nothing tells them apart, nor from a world that nobody prepared
    assert told(first) == told(later)
    alone = VirtualWorld(MODELS, bucket="bucket", scenario=STORM, seed=3, watch=watch())
    assert story(alone, alone.run(definition(FOUND))) == told(first)
    # and another seed is another run
    assert told(used.run(models=MODELS, scenario=STORM, seed=4)) != told(first)


def test_the_library_alone_tells_the_same_story() -> None:
    library = PreparedMachine(definition(FOUND), bucket="bucket", watch=watch(), compile_after=None)
    compiled = PreparedMachine(definition(FOUND), bucket="bucket", watch=watch(), compile_after=0)

    one, other = (each.run(models=MODELS, scenario=STORM, seed=5) for each in (library, compiled))

    assert told(one) == told(other)


def test_capacity_may_be_any_object_that_supplies_it() -> None:
    scripted = Scripted({"train": [Entry(error="CapacityError")]})
    run = prepared().run(models=MODELS, capacity=scripted)
    assert run.ended["status"] == "SUCCEEDED"
    assert len([e for e in run.world.history(run.arn) if e["type"] == "TaskSubmitted"]) == 2

    timeline = random_timeline(Random(up=2400, down=1200), "a history")
    assert prepared().run(models=MODELS, capacity=timeline).seconds > 3 * 3600


def test_the_run_input_is_the_runs() -> None:
    run = prepared().run(models=MODELS, run_input={"no such member": 1})

    assert run.ended["status"] == "FAILED"


def test_a_definition_that_aws_refuses_is_refused_when_it_is_prepared() -> None:
    broken = definition(FOUND)
    broken["StartAt"] = "nowhere"

    with pytest.raises(ServiceError, match="MISSING_TRANSITION_TARGET"):
        PreparedMachine(broken, bucket="bucket")
