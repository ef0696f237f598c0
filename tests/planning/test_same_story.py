"""The plan's world and the laptop's tell one story: the same states, outcomes and decisions."""

import pytest
from rich.console import Console

from workflows.jobs.watch_pattern import watch_pattern
from workflows.ledger.run_view import RunView
from workflows.ledger.stage_view import stages_in
from workflows.local.prepared import PreparedMachine
from workflows.local.sagemaker.work_model import WorkModel
from workflows.local.scenario import parse_scenario
from workflows.local.virtual import Watch
from workflows.runs.rehearsal import SITE, compile_file, open_world, start
from workflows.state_machine.watch import compile_watch

SCRIPT = """\
import time
from workflows.checkpointing import Checkpointer
state = {"step": 0}
with Checkpointer({"state": state}, shortest=0.02, longest=0.05) as checkpoints:
    for step in checkpoints.steps(100):
        time.sleep(0.02)
        checkpoints.report()
"""
PIPELINE = """\
name: story
defaults:
  image: python
  spot: {retry_budget: 3, patience: 5m, backoff: {first: 30s, max: 1m}}
stages:
  - {name: back, script: train.py, limit: 5m}
  - {name: gone, script: train.py, limit: 5m, needs: [back]}
  - {name: never, script: train.py, limit: 5m, needs: [gone]}
"""
SCENARIO = {
    "spot": {
        "back": [{"interrupt": "40%", "back": "60s"}],
        "gone": [{"interrupt": "30%"}, {"interrupt": "60%"}, {"interrupt": "80%"}],
        "never": ["none", {"error": "CapacityError"}, "none"],
    }
}


@pytest.mark.processes
def test_a_scenario_takes_the_same_way_with_real_processes_and_in_virtual_time(tmp_path):
    (tmp_path / "train.py").write_text(SCRIPT)
    (tmp_path / "pipeline.yaml").write_text(PIPELINE)
    compiled = compile_file(tmp_path / "pipeline.yaml")

    real = on_this_computer(compiled, tmp_path / "world")
    planned = in_virtual_time(compiled)

    assert real.states == planned.states
    assert real.attempts == planned.attempts
    assert [end for _, _, end, _ in real.attempts["gone"]] == ["interrupted"] * 3 + ["completed"]
    assert [market for market, *_ in real.attempts["never"]] == ["spot"] * 3 + ["on-demand"]


class Story:
    """States in their order; (market, instance type, outcome, decision) of each attempt by stage."""

    def __init__(self, compiled, events):
        entered = [
            each["stateEnteredEventDetails"]["name"] for each in events if "stateEnteredEventDetails" in each
        ]
        # A back-off of no seconds, which full jitter may draw, is passed by.
        self.states = [name for name in entered if "back off" not in name]
        view = RunView("run", "story", stages_in(compiled.definition))
        view.update(events)
        self.attempts = {
            name: [(a.market, a.instance_type, a.outcome, a.decision) for a in stage.attempts]
            for name, stage in view.stages.items()
        }


def on_this_computer(compiled, root):
    console = Console(quiet=True)
    scenario = parse_scenario(SCENARIO)
    with open_world(root, speed=2000, scenario=scenario, seed=0, console=console) as world:
        rehearsal = start(world, compiled, "story", {}, console, quiet=True)
        assert rehearsal.follow().status == "SUCCEEDED"
        return Story(compiled, rehearsal.runs.events(rehearsal.arn, 0))


def in_virtual_time(compiled):
    watch = Watch(compile_watch("story", SITE), watch_pattern("story"))
    machine = PreparedMachine(compiled.definition, bucket=SITE.bucket, watch=watch)
    work = WorkModel(seconds=120, steps=100, save_every=1)
    models = dict.fromkeys(("back", "gone", "never"), work)
    done = machine.run(models=models, scenario=parse_scenario(SCENARIO))
    assert done.ended["status"] == "SUCCEEDED"
    return Story(compiled, done.world.history(done.arn))
