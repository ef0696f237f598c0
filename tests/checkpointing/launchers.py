"""The three launchers, each on the same /opt/ml: ours, SageMaker's toolkit, and the driver of its SDK 3.

The last two are AWS's own packages in an environment of their own, `.venv/launchers`, which `./scripts/test`
makes. SDK 3 has /opt/ml in its texts: it runs from a copy in which the test's folder stands in its place.
"""

from __future__ import annotations

import json
import os
import runpy
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from workflows.checkpointing import launch

PYTHON = Path(sys.prefix) / "launchers" / "bin" / "python"
SAYS = """
import json, os, sys
with open(os.environ["SAID"], "w") as file:
    json.dump({"argv": sys.argv[1:], "cwd": os.getcwd(), "env": dict(os.environ)}, file)
"""
SHELL = {"_", "SHLVL", "PWD", "OLDPWD", "LC_CTYPE"}  # what a shell and Python's start set by themselves


@dataclass(frozen=True)
class Said:
    """What a script saw: its arguments, its folder, and what its environment holds beside the container's."""

    arguments: list[str]
    folder: str
    environment: dict[str, Any]


class Tree:
    """A /opt/ml as the platform lays it out, for one launcher after the other."""

    def __init__(self, place: Path, hyperparameters: dict[str, str], channels: list[str]) -> None:
        self.base = place / "opt" / "ml"
        self.said = place / "said.json"
        self.hyperparameters, self.channels = hyperparameters, channels

    def ours(self) -> Said:
        code = self._lay_out()
        shutil.copy(launch.__file__, code)
        return self._run([sys.executable, str(code / "launch.py"), "train.py"])

    def toolkit(self) -> Said:
        code = self._lay_out()
        program = {"sagemaker_program": '"train.py"', "sagemaker_submit_directory": f'"{code}"'}
        self._configure("hyperparameters", self.hyperparameters | program)
        # The names of the hosts do not resolve here; this is the toolkit's own switch for that.
        return self._run([str(PYTHON), "-m", "sagemaker_training.cli.train"], SM_STUDIO_LOCAL_MODE="true")

    def driver(self, *, strict: bool = False) -> Said:
        """`strict`: as it is. Else its shell goes on after a name that it cannot export."""
        self._lay_out()
        [train] = PYTHON.parents[1].glob("lib/*/site-packages/sagemaker/train")
        drivers = self.base / "input" / "data" / "sm_drivers"
        shutil.copytree(train / "container_drivers", drivers)
        for file in drivers.rglob("*.py"):
            file.write_text(file.read_text().replace("/opt/ml", str(self.base)))
        (drivers / "sourcecode.json").write_text('{"source_dir": "", "entry_script": "train.py"}')
        (drivers / "distributed.json").write_text("{}")
        texts = runpy.run_path(str(train / "templates.py"))
        script = texts["TRAIN_SCRIPT_TEMPLATE"].format(
            working_dir="cd /opt/ml/input/data/code",
            install_requirements="",
            execute_driver=texts["EXECUTE_BASIC_SCRIPT_DRIVER"],
        )
        if not strict:
            script = script.replace("set -e\n", "").replace("trap 'handle_error' ERR", "")
        (drivers / "sm_train.sh").write_text(script.replace("/opt/ml", str(self.base)))
        return self._run(["/bin/bash", str(drivers / "sm_train.sh")])

    def _lay_out(self) -> Path:
        """Makes it anew; returns the folder of the channel `code`."""
        shutil.rmtree(self.base, ignore_errors=True)
        self.said.unlink(missing_ok=True)
        for channel in self.channels:
            (self.base / "input" / "data" / channel).mkdir(parents=True)
        for folder in ("input/config", "output/data", "model"):
            (self.base / folder).mkdir(parents=True)
        hosts = ["algo-1", "algo-2"]
        group = {"instance_group_name": "workers", "instance_type": "ml.m5.large", "hosts": hosts}
        self._configure("hyperparameters", self.hyperparameters)
        self._configure("inputdataconfig", {name: {"TrainingInputMode": "File"} for name in self.channels})
        self._configure(
            "resourceconfig",
            {
                "current_host": "algo-2",
                "current_instance_type": "ml.m5.large",
                "current_group_name": "workers",
                "hosts": hosts,
                "instance_groups": [group],
                "network_interface_name": "lo",
                "topology": [{"hostName": "algo-1", "capacityUnitId": "u-1"}],
            },
        )
        code = self.base / "input" / "data" / "code"
        (code / "train.py").write_text(SAYS)
        return code

    def _configure(self, name: str, content: object) -> None:
        (self.base / "input" / "config" / f"{name}.json").write_text(json.dumps(content))

    def _run(self, command: list[str], **more: str) -> Said:
        """Runs a launcher in the environment of a container, and reads what its script said."""
        container = {
            "PATH": f"{PYTHON.parent}:{os.environ['PATH']}",
            "HOME": str(self.base.parent),
            "SAGEMAKER_BASE_DIR": str(self.base),
            "TRAINING_JOB_NAME": "job-1",
            "TRAINING_JOB_ARN": "arn:aws:sagemaker:eu-west-1:123456789012:training-job/job-1",
            "SAID": str(self.said),
            **more,
        }
        result = subprocess.run(
            command, env=container, capture_output=True, text=True, timeout=120, check=False, cwd=self.base
        )
        if not self.said.exists():
            raise LookupError(f"exit code {result.returncode}\n{result.stdout}\n{result.stderr}")
        said = json.loads(self.said.read_text())
        environment = {
            name: value
            for name, value in said["env"].items()
            if name not in SHELL and container.get(name) != value
        }
        training = json.loads(environment.pop("SM_TRAINING_ENV"))
        environment |= {f"SM_TRAINING_ENV.{name}": value for name, value in training.items()}
        return Said(said["argv"], said["cwd"], {name: plain(value) for name, value in environment.items()})


def plain(value: Any) -> Any:
    """A JSON text as its value: blanks and the order of members say nothing."""
    try:
        return json.loads(value)
    except (ValueError, TypeError):
        return value


def relation(ours: dict[str, Any], theirs: dict[str, Any], name: str) -> str:
    """What the table says of a name: `same`, `differs`, or `-` where the launcher does not set it."""
    if name not in theirs:
        return "-"
    return "same" if name in ours and ours[name] == theirs[name] else "differs"
