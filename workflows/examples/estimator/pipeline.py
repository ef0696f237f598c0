"""A pipeline in Python, its stage made of an estimator of the SageMaker SDK: no account, no network.

    relay run workflows/examples/estimator/pipeline.py

The estimator is an ordinary one. Everything that is set on it becomes part of the stage, or is refused with a
reason; `fit` is never called. Paths are relative to the folder of this file.
"""

from sagemaker.sklearn import SKLearn

from workflows.specification.estimators import from_estimator, offline_session
from workflows.specification.pipeline import Pipeline

estimator = SKLearn(
    entry_point="train.py",
    framework_version="1.2-1",
    role="arn:aws:iam::123456789012:role/training",
    instance_type="ml.m5.xlarge",
    use_spot_instances=True,
    max_run=600,  # seconds: the stage's `limit`
    max_wait=900,  # 300 s more than max_run: the stage's `patience`
    hyperparameters={"epochs": 60, "hidden": 32, "seed": 7},
    metric_definitions=[{"Name": "accuracy", "Regex": r"accuracy=([0-9.]+)"}],
    tags={"team": "vision"},
    sagemaker_session=offline_session(),
)

pipeline = Pipeline(
    name="estimator",
    description="An SKLearn estimator of the SageMaker SDK as a stage.",
    stages=[
        from_estimator(
            "train",
            estimator,
            spot={"retry_budget": 3, "backoff": {"first": "30s", "max": "5m"}},
            checkpoint={"shortest": "100ms", "longest": "400ms"},  # the training takes seconds, not hours
        )
    ],
)
