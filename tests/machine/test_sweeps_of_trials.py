"""A sweep whose trials meet different fates, side by side."""

from __future__ import annotations

import json

from tests.machine.pipelines import Run, pipeline
from workflows.local.sagemaker.work_model import PLATFORM_FAULT, WorkModel

TUNE = {
    "name": "tune",
    "kind": "sweep",
    "grid": {"rate": [0.1, 0.2, 0.3]},
    "best": {"metric": "score"},
}


def test_each_trial_has_the_capacity_and_the_failures_that_are_meant_for_it() -> None:
    # given trials that are interrupted once, but for trial 2, whose first job meets a fault of the platform
    usual = WorkModel(
        seconds=1200, steps=100, save_every=60, metrics={"score": lambda given: float(given["rate"])}
    )
    faulty = WorkModel(seconds=1200, steps=100, failures=(PLATFORM_FAULT,), metrics={"score": 0.15})
    scenario = {"spot": {"tune": [{"interrupt": "50%"}], "tune/2": []}}
    # when
    run = Run(pipeline(TUNE), scenario=scenario, models={"tune": usual, "tune/2": faulty})
    # then
    tune = json.loads(run.world.describe(run.arn)["output"])["stages"]["tune"]
    ends = [attempt["outcome"] for attempt in tune["ledger"]]  # trial by trial
    assert ends == ["interrupted", "completed", "interrupted", "completed", "platform fault", "completed"]
    assert [trial["value"] for trial in tune["trials"]] == [0.1, 0.2, 0.15]
    assert tune["best"]["parameters"] == {"rate": "0.2"}
