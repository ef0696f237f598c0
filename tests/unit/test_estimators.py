"""Estimators of the real sagemaker SDK as stages: everything set on one is carried over, or refused."""

import inspect
import json
import subprocess
import sys
from datetime import timedelta
from typing import Any

import pytest
from pydantic import ValidationError
from sagemaker.debugger import (
    DebuggerHookConfig,
    ProfilerConfig,
    ProfilerRule,
    TensorBoardOutputConfig,
    rule_configs,
)
from sagemaker.estimator import Estimator, EstimatorBase, Framework
from sagemaker.huggingface import HuggingFace
from sagemaker.instance_group import InstanceGroup
from sagemaker.pytorch import PyTorch
from sagemaker.sklearn import SKLearn
from sagemaker.tensorflow import TensorFlow
from sagemaker.workflow.parameters import ParameterInteger
from sagemaker.xgboost import XGBoost

from workflows.checkpointing.launch import decoded, hyperparameter_arguments
from workflows.jobs.job import parameters
from workflows.specification.estimator_parameters import CARRIED, IGNORED, REFUSED, TRANSLATED
from workflows.specification.estimators import EstimatorError, from_estimator, offline_session
from workflows.specification.images import image_uri
from workflows.specification.pipeline import Pipeline
from workflows.specification.settings import FrameworkImage

REGION = "eu-west-1"
SESSION = offline_session(REGION)
ROLE = "arn:aws:iam::123456789012:role/training"
CLASSES = [EstimatorBase, Estimator, Framework, PyTorch, TensorFlow, HuggingFace, SKLearn, XGBoost]
URI = "123456789012.dkr.ecr.eu-west-1.amazonaws.com/mine:1"


def placed(rungs):
    return tuple((rung.type, rung.count) for rung in rungs)


def usual(**changes):
    return {
        "role": ROLE,
        "instance_type": "ml.g5.2xlarge",
        "instance_count": 1,
        "sagemaker_session": SESSION,
    } | changes


def pytorch(**changes):
    settings = {"entry_point": "train.py", "framework_version": "2.6.0", "py_version": "py312"}
    return PyTorch(**usual(**settings | changes))


def generic(**changes):
    return Estimator(**usual(image_uri=URI, **changes))


def stage(estimator, **fields):
    return from_estimator("train", estimator, **fields)


def at(model, place):
    for name in place.split("."):
        model = getattr(model, name)
    return model


# ------------------------------------------------------------------------------------------- completeness
@pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: kind.__name__)
def test_every_parameter_of_the_installed_sdk_is_carried_refused_or_without_effect(kind):
    parameters = set(inspect.signature(kind.__init__).parameters) - {"self"}

    assert parameters <= {*CARRIED, *TRANSLATED, *REFUSED, *IGNORED}


def test_no_parameter_is_in_two_of_the_groups():
    groups = [*CARRIED, *TRANSLATED, *REFUSED, *IGNORED]

    assert len(groups) == len(set(groups))


