"""Which events wake the capacity watch of a pipeline: those that say that a training job waits.

Apart from the watch's machine (`state_machine/watch.py`), because who only installs the rule again, in a
local world that was opened anew, needs no compiler.
"""

from __future__ import annotations

from typing import Any

from workflows.job_names import job_prefix
from workflows.pipeline import WATCH_SUFFIX

WAITING = ("Starting", "Pending", "Interrupted")
"""SecondaryStatus of a job without instances. A launch says `Starting` too: nothing documented tells the two
apart, which is why no patience is shorter than a launch.

After an interruption a job shows Interrupted, and then Starting or not ("Managed Spot Training Lifecycle",
SageMaker developer guide, has both): each of the two wakes a watch, though they may be one wait. A second
watch costs less than an event that was lost would."""


def watch_name(pipeline: str) -> str:
    """The name of the watch's state machine and of its rule."""
    return pipeline + WATCH_SUFFIX


def watch_pattern(pipeline: str) -> dict[str, Any]:
    """The rule's pattern."""
    return {
        "source": ["aws.sagemaker"],
        "detail-type": ["SageMaker Training Job State Change"],
        "detail": {
            "TrainingJobName": [{"prefix": job_prefix(pipeline)}],
            "TrainingJobStatus": ["InProgress"],
            "SecondaryStatus": list(WAITING),
        },
    }
