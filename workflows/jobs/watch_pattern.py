"""Which events wake the capacity watch of a pipeline: those that say that a training job waits.

Apart from the watch's machine (`state_machine/watch.py`), because who only installs the rule again, in a
local world that was opened anew, needs no compiler.
"""

from __future__ import annotations

from typing import Any

from workflows.jobs.job_names import job_prefix
from workflows.specification.pipeline import WATCH_SUFFIX

WAITING = ("Starting", "Pending", "Interrupted")
"""SecondaryStatus of a job without instances. A launch says `Starting` too: nothing documented tells the two
apart, which is why no patience is shorter than a launch."""

LOOK_AFTER, LEFT_TAG = "relay:look-after", "relay:interruptions-left"
"""Tags of a job, which its events carry: the seconds for which its wait may be left alone, and how many more
interruptions it may take."""
AT_ONCE = "0"
"""LOOK_AFTER of a job that runs against a deadline."""


def watch_name(pipeline: str) -> str:
    """The name of the watch's state machine and of its rule."""
    return pipeline + WATCH_SUFFIX


def watch_pattern(pipeline: str) -> dict[str, Any]:
    """The rule's pattern: every event that says that a job of the pipeline waits, whatever else it says.

    A wait after an interruption says so twice (Interrupted, Starting) and wakes two watches: each looks for
    itself, and either event may be lost. What a `Starting` event says of an earlier training is not
    documented, so the pattern does not ask; nor could it ask for null: CloudFormation's templates hold none.
    """
    return {
        "source": ["aws.sagemaker"],
        "detail-type": ["SageMaker Training Job State Change"],
        "detail": {
            "TrainingJobName": [{"prefix": job_prefix(pipeline)}],
            "TrainingJobStatus": ["InProgress"],
            "SecondaryStatus": list(WAITING),
        },
    }