# ------------------------------------------------------------------------------------------- what is carried
VPC: dict[str, Any] = {"subnets": ["subnet-1"], "security_group_ids": ["sg-1"]}
PRIVATE: dict[str, Any] = {
    "training_repository_access_mode": "Vpc",
    "training_repository_credentials_provider_arn": "arn:aws:lambda:eu-west-1:123456789012:function:login",
}
CARRIES = [  # (constructor, arguments, parameter, what the stage then says)
    (pytorch, {"instance_count": 2}, "instance_count", 2),
    (pytorch, {"volume_size": 77}, "volume_size", 77),
    (pytorch, {"environment": {"A": "b"}}, "environment", {"A": "b"}),
    (pytorch, {"dependencies": ["lib"]}, "dependencies", ("lib",)),
    (pytorch, {"input_mode": "FastFile"}, "input_mode", "FastFile"),
    (pytorch, {"enable_sagemaker_metrics": False}, "enable_sagemaker_metrics", False),
    (generic, {"enable_sagemaker_metrics": True}, "enable_sagemaker_metrics", True),
    (pytorch, VPC, "subnets", ("subnet-1",)),
    (pytorch, VPC, "security_group_ids", ("sg-1",)),
    (
        pytorch,
        {"encrypt_inter_container_traffic": True},
        "encrypt_inter_container_traffic",
        True,
    ),
    (pytorch, {"enable_network_isolation": True}, "enable_network_isolation", True),
    (pytorch, {"volume_kms_key": "k1"}, "volume_kms_key", "k1"),
    (pytorch, {"output_kms_key": "k2"}, "output_kms_key", "k2"),
    (pytorch, {"checkpoint_s3_uri": "s3://b/run"}, "checkpoint_s3_uri", "s3://b/run/"),
    (pytorch, {"checkpoint_local_path": "/opt/ml/own"}, "checkpoint_local_path", "/opt/ml/own"),
    (generic, {"container_entry_point": ["go"]}, "container_entry_point", ("go",)),
    (generic, {"container_arguments": ["fast"]}, "container_arguments", ("fast",)),
    (pytorch, PRIVATE, "training_repository_access_mode", "Vpc"),
    (
        pytorch,
        PRIVATE,
        "training_repository_credentials_provider_arn",
        PRIVATE["training_repository_credentials_provider_arn"],
    ),
]


@pytest.mark.parametrize(("make", "arguments", "parameter", "expected"), CARRIES)
def test_a_carried_parameter_is_the_value_of_its_field(make, arguments, parameter, expected):
    assert at(stage(make(**arguments)), CARRIED[parameter]) == expected


def test_each_carried_parameter_is_tried():
    assert {parameter for _, _, parameter, _ in CARRIES} == set(CARRIED)


def test_what_is_not_set_leaves_the_defaults_of_the_pipeline_alone():
    found = stage(pytorch())

    assert not found.model_fields_set & {
        "network",
        "encryption",
        "tags",
        "checkpoint",
        "metrics",
        "container",
    }


def test_the_rest_is_translated():
    metrics = [{"Name": "loss", "Regex": "loss=([0-9.]+)"}]
    found = stage(
        pytorch(
            max_run=7200,
            metric_definitions=metrics,
            tags={"team": "vision"},
            container_log_level=10,
            model_uri="s3://bucket/model.tar.gz",
            model_channel_name="base",
            disable_profiler=True,
            distribution={"torch_distributed": {"enabled": True}},
        )
    )

    assert found.limit == timedelta(hours=2)
    assert found.role == ROLE
    assert found.metrics == {"loss": "loss=([0-9.]+)"}
    assert found.tags == {"team": "vision"}
    assert found.environment == {"SM_LOG_LEVEL": "10"}
    assert found.inputs == {"base": "s3://bucket/model.tar.gz"}
    assert found.profiler is False
    assert found.distribution == "torchrun"


def test_a_profiler_that_is_only_turned_off_is_carried():
    config = ProfilerConfig(disable_profiler=True)

    assert stage(pytorch(profiler_config=config, disable_profiler=True)).profiler is False


def test_a_distribution_that_is_off_starts_the_script_alone():
    assert stage(pytorch(distribution={"torch_distributed": {"enabled": False}})).distribution is None


# ------------------------------------------------------------------------------------------------- market
def test_spot_has_the_instance_type_as_its_ladder_and_the_wait_beyond_the_run_as_its_patience():
    found = stage(pytorch(use_spot_instances=True, max_run=3600, max_wait=7200))

    assert placed(found.spot_rungs()) == (("ml.g5.2xlarge", 1),)
    assert found.spot.patience == timedelta(hours=1)
    assert found.limit == timedelta(hours=1)
    assert placed(found.on_demand_rungs()) == (("ml.g5.2xlarge", 1),)


def test_without_spot_the_stage_is_on_demand_whatever_the_defaults_say():
    found = stage(pytorch())
    pipeline = Pipeline(name="p", defaults={"on_demand": {"ladder": ["ml.m5.large"]}}, stages=[found]).stage(
        "train"
    )

    assert not pipeline.spot.enabled
    assert placed(pipeline.on_demand_rungs()) == (("ml.g5.2xlarge", 1),)


