"""What is set on an estimator of the `sagemaker` SDK, read as the fields of a stage.

The tables in `estimator_parameters` say what becomes of each parameter; here is how the ones that are
translated are. The SDK is imported inside functions only, because its import takes three seconds.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import PurePath
from typing import Any

from workflows.errors import RelayError
from workflows.specification.durations import format_duration
from workflows.specification.estimator_parameters import CARRIED, REFUSED, TRANSLATED
from workflows.specification.images import image_uri
from workflows.specification.settings import SHORTEST_PATIENCE, FrameworkImage

Fields = dict[str, Any]
DEFAULT_LOG_LEVEL = 20  # logging.INFO, the SDK's default of container_log_level
_REGION = re.compile(r"\.dkr\.ecr[a-z-]*\.([a-z0-9-]+)\.")


class EstimatorError(RelayError):
    """An estimator says something that a stage cannot carry."""


@dataclass(frozen=True)
class Reading:
    """An estimator without the parameters that its user leaves out on purpose, and the stage's own fields."""

    estimator: Any
    ignore: frozenset[str]
    own: Mapping[str, Any]

    def __call__(self, parameter: str) -> Any:
        """The parameter's value; None where it is not set, not known to this class, or to be ignored."""
        if parameter in self.ignore:
            return None
        if read := _READERS.get(parameter):
            return read(self.estimator)
        return getattr(self.estimator, parameter, None)

    @property
    def kind(self) -> str:
        """The estimator's class: `PyTorch`, `Estimator`, ..."""
        return type(self.estimator).__name__


def stage_fields(read: Reading) -> Fields:
    """The fields of the stage. Raises EstimatorError for what cannot be carried."""
    _refuse(read)
    fields: Fields = {}
    for parameter, place in CARRIED.items():
        value = read(parameter)
        if _is_set(value) or (value is False and parameter == "enable_sagemaker_metrics"):
            _put(fields, place, value)
    for translate in (_code, _market, _image, _hyperparameters, _metrics, _model, _rest):
        for place, value in translate(read):
            _put(fields, place, value)
    return fields


# ---------------------------------------------------------------------------------------------- refusals
def _refuse(read: Reading) -> None:
    if read.estimator.latest_training_job is not None:
        raise EstimatorError(
            "`fit` was called on this estimator, which sets its output path, profiler and code for that one "
            "job: make a new one"
        )
    for parameter, reason in REFUSED.items():
        value = read(parameter)
        if _is_set(value):
            raise EstimatorError(f"{read.kind}({parameter}={_show(value)}): {reason}")
    for parameter in (*CARRIED, *TRANSLATED):
        if any(_is_variable(value) for value in _leaves(read(parameter))):
            raise EstimatorError(
                f"{read.kind}({parameter}=...): a variable of a SageMaker pipeline has its value only there: "
                "give the value itself"
            )


def _is_set(value: Any) -> bool:
    """An empty mapping counts as set: debugger_hook_config=True becomes one."""
    return value is not None and value is not False and value not in ([], (), 0, "")


def _is_variable(value: Any) -> bool:
    from sagemaker.workflow import is_pipeline_variable

    return bool(is_pipeline_variable(value))


