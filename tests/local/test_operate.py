"""The whole life of a run in a `relay local`: with the command alone, and with the AWS CLI pointed at it."""

import functools
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import boto3
import pytest

from tests.local.commands import FAST, RELAY, relay, saved_step
from tests.local.worlds import until
from workflows.local.clients import exports

AWS = shutil.which("aws", path=f"{Path(sys.prefix) / 'awscli' / 'bin'}{os.pathsep}{os.environ['PATH']}")
MACHINE = "arn:aws:states:us-east-1:123456789012:stateMachine:small"
pytestmark = pytest.mark.processes


@pytest.fixture(autouse=True)
def _no_account(monkeypatch):
    """Nothing of an account's is in the environment of these commands."""
    for name in [name for name in os.environ if name.startswith(("AWS_", "RELAY_"))]:
        monkeypatch.delenv(name)


@pytest.fixture
def world(small):
    """`relay local up` in the folder of the small pipeline; killed at the end, however the test went."""
    up(small)
    yield small
    if pid := status(small).get("pid"):
        os.kill(pid, signal.SIGKILL)


def up(folder):
    done = relay("local", "up", *FAST, cwd=folder)
    assert done.returncode == 0, done.stderr
    return done.stdout


def status(folder):
    return json.loads(relay("local", "status", "--json", cwd=folder).stdout)


def said(folder, *arguments, code=0):
    """The document that a command prints with --json."""
    done = relay(*arguments, "--json", cwd=folder)
    assert done.returncode == code, done.stderr
    return json.loads(done.stdout)


def refusal(folder, *arguments, code=2):
    """The one line that a command ends with."""
    done = relay(*arguments, cwd=folder)
    assert done.returncode == code, done.stdout + done.stderr
    (line,) = done.stderr.strip().splitlines()
    return line


def client(folder, service):
    return boto3.client(
        service,
        endpoint_url=status(folder)["address"],
        region_name="us-east-1",
        aws_access_key_id="relay",
        aws_secret_access_key="relay",
    )


def begun_and_held(folder, tmp_path, *arguments):
    """A run that has saved a checkpoint and waits in the middle of its work."""
    (tmp_path / "hold").touch()
    said(folder, "start", "pipeline.yaml", *arguments)
    until(lambda: saved_step(folder), 120)


def test_the_whole_life_of_a_run_with_the_command_alone(world, tmp_path):
    # given a run that goes on by itself
    begun_and_held(world, tmp_path, "--name", "mine")
    assert status(world)["running"] == ["mine"]
    (listed,) = said(world, "runs", "small", "--status", "running")
    assert (listed["run"], listed["stages"], listed["stages_done"]) == ("mine", 1, 0)

    # when somebody watches it and leaves, it goes on
    watch = subprocess.Popen(
        [RELAY, "watch", "mi"],
        cwd=world,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )
    seen = watch.stdout.readline()
    watch.send_signal(signal.SIGINT)
    assert "before  train        attempt 1 on spot" in seen
    assert "Take it up again with: relay watch mine" in watch.communicate(timeout=60)[0]
    assert watch.returncode == 130
    assert said(world, "runs")[0]["status"] == "RUNNING"
    assert "the run `mine` exists already and is RUNNING" in refusal(
        world, "start", "pipeline.yaml", "--name", "mine", code=3
    )

    # when it is stopped, which has to be meant, it can be resumed
    assert "Nobody is here to answer: say --yes" in refusal(world, "stop", "mine")
    assert relay("stop", "mine", "--yes", cwd=world).returncode == 0
    assert said(world, "runs")[0]["status"] == "ABORTED"
    assert "has ended (ABORTED): nothing to stop" in refusal(world, "stop", "mine", "--yes")
    assert said(world, "resume", "mine")["run"] == "mine"
    assert "is running: follow it with `relay watch`" in refusal(world, "resume", "mine")
    (tmp_path / "hold").unlink()

    # then it ends from its checkpoint, and all that is told of it agrees
    receipt = said(world, "watch", "mine")
    assert receipt["status"] == "SUCCEEDED"
    assert receipt["stages"][0]["attempts"][-1]["resumed_step"] > 0
    assert said(world, "receipt", "mine", "--html", "page.html") == receipt
    assert receipt["stages"][0]["model_sha256"][:12] in (world / "page.html").read_text()
    explained = said(world, "explain", "mine", "train")
    assert explained["totals"] == receipt["totals"]
    outcomes = [attempt["outcome"] for attempt in explained["stages"][0]["attempts"]]
    assert (outcomes[0], outcomes[-1]) == ("stopped with the run", "completed")
    assert "nothing to resume" in refusal(world, "resume", "mine")

    # when the world is ended, what it held is still told, by a world of the command's own
    assert relay("local", "down", cwd=world).returncode == 0
    assert relay("local", "status", cwd=world).returncode == 1
    assert said(world, "explain", "mine")["totals"] == receipt["totals"]


