"""Jobs as real processes: their tree, their ends, their signals, and that nothing survives."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import tarfile
import textwrap
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
from botocore.exceptions import ClientError

from tests.local.worlds import channel, final, log_of, saved_step, statuses, submit, until
from tests.training_jobs import training_job
from workflows.jobs.code_archive import pack
from workflows.local.scenario import parse_scenario
from workflows.local.server import LocalWorld

pytestmark = pytest.mark.processes

CHECKPOINTS = {"S3Uri": "s3://bucket/run/checkpoints/"}

# Its first start waits at step 4 for the gate, then at step 10 for its end, however slow the computer is.
COUNTER = textwrap.dedent(
    """
    import json, os, signal, sys, time
    folder = os.environ["SAGEMAKER_BASE_DIR"] + "/checkpoints/"
    def stop(*_):
        open(folder + "stopped", "w").write("yes"); sys.exit(143)
    signal.signal(signal.SIGTERM, stop)
    step = 0
    if os.path.exists(folder + "progress.json"):
        step = json.load(open(folder + "progress.json"))["saved_step"]
    print("from", step)
    first = step == 0
    while step < 20:
        while first and (step == 10 or step == 4 and not os.path.exists(os.environ["GATE"])):
            time.sleep(0.02)
        time.sleep(0.01); step += 1
        body = {"format": 1, "step": step, "saved_step": step, "fraction": step / 20}
        open(folder + "partial", "w").write(json.dumps(body))
        os.replace(folder + "partial", folder + "progress.json")
    """
)


def test_an_undisturbed_job_finds_its_tree_and_leaves_a_model(
    open_world: Callable[..., LocalWorld], monkeypatch: pytest.MonkeyPatch
) -> None:
    # given a world whose user has credentials, a channel and hyperparameters
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "the user's own")
    world = open_world()
    world.client("s3").put_object(Bucket="bucket", Key="data/deep/a.txt", Body=b"hello")
    script = """if 1:
        import json, os, sys
        base = os.environ["SAGEMAKER_BASE_DIR"]
        print(json.dumps([open(base + "/input/data/train/deep/a.txt").read(), sys.argv[1:],
            json.load(open(base + "/input/config/hyperparameters.json")),
            json.load(open(base + "/input/config/inputdataconfig.json")),
            json.load(open(base + "/input/config/resourceconfig.json"))["hosts"],
            sorted(os.environ), base]))
        open(base + "/model/m.bin", "w").write("weights")
    """
    algorithm = training_job("job-1")["AlgorithmSpecification"]
    algorithm["ContainerArguments"] = ["--at=/opt/ml/model", "/opt/mlx"]
    # when it runs
    submit(
        world,
        "job-1",
        script,
        HyperParameters={"epochs": "3"},
        Environment={"A": "b"},
        InputDataConfig=[channel("train", "s3://bucket/data/")],
        AlgorithmSpecification=algorithm,
    )
    job = final(world, "job-1")
    # then everything was where SageMaker puts it
    assert job["TrainingJobStatus"] == "Completed", job
    text, argv, parameters, channels, hosts, names, base = json.loads(log_of(world, "job-1"))
    assert (text, parameters, hosts) == ("hello", {"epochs": "3"}, ["algo-1"])
    assert argv == [f"--at={base}/model", "/opt/mlx"]
    assert channels["train"]["TrainingInputMode"] == "File"
    assert {"A", "TRAINING_JOB_NAME", "TRAINING_JOB_ARN", "SAGEMAKER_BASE_DIR"} <= set(names)
    assert not [name for name in names if name.startswith("AWS_")]
    model = world.client("s3").get_object(Bucket="bucket", Key="out/job-1/output/model.tar.gz")
    with tarfile.open(fileobj=io.BytesIO(model["Body"].read())) as archive:
        assert archive.getnames() == ["m.bin"]
    # and the instance is gone
    until(lambda: not Path(base).exists())


def test_a_script_that_exits_with_3_fails_the_job_with_its_own_last_words(
    open_world: Callable[..., LocalWorld],
) -> None:
    world = open_world()
    script = (
        "import os, sys; "
        "open(os.environ['SAGEMAKER_BASE_DIR'] + '/output/failure', 'w').write('no data'); "
        "sys.exit(3)"
    )
    submit(world, "job-1", script)
    job = final(world, "job-1")
    assert job["TrainingJobStatus"] == "Failed"
    assert job["FailureReason"] == "AlgorithmError: no data, exit code: 3"


def test_a_failure_file_that_is_too_long_costs_the_exit_code(open_world: Callable[..., LocalWorld]) -> None:
    world = open_world()
    script = (
        "import os, sys; "
        "open(os.environ['SAGEMAKER_BASE_DIR'] + '/output/failure', 'w').write('long ' * 300); "
        "sys.exit(3)"
    )
    submit(world, "job-1", script)
    assert final(world, "job-1")["FailureReason"] == ("AlgorithmError: " + "long " * 300)[:1024]


def test_the_last_number_of_each_metric_is_read_from_what_the_containers_wrote(
    open_world: Callable[..., LocalWorld],
) -> None:
    # given a script that writes numbers on both streams, and definitions of which one never matches
    world = open_world()
    script = """if 1:
        import sys
        print("loss=2.5 accuracy=0.1")
        print("loss=nan")
        print("loss=1e-1", "loss=oops", "none=1", file=sys.stderr)
        sys.exit(3)
    """
    algorithm = training_job("job-1")["AlgorithmSpecification"]
    algorithm["MetricDefinitions"] = [
        {"Name": "loss", "Regex": r"loss=(\S+)"},
        {"Name": "held-out accuracy", "Regex": "accuracy=([0-9.]+)"},
        {"Name": "absent", "Regex": "absent=(.*)"},
    ]
    submit(world, "job-1", script, AlgorithmSpecification=algorithm)
    # then a job that fails has them too
    job = final(world, "job-1")
    found = {each["MetricName"]: each["Value"] for each in job["FinalMetricDataList"]}
    assert found == {"loss": 0.1, "held-out accuracy": 0.1}
    for each in job["FinalMetricDataList"]:
        assert job["TrainingStartTime"] <= each["Timestamp"] <= job["TrainingEndTime"]


def test_an_interrupted_job_goes_on_from_its_checkpoint_in_the_same_job(
    open_world: Callable[..., LocalWorld], tmp_path: Path
) -> None:
    scenario = parse_scenario({"spot": {"pretrain": [{"interrupt": "40%", "back": "60s"}]}})
    world = open_world(scenario=scenario)
    gate = tmp_path / "gate"
    environment = {"GATE": str(gate)}
    submit(world, "job-1", COUNTER, spot=True, CheckpointConfig=CHECKPOINTS, Environment=environment)
    until(lambda: saved_step(world))
    gate.touch()
    job = final(world, "job-1")
    assert job["TrainingJobStatus"] == "Completed", (job, log_of(world, "job-1"))
    assert statuses(job).count("Interrupted") == 1
    starts = log_of(world, "job-1").split()
    assert starts[:2] == ["from", "0"]
    assert 1 <= int(starts[3]) <= 10
    # nothing promised a signal, so none was given
    keys = [each["Key"] for each in world.client("s3").list_objects_v2(Bucket="bucket")["Contents"]]
    assert "run/checkpoints/stopped" not in keys


def test_an_interruption_that_is_noticed_only_after_the_work_has_ended_is_still_one(
    open_world: Callable[..., LocalWorld],
) -> None:
    scenario = parse_scenario({"spot": {"pretrain": [{"interrupt": "40%", "back": "60s"}]}})
    world = open_world(scenario=scenario)
    script = """if 1:
        import json, os
        with open(os.environ["SAGEMAKER_BASE_DIR"] + "/checkpoints/progress.json", "w") as file:
            json.dump({"fraction": 1.0}, file)
    """
    submit(world, "job-1", script, spot=True, CheckpointConfig=CHECKPOINTS)
    job = final(world, "job-1")
    assert job["TrainingJobStatus"] == "Completed", (job, log_of(world, "job-1"))
    assert statuses(job).count("Interrupted") == 1


def test_a_stop_gives_sigterm_and_the_last_checkpoint_reaches_s3(
    open_world: Callable[..., LocalWorld],
) -> None:
    world = open_world()
    environment = {"GATE": "/never"}
    submit(world, "job-1", COUNTER, CheckpointConfig=CHECKPOINTS, Environment=environment)
    until(lambda: world.logs("job-1") and "from" in log_of(world, "job-1"))
    world.client("sagemaker").stop_training_job(TrainingJobName="job-1")
    job = final(world, "job-1")
    assert (job["TrainingJobStatus"], job["SecondaryStatus"]) == ("Stopped", "Stopped")
    assert statuses(job)[-3:] == ["Stopping", "Uploading", "Stopped"]
    stopped = world.client("s3").get_object(Bucket="bucket", Key="run/checkpoints/stopped")
    assert stopped["Body"].read() == b"yes"


def test_a_script_without_a_handler_sees_no_sigterm_and_is_killed_after_the_grace(
    open_world: Callable[..., LocalWorld],
) -> None:
    world = open_world(grace_seconds=1.0)
    submit(world, "job-1", "print('on'); import time; time.sleep(60)")
    until(lambda: world.logs("job-1") and log_of(world, "job-1"))
    world.client("sagemaker").stop_training_job(TrainingJobName="job-1")
    job = final(world, "job-1")
    assert job["TrainingJobStatus"] == "Stopped"
    assert job["SecondaryStatusTransitions"][-1]["Status"] == "Stopped"


def test_two_instances_meet_by_the_address_given_and_one_that_fails_fails_the_job(
    open_world: Callable[..., LocalWorld],
) -> None:
    world = open_world()
    script = """if 1:
        import json, os, socket, sys, time
        base = os.environ["SAGEMAKER_BASE_DIR"]
        config = json.load(open(base + "/input/config/resourceconfig.json"))
        where = (os.environ["SM_MASTER_ADDR"], int(os.environ["SM_MASTER_PORT"]))
        if config["current_host"] == "algo-1":
            with socket.create_server(where) as server:
                other = server.accept()[0]
            print(other.recv(9), flush=True)
            other.sendall(b"heard")
            time.sleep(600)
        while True:
            try:
                server = socket.create_connection(where); break
            except OSError:
                time.sleep(0.05)
        server.sendall(b"hello")
        server.recv(9)
        sys.exit(7)
    """
    submit(world, "job-1", script, count=2)
    job = final(world, "job-1")
    assert job["FailureReason"] == "AlgorithmError: , exit code: 7", log_of(world, "job-1")
    assert log_of(world, "job-1") == "b'hello'\n"


def test_missing_data_is_a_failed_job_not_a_broken_world(
    open_world: Callable[..., LocalWorld],
) -> None:
    world = open_world(launch_seconds=600)
    with pytest.raises(ClientError, match='No S3 objects found under S3 URL "s3://no-such-bucket/data/"'):
        submit(world, "job-0", "", InputDataConfig=[channel("train", "s3://no-such-bucket/data/")])
    submit(world, "job-1", "")
    world.client("s3").delete_object(Bucket="bucket", Key="code/job-1/train.py")
    assert final(world, "job-1")["FailureReason"].startswith("ClientError: Data download failed:")
    script = "import os; open(os.environ['SAGEMAKER_BASE_DIR'] + '/model/a', 'w')"
    submit(world, "job-2", script, OutputDataConfig={"S3OutputPath": "s3://no-such-bucket/out"})
    assert final(world, "job-2")["FailureReason"].startswith("ClientError: Artifact upload failed:")


def test_nothing_survives_a_world_that_is_killed(tmp_path: Path) -> None:
    # given a world in a process of its own, whose job left its process group
    script = """if 1:
        import os, subprocess, sys, time
        child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"],
                                 start_new_session=True)
        print(os.getpid(), child.pid, flush=True)
        time.sleep(600)
    """
    program = textwrap.dedent(
        f"""
        import sys, time
        from pathlib import Path
        from tests.local.worlds import submit
        from workflows.local.server import LocalWorld
        world = LocalWorld(Path(sys.argv[1]), speed=600)
        world.client("s3").create_bucket(Bucket="bucket")
        submit(world, "job-1", {script!r})
        time.sleep(600)
        """
    )
    world = subprocess.Popen([sys.executable, "-c", program, str(tmp_path)])
    log = tmp_path / "logs" / "job-1" / "algo-1.log"
    try:
        text = until(lambda: log.exists() and len(log.read_text().split()) == 2 and log.read_text())
        pids = [int(pid) for pid in text.split()]
        assert all(psutil.pid_exists(pid) for pid in pids)
        # when the world is killed
        os.kill(world.pid, signal.SIGKILL)
        # then everything that it started is gone
        until(lambda: not any(psutil.pid_exists(pid) for pid in pids))
    finally:
        world.kill()
        world.wait()


def test_our_launcher_runs_a_packed_script_with_its_hyperparameters(
    open_world: Callable[..., LocalWorld], tmp_path: Path
) -> None:
    world = open_world()
    folder = tmp_path / "source"
    folder.mkdir()
    (folder / "train.py").write_text(
        "import os, sys\n"
        "import workflows.checkpointing\n"
        "print(sys.argv[1:], workflows.checkpointing.__file__)\n"
        "open(os.environ['SM_MODEL_DIR'] + '/m', 'w').write('x')\n"
        "raise ValueError('no such label')\n"
    )
    source = pack(folder)
    for name, content in source.files.items():
        world.client("s3").put_object(Bucket="bucket", Key=source.key_prefix("demo") + name, Body=content)
    algorithm = training_job("job-1")["AlgorithmSpecification"]
    algorithm["ContainerEntrypoint"] = ["python3", "/opt/ml/input/data/code/launch.py"]
    algorithm["ContainerArguments"] = ["train.py"]
    world.client("sagemaker").create_training_job(
        **training_job(
            "job-1",
            AlgorithmSpecification=algorithm,
            HyperParameters={"epochs": "3"},
            InputDataConfig=[channel("code", "s3://bucket/" + source.key_prefix("demo"))],
        )
    )
    job = final(world, "job-1")
    assert job["FailureReason"].startswith("AlgorithmError: "), job
    assert "no such label" in job["FailureReason"]
    assert job["FailureReason"].endswith(", exit code: 1")
    first = log_of(world, "job-1").splitlines()[0]
    assert first.startswith("['--epochs', '3']")
    assert "/opt/ml/code/workflows/checkpointing" in first


def test_closing_a_world_kills_its_jobs_and_they_come_back_as_a_platform_fault(
    tmp_path: Path,
) -> None:
    with LocalWorld(tmp_path / "world", speed=600) as world:
        world.client("s3").create_bucket(Bucket="bucket")
        submit(world, "job-1", "import os, time; print(os.getpid(), flush=True); time.sleep(600)")
        until(lambda: world.logs("job-1") and log_of(world, "job-1").endswith("\n"))
        pid = int(log_of(world, "job-1"))
    assert not psutil.pid_exists(pid)
    assert not (tmp_path / "world" / "instances" / "job-1").exists()
    with LocalWorld(tmp_path / "world") as world:
        job = final(world, "job-1")
        assert job["TrainingJobStatus"] == "Failed"
        assert job["FailureReason"].startswith("InternalServerError: ")
