"""The settings of a stage that only its job's request knows: what is allowed, and what AWS then gets."""

import io
import tarfile

import pytest
import yaml
from pydantic import ValidationError

from tests.requests import request_of
from workflows.jobs.code_archive import SourceError
from workflows.jobs.materials import MaterialError, gather
from workflows.jobs.site import Materials, Site
from workflows.local.service_model import checked
from workflows.specification.pipeline import Pipeline
from workflows.specification.stages import ProcessStage, TrainStage

SITE = Site("bucket", "arn:aws:iam::123456789012:role/relay-job")
IMAGE = "123456789012.dkr.ecr.us-east-1.amazonaws.com/training:1"
TYPE = "ml.m5.xlarge"
MATERIALS = Materials("s3://bucket/code/abc/", {TYPE: IMAGE})

SETTINGS = """\
role: arn:aws:iam::123456789012:role/other
network: {subnets: [subnet-1], security_groups: [sg-1], isolation: true, encrypt_traffic: true}
encryption: {volume_key: "alias/volumes", output_key: "arn:aws:kms:us-east-1:123456789012:key/1"}
tags: {team: vision, "cost centre": "4711"}
"""
TRAINING = """\
metrics: {loss: "loss=([0-9.]+)"}
metrics_time_series: true
input_mode: FastFile
inputs: {train: "s3://bucket/train/"}
image_repository: {access: Vpc, credentials_provider: "arn:aws:lambda:us-east-1:123456789012:function:login"}
profiler: false
"""


def train(text="", **fields):
    script = {} if "container" in fields else {"script": "train.py"}
    return TrainStage.model_validate({"name": "train", **script, **(yaml.safe_load(text) or {}), **fields})


def process(text="", **fields):
    given = {"name": "prepare", "script": "prepare.py", "outputs": ["data"]}
    return ProcessStage.model_validate({**given, **(yaml.safe_load(text) or {}), **fields})


def requested(stage, **more):
    """The request, held against AWS's own model of the operation."""
    pipeline = Pipeline(name="demo", stages=[stage])
    stage = pipeline.stages[0]
    request = request_of(pipeline, stage, SITE, MATERIALS)
    kind = "Processing" if isinstance(stage, ProcessStage) else "Training"
    checked("sagemaker", f"Create{kind}Job", request)
    return request


# ------------------------------------------------------------------------------------------------ requests
def test_a_training_job_gets_what_its_stage_says():
    request = requested(train(SETTINGS + TRAINING))

    assert request["RoleArn"] == "arn:aws:iam::123456789012:role/other"
    assert request["VpcConfig"] == {"Subnets": ["subnet-1"], "SecurityGroupIds": ["sg-1"]}
    assert request["EnableNetworkIsolation"] is True
    assert request["EnableInterContainerTrafficEncryption"] is True
    assert request["ResourceConfig"]["VolumeKmsKeyId"] == "alias/volumes"
    assert request["ResourceConfig"]["InstanceType"] == TYPE
    assert request["OutputDataConfig"]["KmsKeyId"].endswith(":key/1")
    assert "S3OutputPath" in request["OutputDataConfig"]
    assert request["ProfilerConfig"] == {"DisableProfiler": True}
    algorithm = request["AlgorithmSpecification"]
    assert algorithm["MetricDefinitions"] == [{"Name": "loss", "Regex": "loss=([0-9.]+)"}]
    assert algorithm["EnableSageMakerMetricsTimeSeries"] is True
    assert algorithm["TrainingImageConfig"]["TrainingRepositoryAccessMode"] == "Vpc"
    assert algorithm["ContainerArguments"] == ["train.py"]


