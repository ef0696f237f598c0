"""SageMaker's SDK 2, as a user has it: estimators that attach to jobs of the local world, and their logs."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from tests.local.worlds import channel, final, statuses, submit, until
from tests.training_jobs import ROLE
from workflows.local.clients import exports
from workflows.local.sagemaker import container
from workflows.local.scenario import parse_scenario
from workflows.local.server import LocalWorld

pytestmark = pytest.mark.processes
GROUP = "/aws/sagemaker/TrainingJobs"


@pytest.fixture
def world(open_world: Callable[..., LocalWorld], monkeypatch: pytest.MonkeyPatch) -> LocalWorld:
    """A world that plain boto3 finds by its environment."""
    scenario = parse_scenario({"spot": {"pretrain": [{"interrupt": "40%", "back": "60s"}]}})
    found = open_world(scenario=scenario)
    for name, value in exports(found.endpoint_url).items():
        monkeypatch.setenv(name, value)
    return found


def session() -> Any:
    import sagemaker

    silent = {"SchemaVersion": "1.0", "SageMaker": {"PythonSDK": {"Modules": {"TelemetryOptOut": True}}}}
    there = boto3.Session(region_name="us-east-1")
    return sagemaker.Session(there, default_bucket="bucket", sagemaker_config=silent)


def messages(world: LocalWorld, **request: Any) -> list[str]:
    answer = world.client("logs").filter_log_events(logGroupName=GROUP, **request)
    return [event["message"] for event in answer["events"]]


def test_an_estimator_attaches_to_a_job_and_shows_its_log(
    world: LocalWorld, capsys: pytest.CaptureFixture[str]
) -> None:
    from sagemaker.estimator import Estimator

    submit(world, "job-1", "print('loss=0.5')", HyperParameters={"epochs": "3"})

    found = Estimator.attach("job-1", sagemaker_session=session())
    found.logs()

    assert found.hyperparameters()["epochs"] == "3"
    assert found.model_data == "s3://bucket/out/job-1/output/model.tar.gz"
    assert "loss=0.5" in capsys.readouterr().out


def test_an_sklearn_estimator_fits_in_script_mode_and_attaches_again(
    world: LocalWorld, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if container.toolkit_python() is None:
        reason = "sagemaker-training is not installed: ./scripts/test puts it into .venv/launchers"
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(reason)
    from sagemaker.sklearn import SKLearn

    # given a job that the SDK itself starts, whose code the toolkit takes from S3
    (tmp_path / "train.py").write_text("import sys; print('arguments', sys.argv[1:])")
    first = SKLearn(
        "train.py",
        source_dir=str(tmp_path),
        framework_version="1.2-1",
        role=ROLE,
        instance_type="ml.m5.large",
        hyperparameters={"epochs": 3, "name": "x"},
        debugger_hook_config=False,
        disable_profiler=True,
        sagemaker_session=session(),
    )
    first.fit(wait=False)
    assert first.latest_training_job is not None
    name = first.latest_training_job.name

    # when another process would find it
    found = SKLearn.attach(name, sagemaker_session=session())

    # then it is the same estimator, and the script got its arguments
    job = final(world, name)
    assert job["TrainingJobStatus"] == "Completed", job
    assert (found.framework_version, found.entry_point) == ("1.2-1", "train.py")
    assert found.hyperparameters()["epochs"] == "3"
    found.logs()
    assert "arguments ['--epochs', '3', '--name', 'x']" in capsys.readouterr().out


def test_a_log_is_there_while_its_job_runs_and_each_start_has_a_stream(
    world: LocalWorld, tmp_path: Path
) -> None:
    # given a job that says something, and goes on when it is told to
    go = tmp_path / "go"
    script = f"""if 1:
        import json, os, time
        base = os.environ["SAGEMAKER_BASE_DIR"]
        seen = os.path.join(base, "checkpoints", "seen")
        print("first" if not os.path.exists(seen) else "again", flush=True)
        print("half", end="", flush=True)
        open(seen, "w").close()
        while not os.path.exists({str(go)!r}): time.sleep(0.02)
        with open(base + "/checkpoints/progress.json", "w") as file: json.dump({{"fraction": 0.5}}, file)
        time.sleep(0 if "again" in open(os.environ["LOG"]).read() else 600)
    """
    log = world.root / "logs" / "job-1" / "algo-1.log"
    checkpoints = {"S3Uri": "s3://bucket/checkpoints/"}
    with pytest.raises(ClientError, match="The specified log group does not exist"):
        messages(world)
    submit(world, "job-1", script, spot=True, CheckpointConfig=checkpoints, Environment={"LOG": str(log)})

    # then its whole lines are there while it runs
    until(lambda: log.exists() and "half" in log.read_text())
    until(lambda: log.with_suffix(".times").read_text().count("at") and messages(world) == ["first"])
    go.touch()

    # and after an interruption there are two streams, named as on AWS
    job = final(world, "job-1")
    assert statuses(job).count("Interrupted") == 1
    streams = world.client("logs").describe_log_streams(logGroupName=GROUP, logStreamNamePrefix="job-1/")
    names = [stream["logStreamName"] for stream in streams["logStreams"]]
    starts = [stream["creationTime"] // 1000 for stream in streams["logStreams"]]
    assert names == [f"job-1/algo-1-{start}" for start in starts]
    assert len(set(names)) == 2
    assert messages(world) == ["first", "half", "again", "half"]
    assert messages(world, filterPattern="-half ?again ?never") == ["again"]


def test_pages_of_a_stream_go_forward_and_back_as_on_aws(world: LocalWorld) -> None:
    submit(world, "job-1", "print(*range(7), sep='\\n')")
    final(world, "job-1")
    logs = world.client("logs")
    [stream] = logs.describe_log_streams(logGroupName=GROUP)["logStreams"]
    place = {"logGroupName": GROUP, "logStreamName": stream["logStreamName"], "limit": 3}

    def page(**more: Any) -> tuple[str, dict[str, Any]]:
        answer = logs.get_log_events(**place, **more)
        return "".join(event["message"] for event in answer["events"]), answer

    # from the head to the end, where the token stays the same
    text, answer = page(startFromHead=True)
    read = [text]
    while text:
        token = answer["nextForwardToken"]
        text, answer = page(nextToken=token)
        read.append(text)
    assert read == ["012", "345", "6", ""]
    assert answer["nextForwardToken"] == token
    # and from the tail back
    text, answer = page()
    assert (text, page(nextToken=answer["nextBackwardToken"])[0]) == ("456", "123")


def test_processing_jobs_have_a_group_of_their_own(world: LocalWorld) -> None:
    world.client("sagemaker").create_processing_job(
        ProcessingJobName="prepare-1",
        RoleArn=ROLE,
        AppSpecification={"ImageUri": "image", "ContainerEntrypoint": ["python3", "-c", "print('prepared')"]},
        ProcessingResources={
            "ClusterConfig": {"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 1}
        },
    )
    logs = world.client("logs")

    def prepared() -> list[str]:
        if not logs.describe_log_groups(logGroupNamePrefix="/aws/sagemaker/")["logGroups"]:
            return []
        found = logs.filter_log_events(logGroupName="/aws/sagemaker/ProcessingJobs")["events"]
        return [event["message"] for event in found]

    assert until(prepared) == ["prepared"]
    with pytest.raises(ClientError, match="log group does not exist"):
        messages(world)


def test_groups_of_others_are_motos(world: LocalWorld) -> None:
    logs = world.client("logs")
    logs.create_log_group(logGroupName="mine")
    logs.create_log_stream(logGroupName="mine", logStreamName="one")

    assert logs.describe_log_streams(logGroupName="mine")["logStreams"][0]["logStreamName"] == "one"
    with pytest.raises(ClientError, match="log group does not exist"):
        logs.describe_log_streams(logGroupName=GROUP)


def test_an_answer_has_what_aws_fills_in(world: LocalWorld) -> None:
    world.client("s3").put_object(Bucket="bucket", Key="data/a", Body=b"")
    submit(world, "job-1", "", InputDataConfig=[channel("train", "s3://bucket/data/")])

    job = final(world, "job-1")

    assert job["OutputDataConfig"]["KmsKeyId"] == ""
    assert job["EnableNetworkIsolation"] is False
    for each in job["InputDataConfig"]:
        assert (each["CompressionType"], each["RecordWrapperType"]) == ("None", "None")
        assert each["DataSource"]["S3DataSource"]["S3DataDistributionType"] == "FullyReplicated"
