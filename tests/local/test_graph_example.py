"""The graph example, run for real: every kind of stage, and a trial that loses its capacity."""

import json
from pathlib import Path

import pytest
from rich.console import Console

from tests.local.worlds import until
from workflows.local.scenario import read_scenario
from workflows.runs.rehearsal import compile_file, open_world, start

EXAMPLE = Path(__file__).parents[2] / "workflows/examples/graph"


@pytest.mark.processes
def test_the_best_trial_passes_the_gate_and_is_registered_though_one_was_interrupted(tmp_path):
    console = Console(stderr=True)
    scenario = read_scenario(EXAMPLE / "scenario.yaml")
    with open_world(tmp_path / "world", speed=2000, scenario=scenario, seed=0, console=console) as world:
        run = start(world, compile_file(EXAMPLE / "pipeline.yaml"), "run", {}, console, quiet=True)
        states, sagemaker = world.client("stepfunctions"), world.client("sagemaker")

        ended = until(
            lambda: (
                (found := states.describe_execution(executionArn=run.arn))["status"] != "RUNNING" and found
            ),
            seconds=150,
        )
        assert ended["status"] == "SUCCEEDED", ended.get("cause")
        stages = json.loads(ended["output"])["stages"]
        package = sagemaker.describe_model_package(ModelPackageName=stages["register"]["outputs"]["package"])

    # the sweep chose by the metric that its trials reported
    tune = stages["tune"]
    values = [trial["value"] for trial in tune["trials"]]
    assert len(values) == 4
    assert tune["metrics"]["accuracy"] == max(values) > min(values)
    assert tune["best"]["trial"] == values.index(max(values))
    # the interrupted trial went on from its checkpoint in a job of its own, on the next rung
    lost = next(place for place, each in enumerate(tune["ledger"]) if each["outcome"] == "interrupted")
    before, after = tune["ledger"][lost : lost + 2]
    assert (after["attempt"], after["outcome"], after["instance_type"]) == (2, "completed", "ml.m5.2xlarge")
    # The newest checkpoint may have been cut while it was synced: then it was an older one.
    assert before["saved_step"] > 0
    assert after["resumed_step"] > 0
    # SageMaker itself restarted the one whose capacity came back
    [components] = stages["components"]["ledger"]
    assert (components["interruptions"], components["outcome"]) == (1, "completed")
    # the gate let the model through, and the registry has it with its metric
    assert stages["good-enough"]["passed"] is True
    assert package["InferenceSpecification"]["Containers"][0]["ModelDataUrl"] == tune["outputs"]["model"]
    assert package["CustomerMetadataProperties"]["relay:job"] == tune["best"]["job"]
    assert float(package["CustomerMetadataProperties"]["metric:accuracy"]) == pytest.approx(max(values))
