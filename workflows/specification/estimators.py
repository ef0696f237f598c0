"""Estimators of the `sagemaker` SDK (version 2) as stages.

The SDK's import takes three seconds, so it happens inside the functions.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from pydantic import BaseModel

from workflows.specification.estimator_parameters import CARRIED, IGNORED, REFUSED, TRANSLATED
from workflows.specification.estimator_settings import EstimatorError, Reading, stage_fields
from workflows.specification.images import quiet_sdk
from workflows.specification.settings import laid_over
from workflows.specification.stages import TrainStage

__all__ = ["EstimatorError", "from_estimator", "offline_session"]


def from_estimator(name: str, estimator: Any, *, ignore: Collection[str] = (), **fields: Any) -> TrainStage:
    """The stage that trains as an estimator of the `sagemaker` SDK (version 2) would with `fit`.

    Everything that is set on the estimator is carried over or refused; `estimator_parameters.py` says which.
    `fields` are those of a stage (`inputs`, `needs`, ...); they come before the estimator's, one
    by one, so `spot={"retry_budget": 3}` keeps the estimator's instance type. `ignore` names parameters of
    the estimator that are left out on purpose, e.g. `["output_path"]`.

    Raises EstimatorError for what cannot be carried, and pydantic's ValidationError for values that a stage
    does not take. Nothing is read from AWS.
    """
    _check_class(estimator)
    unknown = sorted(set(ignore) - {*CARRIED, *TRANSLATED, *REFUSED, *IGNORED})
    if unknown:
        raise EstimatorError(f"`ignore` names `{unknown[0]}`, which is no parameter of an estimator")
    own = {key: _raw(value) for key, value in fields.items()}
    found = stage_fields(Reading(estimator, frozenset(ignore), own))
    return TrainStage.model_validate(laid_over({"name": name, **found}, own))


def offline_session(region: str = "us-east-1") -> Any:
    """A `sagemaker.Session` that needs neither an account nor a network, for estimators that Relay runs.

    It only tells the region; its keys are no keys, so a call of AWS through it fails. An estimator looks for
    credentials in boto3's default session as well (for the address of TensorBoard), and where none are set
    boto3 asks the metadata service of EC2, for a second or two: AWS_EC2_METADATA_DISABLED=true spares that.
    """
    quiet_sdk()
    import boto3
    from sagemaker.session import Session

    return Session(boto3.Session(region_name=region, aws_access_key_id="none", aws_secret_access_key="none"))


def _check_class(estimator: Any) -> None:
    """A subclass may mean something by parameters of its own, which nobody here knows: it is refused."""
    from sagemaker.estimator import Estimator
    from sagemaker.huggingface.estimator import HuggingFace
    from sagemaker.pytorch.estimator import PyTorch
    from sagemaker.sklearn.estimator import SKLearn
    from sagemaker.tensorflow.estimator import TensorFlow
    from sagemaker.xgboost.estimator import XGBoost

    known = [PyTorch, TensorFlow, HuggingFace, SKLearn, XGBoost, Estimator]
    if type(estimator) not in known:
        names = ", ".join(kind.__name__ for kind in known)
        raise EstimatorError(
            f"found a {type(estimator).__name__}; a stage can be made of: {names} (the classes themselves: "
            "what a subclass adds cannot be known)"
        )


def _raw(value: Any) -> Any:
    return value.model_dump(exclude_unset=True) if isinstance(value, BaseModel) else value