def test_script_mode_names_the_launcher_as_the_toolkits_program_and_no_entry_point():
    stage = train(launch="script_mode", distribution="torchrun", hyperparameters={"epochs": 3})

    request = requested(stage)

    assert not {"ContainerEntrypoint", "ContainerArguments"} & set(request["AlgorithmSpecification"])
    assert request["HyperParameters"] == {
        "epochs": "3",
        "sagemaker_program": '"launch.py"',
        "sagemaker_submit_directory": '"/opt/ml/input/data/code/sourcedir.tar.gz"',
        "sagemaker_container_log_level": "20",
        "sagemaker_region": '"us-east-1"',
    }
    assert request["Environment"]["RELAY_LAUNCH"] == '["--torchrun", "train.py"]'
    assert requested(train())["AlgorithmSpecification"]["ContainerArguments"] == ["train.py"]


def test_script_mode_can_be_the_default_of_all_stages_and_brings_its_archive(tmp_path):
    (tmp_path / "train.py").write_text("")
    (tmp_path / "setup.py").write_text("")
    stages = [{"name": "one", "script": "train.py"}, {"name": "two", "script": "train.py"}]
    stages[1]["launch"] = "entrypoint"
    pipeline = Pipeline.model_validate(
        {"name": "demo", "defaults": {"launch": "script_mode", "image": IMAGE}, "stages": stages}
    )

    packed = gather(pipeline, tmp_path, "bucket", lambda image, kind: IMAGE)

    assert [stage.launch for stage in pipeline.stages] == ["script_mode", "entrypoint"]
    [archive] = [data for key, data in packed.uploads.items() if key.endswith("/sourcedir.tar.gz")]
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        assert tar.getnames() == ["launch.py", "source.tar.gz"]


def test_a_processing_job_gets_what_its_stage_says():
    request = requested(process(SETTINGS))

    assert request["RoleArn"] == "arn:aws:iam::123456789012:role/other"
    assert request["NetworkConfig"] == {
        "VpcConfig": {"Subnets": ["subnet-1"], "SecurityGroupIds": ["sg-1"]},
        "EnableNetworkIsolation": True,
        "EnableInterContainerTrafficEncryption": True,
    }
    assert request["ProcessingResources"]["ClusterConfig"]["VolumeKmsKeyId"] == "alias/volumes"
    assert request["ProcessingResources"]["ClusterConfig"]["InstanceType"] == TYPE
    assert request["ProcessingOutputConfig"]["KmsKeyId"].endswith(":key/1")
    assert len(request["ProcessingOutputConfig"]["Outputs"]) == 1


@pytest.mark.parametrize("stage", [train(), process()], ids=["train", "process"])
def test_what_is_not_said_is_not_sent(stage):
    request = requested(stage)

    assert request["RoleArn"] == SITE.job_role_arn
    assert not {"VpcConfig", "NetworkConfig", "EnableNetworkIsolation", "ProfilerConfig"} & set(request)
    assert "KmsKeyId" not in str(request)


def test_tags_stand_beside_relays_own():
    tags = {tag["Key"]: tag["Value"] for tag in requested(train(SETTINGS))["Tags"]}

    assert (tags["team"], tags["cost centre"], tags["relay:stage"]) == ("vision", "4711", "train")


def test_the_code_is_files_whatever_the_mode_of_the_inputs():
    channels = {c["ChannelName"]: c["InputMode"] for c in requested(train(TRAINING))["InputDataConfig"]}

    assert channels == {"code": "File", "train": "FastFile"}


def test_a_program_of_the_image_is_started_without_the_launcher_and_without_code():
    container = {"entrypoint": ["/usr/bin/train", "--fast"], "arguments": ["x"]}
    request = requested(train(container=container, inputs={"train": "s3://bucket/train/"}))

    assert request["AlgorithmSpecification"]["ContainerEntrypoint"] == ["/usr/bin/train", "--fast"]
    assert request["AlgorithmSpecification"]["ContainerArguments"] == ["x"]
    assert [channel["ChannelName"] for channel in request["InputDataConfig"]] == ["train"]


def test_an_image_starts_itself_when_its_entry_point_is_not_named():
    request = requested(train(container={}))

    assert not {"ContainerEntrypoint", "ContainerArguments"} & set(request["AlgorithmSpecification"])
    assert "InputDataConfig" not in request


