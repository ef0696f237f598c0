"""Prepares what a container finds when it starts: the /opt/ml tree, its environment and its command.

    <instance>/opt/ml/input/config/{hyperparameters,resourceconfig,inputdataconfig}.json
                     /input/data/<channel>   /checkpoints   /model   /output/{data,failure}
                     /processing/...  /config/{processingjobconfig,resourceconfig}.json

It holds only what the platform gives (AWS.md 5.1): `SM_*` variables and arguments are the launcher's
work (AWS.md 5.2). On this computer /opt/ml is a folder named by SAGEMAKER_BASE_DIR.

All instances of a job are on this computer, so their host names (algo-1 ...) do not resolve. A job
with several instances therefore gets two variables that AWS does not set: SM_MASTER_ADDR=127.0.0.1
and SM_MASTER_PORT, a free port, by which its processes can meet.

A training job without a ContainerEntrypoint is started by its image's own program. For a framework image and
script mode that is SageMaker's toolkit, which is run here where it is installed: the real package, in this
Python's environment or in one of its own, the folder `launchers` inside it.
"""

from __future__ import annotations

import importlib.util
import json
import re
import shutil
import socket
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from workflows.local.clients import exports
from workflows.local.sagemaker.workload import Kind, Order

_OPT_ML = re.compile(r"(?<![\w./-])/opt/ml(?=/|$|[^\w.-])")
_PYTHON = re.compile(r"(?:.*/)?python(?:3(?:\.\d+)?)?")
NETWORK_INTERFACE = "lo0" if sys.platform == "darwin" else "lo"
PATH = f"{Path(sys.executable).parent}:/usr/local/bin:/usr/bin:/bin"
TOOLKIT = "sagemaker_training"
PROGRAM, SUBMIT_DIRECTORY = "sagemaker_program", "sagemaker_submit_directory"  # hyperparameters for it


@dataclass(frozen=True)
class Container:
    """One instance's container; `place` is the instance's own folder."""

    order: Order
    host: str
    hosts: tuple[str, ...]
    place: Path
    scratch: Path
    """TMPDIR: short, because a Unix socket's path may have 107 characters only."""
    port: int
    endpoint: str = ""
    """The world's address, for the toolkit: on AWS the role of the job opens S3 to it."""

    @property
    def base(self) -> Path:
        """The folder that is /opt/ml inside the container."""
        return self.place / "opt" / "ml"

    @property
    def checkpoints(self) -> Path | None:
        """The checkpoint folder, None for a job without one."""
        config = self.order.request.get("CheckpointConfig")
        return self.inside(config.get("LocalPath", "/opt/ml/checkpoints")) if config else None

    def inside(self, path: str) -> Path:
        """Where an absolute path under /opt/ml is on this computer."""
        return self.base / Path(path).relative_to("/opt/ml")

    def prepare(self) -> None:
        """Make the folders and the configuration files."""
        for folder in ("model", "output/data", "input/config", "input/data"):
            (self.base / folder).mkdir(parents=True, exist_ok=True)
        (self.place / "home").mkdir()
        if self.checkpoints is not None:
            self.checkpoints.mkdir(parents=True, exist_ok=True)
        if self.order.kind == "training":
            config = self.base / "input" / "config"
            _write(config / "hyperparameters.json", self._hyperparameters())
            _write(config / "resourceconfig.json", self._resource_config())
            _write(config / "inputdataconfig.json", self._input_data_config())
        else:
            config = self.base / "config"
            config.mkdir()
            hosts = {"current_host": self.host, "hosts": list(self.hosts)}
            _write(config / "resourceconfig.json", hosts)
            _write(config / "processingjobconfig.json", self._processing_config())
            for output in self.order.request.get("ProcessingOutputConfig", {}).get("Outputs", []):
                self.inside(output["S3Output"]["LocalPath"]).mkdir(parents=True, exist_ok=True)

    def environment(self) -> dict[str, str]:
        """The job's Environment and the platform's own variables, nothing of the user's."""
        environment = {
            "PATH": PATH,
            "HOME": str(self.place / "home"),
            "LANG": "C.UTF-8",
            "TMPDIR": str(self.scratch),
            # As in AWS's framework images: the log is of use while the job runs.
            "PYTHONUNBUFFERED": "1",
        }
        for name, value in self.order.request.get("Environment", {}).items():
            environment[name] = self._local(value)
        environment["SAGEMAKER_BASE_DIR"] = str(self.base)
        if not _entry(self.order.kind, self.order.request):
            environment["SM_STUDIO_LOCAL_MODE"] = "true"  # the toolkit does not look hosts up by their names
            environment |= {**exports(self.endpoint), "S3_ENDPOINT_URL": self.endpoint}
        if self.order.kind == "training":
            environment["TRAINING_JOB_NAME"] = self.order.name
            environment["TRAINING_JOB_ARN"] = self.order.arn
        if len(self.hosts) > 1:
            environment |= {"SM_MASTER_ADDR": "127.0.0.1", "SM_MASTER_PORT": str(self.port)}
        return environment

    def command(self) -> list[str]:
        """Entry point and arguments, with /opt/ml and python as they are on this computer."""
        parts = _entry(self.order.kind, self.order.request)
        if not parts:
            return [toolkit_python() or sys.executable, "-m", f"{TOOLKIT}.cli.train"]
        first = sys.executable if _PYTHON.fullmatch(parts[0]) else self._local(parts[0])
        return [first, *(self._local(part) for part in parts[1:])]

    def _local(self, text: str) -> str:
        return _OPT_ML.sub(lambda _: str(self.base), text)

    def _hyperparameters(self) -> dict[str, str]:
        """As they were given, but that the toolkit's archive may lie in /opt/ml."""
        given = dict(self.order.request.get("HyperParameters", {}))
        if SUBMIT_DIRECTORY in given:
            given[SUBMIT_DIRECTORY] = self._local(given[SUBMIT_DIRECTORY])
        return given

    def _resource_config(self) -> dict[str, Any]:
        kind = self.order.instance_type
        group = "homogeneousCluster"
        return {
            "current_host": self.host,
            "current_instance_type": kind,
            "current_group_name": group,
            "hosts": list(self.hosts),
            "instance_groups": [
                {"instance_group_name": group, "instance_type": kind, "hosts": list(self.hosts)}
            ],
            "network_interface_name": NETWORK_INTERFACE,
        }

    def _input_data_config(self) -> dict[str, Any]:
        mode = self.order.request["AlgorithmSpecification"]["TrainingInputMode"]
        described = {}
        for channel in self.order.request.get("InputDataConfig", []):
            source = channel["DataSource"]["S3DataSource"]
            entry = {
                "TrainingInputMode": channel.get("InputMode", mode),
                "S3DistributionType": source.get("S3DataDistributionType", "FullyReplicated"),
                "RecordWrapperType": channel.get("RecordWrapperType", "None"),
            }
            if "ContentType" in channel:
                entry["ContentType"] = channel["ContentType"]
            described[channel["ChannelName"]] = entry
        return described

    def _processing_config(self) -> dict[str, Any]:
        members = (
            *("AppSpecification", "Environment", "ProcessingInputs", "ProcessingOutputConfig"),
            *("ProcessingResources", "RoleArn", "StoppingCondition"),
        )
        request = self.order.request
        config = {name: request[name] for name in members if name in request}
        names = {"ProcessingJobName": self.order.name, "ProcessingJobArn": self.order.arn}
        return names | config


