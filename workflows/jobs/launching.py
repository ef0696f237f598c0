"""How Relay's launcher is started in a training container: one of two ways, chosen by the stage's `launch`.

`entrypoint` is the usual one: SageMaker starts the launcher itself, in any image that has Python, and it
gets the SIGTERM of a stop. `script_mode` is for the day on which AWS refuses `ContainerEntrypoint` in
`createTrainingJob.sync` (nobody has published a machine that has it): the toolkit of the framework images
starts the launcher as if it were the user's program. It costs the forwarded SIGTERM, so that the last
interval of a job that is stopped is done again, and it needs an image with the toolkit.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from workflows.jobs.code_archive import SOURCEDIR
from workflows.jobs.job_settings import own_program
from workflows.specification.settings import Launch
from workflows.specification.stages import TrainStage

CODE = "/opt/ml/input/data/code"


@dataclass(frozen=True)
class Launching:
    """What a request says of the program, in three of its members."""

    algorithm: Mapping[str, Any] = field(default_factory=dict)  # of AlgorithmSpecification
    parameters: str = ""  # an expression of hyperparameters that go over all others; empty for none
    environment: dict[str, str] = field(default_factory=dict)


def launching(stage: TrainStage) -> Launching:
    """How the stage's jobs start what they run."""
    if stage.container is not None:
        return Launching(own_program(stage.container))
    return WAYS[stage.launch](stage)


def _entrypoint(stage: TrainStage) -> Launching:
    """SageMaker starts the launcher."""
    return Launching(
        {"ContainerEntrypoint": ["python3", f"{CODE}/launch.py"], "ContainerArguments": _words(stage)}
    )


def _script_mode(stage: TrainStage) -> Launching:
    """The toolkit starts it: settings as SageMaker's SDK gives them, texts in JSON.

    The archive comes with the channel `code`, as in the SDK's jobs that are isolated from the network: the
    toolkit then asks nothing of S3. The region, which it wants for its clients, is that of the machine.
    """
    plain = {
        "sagemaker_program": "launch.py",
        "sagemaker_submit_directory": f"{CODE}/{SOURCEDIR}",
        "sagemaker_container_log_level": 20,
    }
    members = [f"{json.dumps(name)}: {json.dumps(json.dumps(value))}" for name, value in plain.items()]
    members.append('"sagemaker_region": "\\"" & $split($states.context.Execution.Id, ":")[3] & "\\""')
    return Launching(
        parameters="{" + ", ".join(members) + "}", environment={"RELAY_LAUNCH": json.dumps(_words(stage))}
    )


def _words(stage: TrainStage) -> list[str]:
    return [*(["--torchrun"] if stage.distribution == "torchrun" else []), stage.script]


WAYS: Mapping[Launch, Callable[[TrainStage], Launching]] = {
    "entrypoint": _entrypoint,
    "script_mode": _script_mode,
}