# ---------------------------------------------------------------------------------------------- validation
@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("network: {subnets: [subnet-1]}", "`subnets` and `security_groups` go together"),
        ("tags: {'aws:x': y}", "tags that begin with `relay:` or `aws:`"),
        ("tags: {'Relay:x': y}", "tags that begin with `relay:` or `aws:`"),
        ("tags: {a: 'b{c}'}", "should match pattern"),
        ("container: {}\nscript: train.py", "`container` starts the image's own program"),
        ("container: {}\nscript: ''\ndistribution: torchrun", "`container` starts the image's own program"),
        ("script: ''", "the field `script` is missing"),
        ("input_mode: Stream", "'File', 'FastFile' or 'Pipe'"),
        ("role: training", "should match pattern"),
        ("metrics: {loss: ''}", "at least 1 character"),
        ("encryption: {volume_key: 'a b'}", "should match pattern"),
        ("checkpoint: {s3_uri: 'bucket/x'}", "expected a prefix in a bucket"),
        ("checkpoint: {s3_uri: 's3://bucket/'}", "expected a prefix in a bucket"),
        ("checkpoint: {s3_uri: 's3:///x'}", "expected a prefix in a bucket"),
        ("checkpoint: {local_path: checkpoints}", "expected an absolute path in the container"),
        ("checkpoint: {local_path: /opt/ml/../..}", "expected an absolute path in the container"),
    ],
)
def test_what_aws_would_refuse_is_refused_first(text, message):
    with pytest.raises(ValidationError, match=message):
        train(text)


@pytest.mark.parametrize(("field", "value"), [("tags", "v"), ("metrics", "v=(.*)")])
def test_there_are_at_most_forty_tags_and_metrics(field, value):
    names = [f"name-{index}" for index in range(41)]

    train(**{field: dict.fromkeys(names[:40], value)})
    with pytest.raises(ValidationError, match="at most 40"):
        train(**{field: dict.fromkeys(names, value)})


def test_a_prefix_for_checkpoints_ends_in_a_slash():
    given = [train(checkpoint={"s3_uri": uri}).checkpoint.s3_uri for uri in ("s3://b/run-1", "s3://b/run-1/")]

    assert given == ["s3://b/run-1/"] * 2


def test_checkpoints_are_in_the_folder_of_sagemaker_unless_said():
    assert train().checkpoint.local_path == "/opt/ml/checkpoints"
    assert train(checkpoint={"local_path": "/opt/ml/own"}).checkpoint.local_path == "/opt/ml/own"


# ---------------------------------------------------------------------------------------------------- code
def gathered(folder, **stage):
    pipeline = Pipeline(name="demo", stages=[train(image=IMAGE, **stage)])
    return gather(pipeline, folder, "bucket", lambda image, kind: str(image))


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "train.py").write_text("import lib\n")
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib" / "__init__.py").write_text("")
    (tmp_path / "shared.py").write_text("X = 1\n")
    return tmp_path


def members(packed):
    archive = next(data for key, data in packed.uploads.items() if key.endswith("source.tar.gz"))
    with tarfile.open(fileobj=io.BytesIO(archive)) as opened:
        return {name for name in opened.getnames() if not name.startswith("workflows/")}


def test_dependencies_lie_beside_the_script(folder):
    packed = gathered(folder, source="code", dependencies=["lib", "shared.py"])

    assert members(packed) == {"train.py", "lib/__init__.py", "shared.py"}


def test_a_dependency_must_be_there_and_must_not_hide_another(folder):
    with pytest.raises(SourceError, match="no such file or folder, named in `dependencies`"):
        gathered(folder, source="code", dependencies=["nowhere"])
    with pytest.raises(SourceError, match=r"`train.py` is there already"):
        gathered(folder, source="code", dependencies=["code/train.py"])


def test_a_stage_without_a_script_uploads_no_code(folder):
    packed = gathered(folder, container={})

    assert packed.uploads == {}
    assert packed.stages["train"].code_prefix == ""


def test_a_missing_input_of_such_a_stage_is_still_told(folder):
    with pytest.raises(MaterialError, match="no file or folder"):
        gathered(folder, container={}, inputs={"train": "nowhere"})
