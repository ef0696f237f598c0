"""The CreateTrainingJob request that the tests of both worlds send."""

from __future__ import annotations

from typing import Any

ROLE = "arn:aws:iam::123456789012:role/relay"


def training_job(name: str, *, spot: bool = False, count: int = 1, **changes: Any) -> dict[str, Any]:
    """A job of the stage `pretrain` that runs train.py of its `code` channel."""
    stopping = {"MaxRuntimeInSeconds": 36000}
    if spot:
        stopping["MaxWaitTimeInSeconds"] = 72000
    return {
        "TrainingJobName": name,
        "RoleArn": ROLE,
        "AlgorithmSpecification": {
            "TrainingImage": "image",
            "TrainingInputMode": "File",
            "ContainerEntrypoint": ["python3", "/opt/ml/input/data/code/train.py"],
        },
        "OutputDataConfig": {"S3OutputPath": "s3://bucket/out"},
        "ResourceConfig": {
            "InstanceType": "ml.g5.2xlarge",
            "InstanceCount": count,
            "VolumeSizeInGB": 10,
        },
        "StoppingCondition": stopping,
        "EnableManagedSpotTraining": spot,
        "Tags": [{"Key": "relay:stage", "Value": "pretrain"}],
    } | changes