def test_fields_of_the_stage_come_before_those_of_the_estimator_one_by_one():
    estimator = pytorch(use_spot_instances=True, max_run=3600, max_wait=3600, hyperparameters={"lr": 0.1})
    found = stage(
        estimator,
        spot={"patience": "20m", "retry_budget": 9},
        hyperparameters={"epochs": 3},
        needs=["prepare"],
    )

    assert found.spot.patience == timedelta(minutes=20)
    assert (found.spot.retry_budget, placed(found.spot_rungs())) == (9, (("ml.g5.2xlarge", 1),))
    assert found.hyperparameters == {"lr": 0.1, "epochs": 3}
    assert found.needs == ("prepare",)


# --------------------------------------------------------------------------------------------------- code
def test_a_script_alone_brings_its_folder():
    found = stage(pytorch(entry_point="code/train.py"))

    assert (found.source, found.script) == ("code", "train.py")


def test_a_script_in_a_source_folder_stays_there():
    found = stage(pytorch(source_dir="code", entry_point="models/train.py"))

    assert (found.source, found.script) == ("code", "models/train.py")


def test_an_image_that_starts_itself_needs_no_script():
    found = stage(generic(hyperparameters={"max_depth": 5, "silent": True}))

    assert found.script == ""
    assert found.container is not None
    assert found.container.entrypoint == ()
    # What the SDK sends for an algorithm's own image: str() of the value.
    assert found.hyperparameters == {"max_depth": "5", "silent": "True"}


# ------------------------------------------------------------------------------------------------- images
IMAGES = [
    (PyTorch, {"framework_version": "2.6.0", "py_version": "py312"}),
    (TensorFlow, {"framework_version": "2.16", "py_version": "py310"}),
    (HuggingFace, {"transformers_version": "4.49.0", "pytorch_version": "2.5.1", "py_version": "py311"}),
    (SKLearn, {"framework_version": "1.2-1", "instance_type": "ml.m5.xlarge"}),
    (XGBoost, {"framework_version": "1.7-1", "instance_type": "ml.m5.xlarge"}),
]


@pytest.mark.parametrize(("kind", "arguments"), IMAGES, ids=lambda value: getattr(value, "__name__", ""))
def test_a_framework_is_carried_by_name_and_gives_the_image_of_the_sdk(kind, arguments):
    estimator = kind(**usual(entry_point="train.py", **arguments))
    found = stage(estimator)

    assert isinstance(found.image, FrameworkImage)
    assert image_uri(found.image, estimator.instance_type, REGION) == estimator.training_image_uri()


@pytest.mark.parametrize(("kind", "arguments"), IMAGES, ids=lambda value: getattr(value, "__name__", ""))
def test_an_image_of_ones_own_is_carried_as_it_is(kind, arguments):
    estimator = kind(**usual(entry_point="train.py", image_uri=URI, **arguments))

    assert stage(estimator).image == URI


def test_the_region_of_a_framework_image_is_that_of_the_job():
    estimator = SKLearn(
        **usual(
            entry_point="train.py",
            framework_version="1.2-1",
            instance_type="ml.m5.xlarge",
            image_uri_region="us-west-2",
        )
    )

    assert stage(estimator).image == FrameworkImage(framework="sklearn", version="1.2-1", python="py3")


# -------------------------------------------------------------------------------------------- hyperparameters
VALUES: dict[str, Any] = {
    "epochs": 40,
    "lr": 0.1,
    "half": True,
    "name": "adam",
    "none": None,
    "text": "true",
    "number": "1e5",
    "layers": [1, 2],
    "sizes": {"a": 1},
    "quoted": '"x"',
    "empty": "",
}


@pytest.mark.parametrize("kind", [PyTorch, Estimator], ids=lambda kind: kind.__name__)
def test_the_script_gets_the_arguments_that_the_job_of_the_sdk_would_give_it(kind):
    make = pytorch if kind is PyTorch else generic
    estimator = make(hyperparameters=VALUES, source_dir=".", entry_point="train.py")
    found = stage(estimator)

    def arguments(texts):
        return hyperparameter_arguments({name: decoded(text) for name, text in texts.items()})

    ours = parameters(found.hyperparameters)
    assert arguments(ours) == arguments(estimator.hyperparameters())