def _leaves(value: Any) -> Iterator[Any]:
    if isinstance(value, Mapping):
        for inner in value.values():
            yield from _leaves(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _leaves(inner)
    else:
        yield value


# ------------------------------------------------------------------------------------------ translations
def _code(read: Reading) -> Iterator[tuple[str, Any]]:
    """The fields of the code: without source_dir the SDK sends the script, here its folder comes along."""
    script, source = read("entry_point"), read("source_dir")
    own_program = _is_set(read("container_entry_point")) or _is_set(read("container_arguments"))
    if script and own_program:
        raise EstimatorError(
            "entry_point and container_entry_point are both set, and SageMaker starts the second: "
            "leave one of them out"
        )
    if source and "://" in source:
        raise EstimatorError(f"source_dir is {source}: name the folder itself, Relay packs and uploads it")
    if not script and "script" not in read.own:
        if source:
            raise EstimatorError(f"source_dir is {source}, and there is no entry_point in it to start")
        if not own_program:
            yield "container", {}
    elif source:
        yield "source", source
        yield "script", script
    elif script:
        yield "source", str(PurePath(script).parent)
        yield "script", PurePath(script).name


def _market(read: Reading) -> Iterator[tuple[str, Any]]:
    kind, spot = read("instance_type"), bool(read("use_spot_instances"))
    if kind in {"local", "local_gpu"}:
        raise EstimatorError(
            f"instance_type is `{kind}`: name the type that the job has on AWS; `relay run` trains on this "
            "computer all the same"
        )
    yield "spot.enabled", spot
    if kind:
        yield "spot.ladder" if spot else "on_demand.ladder", [kind]
    if read("max_run") is not None:
        yield "limit", timedelta(seconds=read("max_run"))
    if read("max_wait") is None:
        return
    if not spot:
        raise EstimatorError("max_wait is set and use_spot_instances is not: SageMaker refuses that")
    yield from _patience(read)


def _patience(read: Reading) -> Iterator[tuple[str, Any]]:
    """MaxWaitTimeInSeconds counts waiting and running together, and the patience only the waiting."""
    if (read.own.get("spot") or {}).get("patience"):
        return
    patience = timedelta(seconds=read("max_wait") - (read("max_run") or 0))
    if patience < SHORTEST_PATIENCE:
        raise EstimatorError(
            f"max_wait leaves {patience.total_seconds():g} s for waiting beyond max_run; the patience is at "
            f"least {format_duration(SHORTEST_PATIENCE)}, because the launch of an instance looks like a "
            'wait: raise max_wait, or give spot={"patience": "45m"}'
        )
    yield "spot.patience", patience


def _image(read: Reading) -> Iterator[tuple[str, Any]]:
    """A framework by its name, so that each rung gets the image for its processor and region; or the URI."""
    uri, version = read("image_uri"), read("framework_version") or read("transformers_version")
    if read.kind == "Estimator" or version is None:
        if uri is not None:
            yield "image", uri
        return
    bases = {name: read(f"{name}_version") for name in ("pytorch", "tensorflow")}
    base = next((f"{name}{found}" for name, found in bases.items() if found), None)
    image = FrameworkImage(framework=read.kind.lower(), version=version, python=read("py_version"), base=base)
    if uri is None or _is_default(uri, image, read):
        yield "image", image.model_dump(exclude_none=True)
    else:
        yield "image", uri


def _is_default(uri: str, image: FrameworkImage, read: Reading) -> bool:
    """SKLearn and XGBoost look the framework's image up when they are made, and leave it in image_uri."""
    region, kind = _REGION.search(uri), read("instance_type")
    looked_up = read.kind in {"SKLearn", "XGBoost"} and region is not None and kind
    return bool(looked_up) and uri == image_uri(image, kind, region[1] if region else "")


def _hyperparameters(read: Reading) -> Iterator[tuple[str, Any]]:
    """The user's own, such that the script finds the values that the SDK's job would give it."""
    values = dict(read("hyperparameters") or {})
    if isinstance(read("model_dir"), str):
        values["model_dir"] = read("model_dir")
    for name in values:
        if name.startswith("sagemaker_"):
            raise EstimatorError(
                f"the hyperparameter `{name}` is for the toolkit in SageMaker's images; Relay's launcher "
                "takes its place: leave it out"
            )
    if values:
        yield "hyperparameters", values


def _metrics(read: Reading) -> Iterator[tuple[str, Any]]:
    definitions = read("metric_definitions") or []
    names = [definition["Name"] for definition in definitions]
    for name in names:
        if names.count(name) > 1:
            raise EstimatorError(f"metric_definitions has `{name}` twice: give each metric a name of its own")
    if definitions:
        yield "metrics", {definition["Name"]: definition["Regex"] for definition in definitions}


def _model(read: Reading) -> Iterator[tuple[str, Any]]:
    """A model to start from is an input like any other."""
    if read("model_uri"):
        yield "inputs", {read("model_channel_name") or "model": read("model_uri")}


def _rest(read: Reading) -> Iterator[tuple[str, Any]]:
    role = read("role")
    if role and "role" not in read.own:
        if not str(role).startswith("arn:"):
            raise EstimatorError(
                f"role is the name `{role}`: give the whole ARN, or ignore=['role'] for Relay's own job role"
            )
        yield "role", role
    if read("container_log_level") not in (None, DEFAULT_LOG_LEVEL):
        yield "environment.SM_LOG_LEVEL", str(read("container_log_level"))
    if read("tags"):
        yield "tags", {tag["Key"]: tag["Value"] for tag in read("tags")}
    if _has_torchrun(read("distribution") or {}):
        yield "distribution", "torchrun"
    if read("disable_profiler") or _only_disables(read("profiler_config")):
        yield "profiler", False


def _has_torchrun(distribution: Mapping[str, Any]) -> bool:
    for name, setting in distribution.items():
        if _enabled(setting) and (name != "torch_distributed" or set(setting) != {"enabled"}):
            raise EstimatorError(
                f"distribution={_show(dict(distribution))}: `{name}` needs its own launcher in the image; "
                'Relay starts {"torch_distributed": {"enabled": True}} (torchrun) or the script alone'
            )
    return _enabled(distribution.get("torch_distributed", False))


def _enabled(setting: Any) -> bool:
    """Whether a distribution is on: `enabled`, at whatever depth; one that does not say is on."""
    if not isinstance(setting, Mapping):
        return bool(setting)
    if "enabled" in setting:
        return bool(setting["enabled"])
    return any(_enabled(inner) for inner in setting.values())


def _only_disables(config: Any) -> bool:
    if config is None:
        return False
    if not getattr(config, "disable_profiler", False):
        raise EstimatorError(
            "profiler_config is set: Relay's jobs keep SageMaker's own default; leave it out, or turn the "
            "profiler off with disable_profiler=True"
        )
    return True


# ------------------------------------------------------------------------------------------------- parts
def _own_hyperparameters(estimator: Any) -> Fields:
    """The user's own ones: the framework classes add some for the toolkit in the image."""
    from sagemaker.estimator import Framework

    if not isinstance(estimator, Framework):
        values = estimator.hyperparameters()
        return {name: value if _is_variable(value) else str(value) for name, value in values.items()}
    encoded = Framework.hyperparameters(estimator)  # type: ignore[no-untyped-call]
    return {
        name: _as_sent(json.loads(value), value) if isinstance(value, str) else value  # a variable
        for name, value in encoded.items()
    }


def _as_sent(value: Any, encoded: str) -> Any:
    """The value as a stage has it: the launcher decodes JSON, so a text that reads as JSON stays encoded."""
    if isinstance(value, bool | int | float):
        return value
    if not isinstance(value, str):
        return encoded
    try:
        json.loads(value)
    except ValueError:
        return value
    return encoded


def _recipe(estimator: Any) -> Any:
    """PyTorch does not keep the recipe's name, only what it made of it."""
    marks = ("training_recipe_file", "is_nova_or_eval_recipe", "is_llmft_recipe")
    return next((mark for mark in marks if getattr(estimator, mark, None)), None)


_READERS: dict[str, Callable[[Any], Any]] = {
    "enable_network_isolation": lambda estimator: estimator.enable_network_isolation(),
    "enable_remote_debug": lambda estimator: (estimator.get_remote_debug_config() or {}).get(
        "EnableRemoteDebug"
    ),
    "enable_session_tag_chaining": lambda estimator: (estimator.get_session_chaining_config() or {}).get(
        "EnableSessionTagChaining"
    ),
    "hyperparameters": _own_hyperparameters,
    "training_recipe": _recipe,
}


def _put(fields: Fields, place: str, value: Any) -> None:
    *outer, last = place.split(".")
    for name in outer:
        fields = fields.setdefault(name, {})
    fields[last] = value


def _show(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