def refusal(operation: str, request: Mapping[str, Any]) -> str | None:
    """Why this computer cannot honestly run the job's container, or None."""
    kind: Kind = "training" if operation == "CreateTrainingJob" else "processing"
    parts = _entry(kind, request)
    missing = None if parts else _without_entry(kind, request)
    if missing:
        return missing
    local = not parts or _PYTHON.fullmatch(parts[0]) or parts[0].startswith("/opt/ml/")
    if not local and shutil.which(parts[0], path=PATH) is None:
        return f"relay local: the entry point {parts[0]!r} is not on this computer"
    allowed = "/opt/ml" if kind == "training" else "/opt/ml/processing"
    for path in _local_paths(kind, request):
        if ".." in Path(path).parts or not path.startswith(f"{allowed}/"):
            return f"relay local: LocalPath {path!r} is not below {allowed}"
    for uri in _uris(kind, request):
        if not uri.startswith("s3://"):
            return f"relay local: {uri!r} does not begin with s3://"
    return None


def toolkit_python() -> str | None:
    """The Python that has SageMaker's toolkit, None if there is none."""
    if importlib.util.find_spec(TOOLKIT) is not None:
        return sys.executable
    apart = Path(sys.prefix) / "launchers"
    found = any(apart.glob(f"lib/*/site-packages/{TOOLKIT}/cli/train.py"))
    return str(apart / "bin" / "python") if found else None


def free_port() -> int:
    """A port of 127.0.0.1 that nobody uses now."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def _entry(kind: Kind, request: Mapping[str, Any]) -> list[str]:
    member = "AlgorithmSpecification" if kind == "training" else "AppSpecification"
    specification = request[member]
    entry = specification.get("ContainerEntrypoint")
    return [*entry, *specification.get("ContainerArguments", [])] if entry else []


def _without_entry(kind: Kind, request: Mapping[str, Any]) -> str | None:
    in_script_mode = kind == "training" and PROGRAM in request.get("HyperParameters", {})
    if in_script_mode and toolkit_python():
        return None
    needs = (
        f"script mode needs the sagemaker-training toolkit, which is not installed in {sys.prefix}"
        if in_script_mode
        else "images are not pulled here"
    )
    return (
        "relay local: the job names no ContainerEntrypoint, so its image's own entry point would "
        f"run it; {needs}. Give ContainerEntrypoint, as relay's own jobs do"
    )


def _local_paths(kind: Kind, request: Mapping[str, Any]) -> list[str]:
    if kind == "training":
        return [request.get("CheckpointConfig", {}).get("LocalPath", "/opt/ml/checkpoints")]
    outputs = request.get("ProcessingOutputConfig", {}).get("Outputs", [])
    inputs = [entry["S3Input"]["LocalPath"] for entry in request.get("ProcessingInputs", [])]
    return inputs + [entry["S3Output"]["LocalPath"] for entry in outputs]


def _uris(kind: Kind, request: Mapping[str, Any]) -> list[str]:
    if kind == "processing":
        outputs = request.get("ProcessingOutputConfig", {}).get("Outputs", [])
        inputs = [entry["S3Input"]["S3Uri"] for entry in request.get("ProcessingInputs", [])]
        return inputs + [entry["S3Output"]["S3Uri"] for entry in outputs]
    uris = [channel["DataSource"]["S3DataSource"]["S3Uri"] for channel in request.get("InputDataConfig", [])]
    if request.get("CheckpointConfig"):
        uris.append(request["CheckpointConfig"]["S3Uri"])
    return [*uris, request["OutputDataConfig"]["S3OutputPath"]]


def _write(path: Path, content: object) -> None:
    path.write_text(json.dumps(content), "utf-8")