def test_hyperparameters_of_frameworks_stay_readable():
    found = stage(pytorch(hyperparameters={"epochs": 40, "lr": 0.1, "half": True, "name": "adam"}))

    assert found.hyperparameters == {"epochs": 40, "lr": 0.1, "half": True, "name": "adam"}


def test_a_model_dir_of_tensorflow_is_a_hyperparameter_where_it_is_given():
    kind = {"entry_point": "train.py", "framework_version": "2.16", "py_version": "py310"}

    assert stage(TensorFlow(**usual(**kind))).hyperparameters == {}
    given = stage(TensorFlow(**usual(model_dir="s3://bucket/model", **kind)))
    assert given.hyperparameters == {"model_dir": "s3://bucket/model"}


# ---------------------------------------------------------------------------------------------- refusals
GROUPS = [InstanceGroup("one", "ml.g5.2xlarge", 1)]
REFUSES: dict[str, Any] = {
    "output_path": {"output_path": "s3://bucket/out"},
    "disable_output_compression": {"disable_output_compression": True},
    "max_retry_attempts": {"max_retry_attempts": 3},
    "keep_alive_period_in_seconds": {"keep_alive_period_in_seconds": 600},
    "rules": {"rules": [ProfilerRule.sagemaker(rule_configs.ProfilerReport())]},
    "debugger_hook_config": {"debugger_hook_config": DebuggerHookConfig(s3_output_path="s3://bucket/d")},
    "tensorboard_output_config": {"tensorboard_output_config": TensorBoardOutputConfig("s3://bucket/t")},
    "instance_groups": {"instance_groups": GROUPS, "instance_type": None, "instance_count": None},
    "instance_placement_config": {"instance_placement_config": {"EnableMultipleJobs": True}},
    "training_plan": {"training_plan": "arn:aws:sagemaker:eu-west-1:123456789012:training-plan/p"},
    "git_config": {"git_config": {"repo": "https://example.com/r.git"}},
    "enable_infra_check": {"enable_infra_check": True},
    "enable_remote_debug": {"enable_remote_debug": True},
    "enable_session_tag_chaining": {"enable_session_tag_chaining": True},
}
# These can be made only with the images, the recipes and the network that they are for.
LEFT_ON_THE_ESTIMATOR: dict[str, Any] = {
    "compiler_config": ("compiler_config", object()),
    "training_recipe": ("is_llmft_recipe", True),
}


@pytest.mark.parametrize("parameter", REFUSES)
def test_a_refused_parameter_says_what_to_do(parameter):
    with pytest.raises(EstimatorError) as refused:
        stage(pytorch(**REFUSES[parameter]))

    assert str(refused.value).startswith(f"PyTorch({parameter}=")
    assert str(refused.value).endswith(REFUSED[parameter])


@pytest.mark.parametrize("parameter", LEFT_ON_THE_ESTIMATOR)
def test_a_refused_parameter_that_left_its_mark_on_the_estimator_says_what_to_do(parameter):
    estimator = pytorch()
    setattr(estimator, *LEFT_ON_THE_ESTIMATOR[parameter])

    with pytest.raises(EstimatorError, match=parameter):
        stage(estimator)


def test_each_refused_parameter_is_tried():
    covered = {"recipe_overrides"}  # the SDK does not keep it; it is nothing without training_recipe

    assert {*REFUSES, *LEFT_ON_THE_ESTIMATOR} == set(REFUSED) - covered


def test_a_debugger_that_is_turned_on_with_true_is_refused_and_with_false_is_fine():
    with pytest.raises(EstimatorError, match="debugger_hook_config"):
        stage(pytorch(debugger_hook_config=True))
    stage(pytorch(debugger_hook_config=False))