def test_a_world_that_is_killed_in_the_middle_of_a_run_loses_nothing_that_was_saved(world, tmp_path):
    begun_and_held(world, tmp_path, "--name", "mine")
    before = status(world)

    os.kill(before["pid"], signal.SIGKILL)

    assert relay("local", "status", cwd=world).returncode == 1
    assert "no `relay local` is up" in refusal(world, "watch", "mine")
    up(world)
    assert status(world)["address"] == before["address"]  # what was exported stays true
    rules = client(world, "events").list_rules()["Rules"]
    assert [rule["Name"] for rule in rules] == ["small-watch"]  # what starts the capacity watch, too
    assert said(world, "runs")[0]["status"] == "ABORTED"
    (tmp_path / "hold").unlink()
    said(world, "resume", "mine")
    receipt = said(world, "watch", "mine")
    assert receipt["status"] == "SUCCEEDED"
    assert receipt["stages"][0]["attempts"][-1]["resumed_step"] > 0


def test_a_new_run_takes_over_what_an_earlier_one_has_finished(world):
    text = (world / "pipeline.yaml").read_text()
    broken = "  - {name: last, script: last.py, needs: [train], limit: 2m}\n"
    (world / "pipeline.yaml").write_text(text + broken)
    (world / "last.py").write_text("raise ValueError('no such column')\n")
    failed = said(world, "start", "pipeline.yaml", "--name", "first", "--watch", code=1)
    assert "ValueError: no such column" in failed["stages"][1]["attempts"][0]["message"]

    new = said(world, "resume", "first", "--new", "--watch", code=1)

    assert new["run"] != "first"
    assert [stage["status"] for stage in new["stages"]] == ["reused", "failed"]
    assert new["stages"][0]["attempts"] == []
    assert said(world, "explain", new["run"])["totals"] == new["totals"]


def test_what_cannot_be_is_said_in_one_line(world, tmp_path):
    for name in ("twin-1", "twin-2"):
        said(world, "start", "pipeline.yaml", "--name", name, "--watch")

    assert "no run `nobody`; the newest runs: twin-2, twin-1" in refusal(world, "watch", "nobody")
    ambiguous = refusal(world, "explain", "twin")
    assert "`twin` fits several runs: twin-2, twin-1: give more of the name" in ambiguous
    assert "unknown stage `trian`" in refusal(world, "explain", "twin-1", "trian")
    assert "unknown pipeline `smal`" in refusal(world, "runs", "smal")
    assert "unknown pipeline `smal`; allowed: small" in refusal(world, "stats", "smal")
    assert "is up already" in refusal(world, "local", "up")
    gone = "http://127.0.0.1:9"
    assert "no answer" in refusal(world, "runs", "--endpoint-url", gone, code=4)
    # a bucket that somebody deletes: said before jobs start that could save nothing
    begun_and_held(world, tmp_path, "--name", "third")
    assert relay("stop", "third", "--yes", cwd=world).returncode == 0
    s3, sagemaker = client(world, "s3"), client(world, "sagemaker")
    for ending in ("InProgress", "Stopping"):  # the job still saves
        until(functools.partial(none_is, sagemaker, ending), 120)
    for found in s3.list_objects_v2(Bucket="relay-local")["Contents"]:
        s3.delete_object(Bucket="relay-local", Key=found["Key"])
    s3.delete_bucket(Bucket="relay-local")
    assert "the bucket relay-local does not exist (any more)" in refusal(world, "resume", "third", code=4)


