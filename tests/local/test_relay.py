"""The `relay` command as a user has it: its own process, real training processes, real signals."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from rich.console import Console

from tests.local.commands import FAST, PIPELINE, RELAY, relay, saved_step
from tests.local.worlds import until
from workflows.local.scenario import Scenario
from workflows.runs.rehearsal import compile_file, open_world, start

EXAMPLE = Path(__file__).parents[2] / "workflows/examples/digits"


@pytest.mark.processes
def test_an_interrupted_run_of_the_example_leaves_the_models_of_an_undisturbed_one(tmp_path):
    folder = tmp_path / "digits"
    shutil.copytree(EXAMPLE, folder)

    runs = {}
    for name, options in (("undisturbed", ["--scenario", "none"]), ("interrupted", [])):
        done = relay("run", folder / "pipeline.yaml", "--json", *FAST, *options, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        runs[name] = {stage["name"]: stage for stage in json.loads(done.stdout)["stages"]}

    for stage in ("pretrain", "finetune"):
        assert runs["undisturbed"][stage]["model_sha256"]
        assert runs["interrupted"][stage]["model_sha256"] == runs["undisturbed"][stage]["model_sha256"]
    ends = {
        name: [(a["rung"]["market"], a["outcome"], a["decision"]) for a in stage["attempts"]]
        for name, stage in runs["interrupted"].items()
    }
    assert ends["prepare"] == [("on-demand", "completed", "done")]
    assert ends["pretrain"] == [("spot", "interrupted", "spot")] * 2 + [("spot", "completed", "done")]
    assert ends["finetune"] == [
        ("spot", "interrupted", "spot"),
        ("spot", "no capacity", "spot"),
        ("spot", "no capacity", "on-demand"),
        ("on-demand", "completed", "done"),
    ]
    drought = runs["interrupted"]["finetune"]["attempts"][1]
    assert drought["message"].startswith("no capacity for")  # the watch ended it, not MaxWait
    assert all(a["resumed_step"] > 0 for a in runs["interrupted"]["pretrain"]["attempts"][1:])
    attempts = [a for stages in runs.values() for stage in stages.values() for a in stage["attempts"]]
    assert_the_table_has(attempts, tmp_path)


def assert_the_table_has(attempts, folder):
    """Both runs are in the table of the world that they left, which another process opens."""
    done = relay("stats", "digits", "--json", cwd=folder)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert (told["runs"], told["places"], told["completed"]) == (2, 6, 6)
    assert told["attempts"] == len(attempts) == 11
    assert told["outcomes"] == {"completed": 6, "interrupted": 3, "no capacity": 2}
    assert told["usd"] == pytest.approx(sum(a["cost_usd"] for a in attempts), abs=1e-9)
    spot = [a for a in attempts if a["market"] == "spot"]
    assert sum(kind["attempts"] for kind in told["by_type"]) == len(spot)
    for kind in told["by_type"]:
        own = [a for a in spot if a["rung"]["instance_type"] == kind["instance_type"]]
        assert kind["rate"]["interruptions"] == sum(a["interruptions"] for a in own)


@pytest.mark.processes
def test_a_users_bug_costs_one_attempt_and_its_last_words_are_shown(small):
    (small / "train.py").write_text(
        "import sys\nprint('boom: no such column', file=sys.stderr)\nsys.exit(3)\n"
    )

    done = relay("run", "pipeline.yaml", "--json", *FAST, cwd=small)

    assert done.returncode == 1
    document = json.loads(done.stdout)
    (attempt,) = document["stages"][0]["attempts"]
    assert (attempt["outcome"], attempt["decision"], attempt["interruptions"]) == ("user error", "fail", 0)
    assert "boom: no such column" in attempt["message"]
    assert "exit code: 3" in attempt["message"]
    assert document["status"] == "FAILED"


@pytest.mark.processes
def test_the_trials_of_a_large_sweep_are_told_while_they_run(small):
    # given a sweep of 24 trials: they are executions of their own
    trials = "kind: sweep, grid: {rate: [" + ", ".join(map(str, range(24))) + "]}, best: {metric: sum}"
    text = (small / "pipeline.yaml").read_text()
    (small / "pipeline.yaml").write_text(text.replace("script: train.py", f"script: train.py, {trials}"))
    (small / "lost.yaml").write_text("spot: {train/1: [{interrupt: 50%}]}")
    # when
    done = relay("run", "pipeline.yaml", "--scenario", "lost.yaml", *FAST, cwd=small)
    # then
    assert done.returncode == 0, done.stdout
    lines = [" ".join(line.split()) for line in done.stdout.splitlines()]
    told = [line.partition("train #")[2] for line in lines if "train #" in line]
    assert sum("completed" in line for line in told) == 24
    assert sum(line.startswith("1 attempt 1 on spot: interrupted") for line in told) == 1
    moments = {line.partition(" s ")[0] for line in lines if "train #" in line}
    assert len(moments) > 3  # not all when the sweep has ended
    assert any(line.startswith("Total 25 attempts") for line in lines)


@pytest.mark.processes
def test_ctrl_c_stops_the_run_and_resume_goes_on_from_the_checkpoint(small, tmp_path):
    (tmp_path / "hold").touch()
    run = subprocess.Popen(
        [RELAY, "run", "pipeline.yaml", "--name", "mine", *FAST],
        cwd=small,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and not saved_step(small):
        time.sleep(0.05)
    run.send_signal(signal.SIGINT)
    output = run.communicate(timeout=120)[0]
    (tmp_path / "hold").unlink()

    assert run.returncode == 130, output
    assert "relay resume mine" in output

    resumed = relay("resume", "mine", "--json", *FAST, cwd=small)
    assert resumed.returncode == 0, resumed.stderr
    first, *_, last = json.loads(resumed.stdout)["stages"][0]["attempts"]
    assert first["outcome"] == "stopped with the run"
    assert first["seconds_trained"] > 0
    assert last["outcome"] == "completed"
    assert last["resumed_step"] > 0

    undisturbed = relay("run", "pipeline.yaml", "--json", *FAST, cwd=small)
    assert digest(resumed) == digest(undisturbed)


def digest(done):
    return json.loads(done.stdout)["stages"][0]["model_sha256"]


@pytest.mark.processes
def test_the_machine_that_runs_is_the_one_that_compile_prints(small):
    printed = json.loads(relay("compile", "pipeline.yaml", cwd=small).stdout)

    console = Console(stderr=True)
    with open_world(small / "world", speed=2000, scenario=Scenario(), seed=0, console=console) as world:
        rehearsal = start(world, compile_file(small / "pipeline.yaml"), "run", {}, console, quiet=True)
        states = world.client("stepfunctions")
        running = states.describe_state_machine_for_execution(executionArn=rehearsal.arn)

    assert json.loads(running["definition"]) == printed


@pytest.mark.processes
def test_a_processing_job_that_was_stopped_with_its_run_stands_in_the_receipt(small):
    (small / "pipeline.yaml").write_text(
        "name: small\nstages:\n  - {name: prepare, kind: process, script: wait.py, limit: 1h}\n"
    )
    (small / "wait.py").write_text("import time\nprint('begun', flush=True)\ntime.sleep(600)\n")
    console = Console(stderr=True)
    with open_world(small / "world", speed=2000, scenario=Scenario(), seed=0, console=console) as world:
        rehearsal = start(world, compile_file(small / "pipeline.yaml"), "run", {}, console, quiet=True)
        sagemaker = world.client("sagemaker")

        def job():
            listed = sagemaker.list_processing_jobs()["ProcessingJobSummaries"]
            name = listed[0]["ProcessingJobName"] if listed else None
            return sagemaker.describe_processing_job(ProcessingJobName=name) if name else {}

        until(lambda: job().get("ProcessingStartTime"))
        rehearsal.runs.stop(rehearsal.arn, "enough")
        until(lambda: job()["ProcessingJobStatus"] == "Stopped")
        view = rehearsal.follow()
        rehearsal.runs.add_stopped_jobs(view)

    [entry] = view.stages["prepare"].attempts
    assert (entry.outcome, entry.market) == ("stopped with the run", "on-demand")
    assert entry.instance_type == "ml.m5.xlarge"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("script: train.py", "scrpt: train.py"), "unknown field `scrpt`"),
        (("limit: 2m", "needs: [prepare]"), "unknown stage `prepare`"),
        (("limit: 2m", "needs: [train]"), "in a circle: train -> train"),
        (("limit: 2m", "limit: 2 minutes"), "expected a duration"),
        (("stages:", "stages:\n  - {name: train, script: train.py}"), "two stages are named `train`"),
        (("script: train.py", "script: trian.py"), "did you mean `train.py`?"),
    ],
)
def test_a_mistake_gives_one_message_and_exit_code_2(small, change, message):
    (small / "pipeline.yaml").write_text(PIPELINE.replace(*change))

    done = relay("check", "pipeline.yaml", cwd=small)

    assert done.returncode == 2
    assert message in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["run", "pipeline.yml"], "did you mean `pipeline.yaml`?"),
        (["run", "pipeline.yaml", "--scenario", "strmy"], "did you mean 'stormy'?"),
        (["resume", "mine"], "no local world"),
    ],
)
def test_what_is_not_there_is_said(small, arguments, message):
    done = relay(*arguments, cwd=small)

    assert done.returncode == 2
    assert message in done.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--from", "trian"], "run input.from: unknown stage `trian`; allowed: train; did you mean `train`?"),
        (["--set", "train.epochs=3"], "run input.parameters.train: unknown field `epochs`; allowed: none"),
        (["--input", '{"budget": 3}'], "unknown field `budget`"),
        (["--key", "a", "--name", "b"], "exclude each other"),
    ],
)
def test_a_mistake_in_what_a_run_is_to_do_is_told_before_anything_is_opened(small, arguments, message):
    done = relay("run", "pipeline.yaml", *arguments, cwd=small)

    assert done.returncode == 2
    assert message in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert not (small / ".relay").exists()


@pytest.mark.processes
def test_a_run_that_cannot_meet_its_deadline_is_refused_and_its_key_is_used_up(small):
    (small / "pipeline.yaml").write_text(PIPELINE.replace("limit: 2m", "limit: 2m, expected: 1m"))
    asked = ["run", "pipeline.yaml", "--key", "nightly", "--deadline", "1m", *FAST]

    refused, again = relay(*asked, cwd=small), relay(*asked, cwd=small)

    assert refused.returncode == 2
    assert "the run small-nightly was refused: the deadline cannot be met" in refused.stderr
    assert again.returncode == 3
    assert "the run `small-nightly` exists already and was refused at its start" in again.stderr


def test_the_schema_of_a_pipelines_run_input_is_printed(small):
    shown = json.loads(relay("schema", "pipeline.yaml", cwd=small).stdout)

    assert shown["properties"]["from"] == {"type": "string", "enum": ["train"]}


def test_help_imports_nothing_heavy():
    heavy = {
        "boto3",
        "botocore",
        "moto",
        "sagemaker",
        "stepfunctions",
        "pydantic",
        "jsonata",
        "numpy",
        "simpy",
    }
    code = "import sys, workflows.commands.cli; print(*sys.modules)"

    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout

    assert not heavy & set(loaded.split())


def test_a_run_for_a_time_of_the_schedule_that_had_its_run_is_dropped_which_is_no_failure(small):
    told = ["run", small / "pipeline.yaml", *FAST, "--input", '{"scheduled": "2026-01-01T06:00:00Z"}']
    first = relay(*told, "--name", "first", cwd=small)

    second = relay(*told, "--name", "second", cwd=small)
    third = relay(*told, "--name", "third", "--json", cwd=small)

    assert (first.returncode, second.returncode, third.returncode) == (0, 0, 0), first.stderr
    said = " ".join(second.stdout.split())
    assert "The run second was dropped: the run first was started for 2026-01-01T06:00:00Z." in said
    assert json.loads(third.stdout)["dropped"] == "the run first was started for 2026-01-01T06:00:00Z"