@pytest.mark.parametrize(
    ("estimator", "message"),
    [
        (lambda: pytorch(role="training"), "role is the name `training`: give the whole ARN"),
        (lambda: pytorch(source_dir="s3://bucket/sourcedir.tar.gz"), "name the folder itself"),
        (lambda: generic(entry_point="t.py", container_entry_point=["go"]), "leave one of them out"),
        (lambda: generic(source_dir="code"), "there is no entry_point in it"),
        (lambda: pytorch(max_wait=7200), "max_wait is set and use_spot_instances is not"),
        (
            lambda: pytorch(use_spot_instances=True, max_run=3600, max_wait=3600),
            "max_wait leaves 0 s for waiting beyond max_run; the patience is at least 5m",
        ),
        (lambda: pytorch(hyperparameters={"sagemaker_mpi_enabled": True}), "`sagemaker_mpi_enabled`"),
        (lambda: pytorch(max_run=ParameterInteger("limit", 5)), r"PyTorch\(max_run=...\): a variable"),
        (
            lambda: pytorch(hyperparameters={"epochs": ParameterInteger("epochs", 5)}),
            r"PyTorch\(hyperparameters=...\): a variable",
        ),
        (
            lambda: generic(hyperparameters={"epochs": ParameterInteger("epochs", 5)}),
            r"Estimator\(hyperparameters=...\): a variable",
        ),
        (lambda: pytorch(profiler_config=ProfilerConfig()), "disable_profiler=True"),
        (
            lambda: generic(metric_definitions=[{"Name": "a", "Regex": "a"}, {"Name": "a", "Regex": "b"}]),
            "has `a` twice",
        ),
        (
            lambda: TensorFlow(
                **usual(
                    entry_point="t.py",
                    framework_version="2.16",
                    py_version="py310",
                    distribution={"mpi": {"enabled": True}},
                )
            ),
            "`mpi` needs its own launcher in the image; Relay starts",
        ),
        (lambda: object(), "found a object; a stage can be made of: PyTorch, TensorFlow"),
    ],
)
def test_what_a_stage_cannot_be_is_refused_with_its_reason(estimator, message):
    with pytest.raises(EstimatorError, match=message):
        stage(estimator())


def test_a_subclass_is_refused_because_what_it_adds_cannot_be_known():
    class Mine(PyTorch):
        pass

    with pytest.raises(EstimatorError, match="found a Mine"):
        stage(Mine(**usual(entry_point="t.py", framework_version="2.6.0", py_version="py312")))


def test_a_parameter_can_be_left_out_on_purpose():
    found = stage(pytorch(output_path="s3://bucket/out", role="training"), ignore=["output_path", "role"])

    assert found.role is None


def test_a_parameter_to_ignore_must_be_one():
    with pytest.raises(EstimatorError, match="`outputpath`"):
        stage(pytorch(), ignore=["outputpath"])


def test_a_tag_of_relays_own_is_refused():
    with pytest.raises(ValidationError, match="tags that begin with `relay:`"):
        stage(pytorch(tags={"relay:run": "x"}))


# ------------------------------------------------------------------------------------------- independence
def test_the_class_method_is_the_function():
    assert from_estimator("train", pytorch()) == stage(pytorch())


OFFLINE = """
import socket
def refuse(*_, **__):
    raise OSError("no network here")
socket.socket.connect = socket.getaddrinfo = refuse
from sagemaker.sklearn import SKLearn
from workflows.specification.estimators import from_estimator, offline_session
estimator = SKLearn("train.py", framework_version="1.2-1", role="{role}", instance_type="ml.m5.xlarge",
                    sagemaker_session=offline_session())
print(from_estimator("train", estimator).image.model_dump_json())
"""


def test_an_estimator_becomes_a_stage_without_network_and_without_an_account(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", OFFLINE.replace("{role}", ROLE)],
        env={"HOME": str(tmp_path), "PYTHONPATH": ":".join(sys.path), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1])["framework"] == "sklearn"


def test_importing_the_module_does_not_import_the_sdk():
    modules = "workflows.specification.estimators, workflows.specification.pipeline"
    code = f"import sys, {modules}; print('sagemaker' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "False"