def test_a_run_with_a_world_of_its_own_keeps_out_of_one_that_is_up(world):
    assert (
        "start the run there with `relay start PIPELINE --watch`"
        in relay("run", "pipeline.yaml", cwd=world).stderr
    )


def test_two_worlds_do_not_share_a_port_and_a_world_that_does_not_start_says_why(world, tmp_path):
    port = status(world)["address"].rpartition(":")[2]

    told = refusal(world, "local", "up", "--root", tmp_path / "other", "--port", port)

    assert f"port {port} of this computer cannot be used" in told


@pytest.mark.skipif(AWS is None, reason="the AWS CLI is not here: ./scripts/test installs it")
def test_the_whole_life_of_a_run_with_the_aws_cli(world, tmp_path):
    # given a machine that is installed, and the exports of the world
    said(world, "start", "pipeline.yaml", "--name", "first", "--watch")
    told = relay("local", "env", cwd=world).stdout
    address = status(world)["address"]
    assert all(f"export {name}={value}" in told for name, value in exports(address).items())
    environment = {**os.environ, **exports(address), "AWS_PAGER": "", "HOME": str(tmp_path)}

    def aws(*arguments):
        assert AWS is not None
        done = subprocess.run([AWS, *arguments], capture_output=True, text=True, env=environment, timeout=120)
        assert done.returncode == 0, done.stderr
        return done.stdout

    # when
    start = ("stepfunctions", "start-execution", "--state-machine-arn", MACHINE, "--name", "second")
    arn = json.loads(aws(*start, "--input", '{"reuse": false}'))["executionArn"]
    describe = ("stepfunctions", "describe-execution", "--execution-arn", arn, "--query", "status")
    until(lambda: json.loads(aws(*describe)) != "RUNNING", 120)
    # then every service tells the same of it
    assert json.loads(aws(*describe)) == "SUCCEEDED"
    listed = json.loads(aws("stepfunctions", "list-executions", "--state-machine-arn", MACHINE))
    assert {each["name"] for each in listed["executions"]} == {"first", "second"}
    history = json.loads(aws("stepfunctions", "get-execution-history", "--execution-arn", arn))["events"]
    assert (history[0]["type"], history[-1]["type"]) == ("ExecutionStarted", "ExecutionSucceeded")
    jobs = json.loads(aws("sagemaker", "list-training-jobs"))["TrainingJobSummaries"]
    assert [job["TrainingJobStatus"] for job in jobs] == ["Completed", "Completed"]
    name = jobs[0]["TrainingJobName"]
    job = json.loads(aws("sagemaker", "describe-training-job", "--training-job-name", name))
    assert job["EnableManagedSpotTraining"] is True
    assert "relay-local" in aws("s3", "ls")
    assert "model.tar.gz" in aws("s3", "ls", "--recursive", "s3://relay-local/small/")
    query = ("dynamodb", "query", "--table-name", "relay-ledger")
    by = ("--key-condition-expression", "pipeline = :p", "--expression-attribute-values")
    rows = json.loads(aws(*query, *by, '{":p": {"S": "small"}}'))["Items"]
    assert {row["run"]["S"] for row in rows} == {"first", "second"}
    # and so does the command, with the same environment
    shown = relay("explain", "second", "--json", cwd=tmp_path, env=environment)
    told = json.loads(shown.stdout)["totals"]["cost_usd"]
    assert told == pytest.approx(sum(float(row["usd"]["N"]) for row in rows if row["run"]["S"] == "second"))
    # a run that the AWS CLI stops can be resumed by the command
    (tmp_path / "hold").touch()
    third = json.loads(aws(*start[:-1], "third", "--input", "{}"))["executionArn"]
    running = ("sagemaker", "list-training-jobs", "--status-equals", "InProgress")
    until(lambda: json.loads(aws(*running))["TrainingJobSummaries"], 120)
    aws("stepfunctions", "stop-execution", "--execution-arn", third)
    (tmp_path / "hold").unlink()
    resumed = relay("resume", "third", "--watch", cwd=tmp_path, env=environment)
    assert resumed.returncode == 0, resumed.stderr


def none_is(sagemaker, status):
    """Whether no training job has the status."""
    return not sagemaker.list_training_jobs(StatusEquals=status)["TrainingJobSummaries"]
