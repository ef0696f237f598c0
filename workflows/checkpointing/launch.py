#!/usr/bin/env python3
"""The entry point of Relay's containers: runs a script, passes SIGTERM on, keeps the exit code.

    python3 /opt/ml/input/data/code/launch.py [--torchrun] train.py [arguments]

Where SageMaker's toolkit starts it (script mode), which gives a program nothing but the hyperparameters, the
words after its name stand in RELAY_LAUNCH instead, as a JSON list.

One file, standard library only, Python 3.8 or newer: it runs in any image. What it does: unpacks
source.tar.gz, which lies beside it, into /opt/ml/code; installs requirements.txt if there is one; sets
the variables that SageMaker's own two launchers set (ENVIRONMENT.md beside this file says which are the
same); starts the script with the hyperparameters as arguments; passes SIGTERM on to that one child (never
to the process group: data-loader workers would die first and the script with them); writes the failure
file. SAGEMAKER_BASE_DIR stands for /opt/ml.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import select
import shutil
import signal
import subprocess
import sys
import tarfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

ARCHIVE = "source.tar.gz"
INTERRUPTED = 128 + signal.SIGTERM
# Characters of the failure file: of the 1,024 that SageMaker shows in all, what its own words leave, at whose
# end the exit code is to be whole.
FAILURE_LENGTH = 992
TAIL = 65536  # bytes of the script's stderr that are remembered
# torchrun kills its workers 30 s after SIGTERM; SageMaker kills the container after 120 s.
TORCHRUN_GRACE = "110"
MASTER_PORT = "7777"  # what SageMaker's own launcher uses
LOG_LEVEL = 20
GROUP = "homogeneousCluster"  # SageMaker's name of the one group of a cluster without groups
# Hyperparameters that SageMaker's toolkit keeps for itself: those that begin so, and these two.
RESERVED = "sagemaker_"
RESERVED_TOO = ("_tuning_objective_metric", "default_user_module_name")
# The reserved ones that it reads itself; all others are SM_FRAMEWORK_PARAMS.
READ_BY_THE_TOOLKIT = tuple(
    RESERVED + name
    for name in (
        *("program", "submit_directory", "enable_cloudwatch_metrics", "region"),
        *("container_log_level", "job_name", "s3_output"),
    )
)
ORPHAN_PATIENCE = 1.0  # seconds to wait for a stderr that a grandchild still holds open


class LaunchError(Exception):
    """The script could not be started; the text goes to the failure file."""


class Paths:
    """Where things are, in a training job and in a processing job."""

    def __init__(self, base: Path, here: Path) -> None:
        self.base = base
        self.here = here
        self.code = base / "code"
        self.processing = (base / "config" / "processingjobconfig.json").exists() or (
            here == base / "processing" / "input" / "code"
        )
        self.config = base / "config" if self.processing else base / "input" / "config"
        self.input = base / "processing" / "input" if self.processing else base / "input"
        self.channels = self.input if self.processing else base / "input" / "data"
        self.output = base / "processing" / "output" if self.processing else base / "output"
        self.output_data = self.output if self.processing else base / "output" / "data"
        self.failure = base / "output" / ("message" if self.processing else "failure")
        self.model = base / "model"


def main(arguments: Sequence[str]) -> int:
    """Runs the job; returns the exit code of the container."""
    base = Path(os.environ.get("SAGEMAKER_BASE_DIR") or "/opt/ml").absolute()
    paths = Paths(base, Path(__file__).absolute().parent)
    child = Child()
    child.install()
    try:
        options, script, rest = parse(told(arguments))
        unpack(paths.here / ARCHIVE, paths)
        environment = {**os.environ, **variables(paths, options, script, rest)}
        install_requirements(paths, environment, child)
        command = script_command(paths, options, script, rest, environment)
        for folder in (paths.model, paths.output_data):
            folder.mkdir(parents=True, exist_ok=True)
        code = child.run(command, environment, paths.code)
    except LaunchError as error:
        if child.stopped:
            return INTERRUPTED
        print(f"launch.py: {error}", file=sys.stderr, flush=True)
        write_failure(paths.failure, str(error))
        return 1
    if child.stopped and (code == INTERRUPTED or (code and "torchrun" in options)):
        return INTERRUPTED  # torchrun itself ends with 1 after SIGTERM
    if code:
        write_failure(paths.failure, describe_failure(child.last_words(), code))
    return code


def told(arguments: Sequence[str]) -> Sequence[str]:
    """The launcher's own arguments: of the command line, or of RELAY_LAUNCH."""
    text = os.environ.get("RELAY_LAUNCH")
    if text is None:
        return arguments
    words = decoded(text)
    if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
        raise LaunchError(f'RELAY_LAUNCH holds {text!r}; allowed: a JSON list such as ["train.py"]')
    return words


def parse(arguments: Sequence[str]) -> tuple[dict[str, str], str, list[str]]:
    """Splits launch.py's own options from the script and its arguments."""
    options: dict[str, str] = {}
    rest = list(arguments)
    while rest and rest[0].startswith("--"):
        name, _, value = rest.pop(0)[2:].partition("=")
        if name not in ("torchrun", "processes"):
            raise LaunchError(f"unknown option --{name}; known are --torchrun and --processes=N")
        options[name] = value
    if not rest:
        raise LaunchError("no script was named: launch.py [--torchrun] train.py [arguments]")
    return options, rest[0], rest[1:]


def unpack(archive: Path, paths: Paths) -> None:
    """Unpacks the source archive into an empty code folder; refuses what could lead out of it.

    In script mode the archive lies in the code folder itself, which also is the working folder: it is emptied
    once the archive is open, and is not made anew.
    """
    if not archive.exists():
        if paths.here != paths.code:
            shutil.copytree(paths.here, paths.code, dirs_exist_ok=True)
        return
    paths.code.mkdir(parents=True, exist_ok=True)
    try:
        with tarfile.open(archive) as tar:
            for path in paths.code.iterdir():
                if path.is_dir() and not path.is_symlink():
                    shutil.rmtree(path)
                else:
                    path.unlink()
            for member in tar:
                unpack_member(tar, member, paths.code)
    except (tarfile.TarError, EOFError, OSError) as error:
        raise LaunchError(f"{archive} cannot be unpacked: {error}") from error


def unpack_member(tar: tarfile.TarFile, member: tarfile.TarInfo, folder: Path) -> None:
    """Writes one file or directory; raises LaunchError for anything else."""
    parts = Path(member.name).parts
    if Path(member.name).is_absolute() or ".." in parts:
        raise LaunchError(f"{ARCHIVE} holds {member.name!r}, which leads out of the code folder")
    target = folder.joinpath(*parts)
    if member.isdir():
        target.mkdir(parents=True, exist_ok=True)
        return
    source = tar.extractfile(member) if member.isreg() else None
    if source is None:
        raise LaunchError(f"{ARCHIVE} holds {member.name!r}, which is neither file nor directory")
    target.parent.mkdir(parents=True, exist_ok=True)
    with source, target.open("wb") as file:
        shutil.copyfileobj(source, file)
    target.chmod(0o644 | (member.mode & 0o111))


def install_requirements(paths: Paths, environment: dict[str, str], child: Child) -> None:
    """Installs requirements.txt of the source folder, if there is one."""
    requirements = paths.code / "requirements.txt"
    if not requirements.exists():
        return
    pip = [sys.executable, "-m", "pip", "install", "--disable-pip-version-check"]
    code = child.run([*pip, "-r", str(requirements)], environment, paths.code)
    if code:
        words = [line for line in child.last_words().splitlines() if line.strip()]
        errors = [line for line in words if line.startswith("ERROR")] or words[-3:]
        raise LaunchError(
            f"requirements.txt could not be installed (pip's exit code {code}): " + " | ".join(errors)
        )


def script_command(
    paths: Paths,
    options: dict[str, str],
    script: str,
    rest: Sequence[str],
    environment: dict[str, str],
) -> list[str]:
    """The command line of the script: arguments first, then the hyperparameters."""
    path = paths.code / script
    if not path.is_file():
        there = ", ".join(sorted(found.name for found in paths.code.glob("*.py"))) or "none"
        raise LaunchError(f"{script} is not in the source folder; scripts there: {there}")
    arguments = [str(path), *rest, *hyperparameter_arguments(hyperparameters(paths))]
    if script.endswith(".sh"):
        return ["/bin/sh", *arguments]
    if "torchrun" not in options:
        return [sys.executable, *arguments]
    hosts = json.loads(environment["SM_HOSTS"])
    processes = options.get("processes") or max(int(environment["SM_NUM_GPUS"]), 1)
    torchrun = [sys.executable, "-m", "torch.distributed.run"]
    torchrun += [f"--nnodes={len(hosts)}", f"--nproc-per-node={processes}"]
    if len(hosts) == 1:
        return [*torchrun, "--standalone", *arguments]
    torchrun += [f"--node-rank={environment['SM_CURRENT_HOST_RANK']}"]
    torchrun += [f"--master-addr={environment['SM_MASTER_ADDR']}"]
    torchrun += [f"--master-port={environment['SM_MASTER_PORT']}"]
    return [*torchrun, *arguments]


# What the platform says, and what the script is told.


def read_json(path: Path) -> dict[str, Any]:
    """A configuration file of the platform; an absent one is empty."""
    try:
        content = json.loads(path.read_text())
    except FileNotFoundError:
        return {}
    except ValueError as error:
        raise LaunchError(f"{path} is not JSON: {error}") from error
    return content if isinstance(content, dict) else {}


def all_hyperparameters(paths: Paths) -> dict[str, Any]:
    """Every hyperparameter of the job, each decoded from JSON where it is JSON, as the toolkit does."""
    found = read_json(paths.config / "hyperparameters.json")
    return {name: decoded(value) for name, value in found.items()}


def hyperparameters(paths: Paths) -> dict[str, Any]:
    """The script's own hyperparameters."""
    return {name: value for name, value in all_hyperparameters(paths).items() if not reserved(name)}


def reserved(name: str) -> bool:
    """Whether a hyperparameter is a setting of the toolkit, which no script gets as an argument."""
    return name.startswith(RESERVED) or name in RESERVED_TOO


def decoded(value: Any) -> Any:
    """A JSON text as its value, any other text as it is."""
    try:
        return json.loads(value)
    except (ValueError, TypeError):
        return value


def hyperparameter_arguments(values: dict[str, Any]) -> list[str]:
    """`--name value` (and `-n value`), sorted, as in the toolkit: a map is `a=1,b=2`, null an empty text."""
    arguments: list[str] = []
    for name in sorted(values):
        value = values[name]
        if isinstance(value, dict):
            value = ",".join(f"{key}={value[key]}" for key in sorted(value))
        arguments += [f"--{name}" if len(name) > 1 else f"-{name}", "" if value is None else str(value)]
    return arguments


def as_text(value: Any) -> str:
    """A value as the toolkit writes it into the environment."""
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    return json.dumps(value, sort_keys=True, separators=(",", ":"))


def variables(paths: Paths, options: dict[str, str], script: str, rest: Sequence[str]) -> dict[str, str]:
    """What the script's environment holds beside the job's own: SM_*, PYTHONPATH and what torchrun reads."""
    resources = read_json(paths.config / "resourceconfig.json")
    settings = {name: value for name, value in all_hyperparameters(paths).items() if reserved(name)}
    values = hyperparameters(paths)
    channels = channel_folders(paths)
    result: dict[str, Any] = {
        **of_folders(paths),
        **of_cluster(resources, settings, options),
        **of_program(paths, settings, script),
        "SM_HPS": values,
        "SM_USER_ARGS": [*rest, *hyperparameter_arguments(values)],
        "SM_CHANNELS": sorted(channels),
        "SM_INPUT_DATA_CONFIG": read_json(paths.config / "inputdataconfig.json"),
        "SM_RESOURCE_CONFIG": resources,
        "SM_NUM_CPUS": os.cpu_count() or 1,
        "SM_NUM_GPUS": count_gpus(),
        "SM_NUM_NEURONS": count_neurons(),
    }
    result["SM_TRAINING_ENV"] = training_environment(result, channels)
    for name, path in channels.items():
        result.update(dict.fromkeys(spellings("SM_CHANNEL_", name), path))
    for name, value in values.items():
        result.update(dict.fromkeys(spellings("SM_HP_", name), value))
    texts = {name: as_text(value) for name, value in result.items()}
    texts["CURRENT_HOST"] = texts["SM_CURRENT_HOST"]
    python = os.environ.get("PYTHONPATH")
    texts["PYTHONPATH"] = f"{paths.code}{os.pathsep}{python}" if python else str(paths.code)
    texts["PYTHONUNBUFFERED"] = "1"
    texts["TORCH_ELASTIC_SHUTDOWN_TIMEOUT"] = TORCHRUN_GRACE  # torchrun's --shutdown-timeout
    return texts


def of_folders(paths: Paths) -> dict[str, Any]:
    """The variables that name folders and files."""
    return {
        "SM_INPUT_DIR": str(paths.input),
        "SM_INPUT_CONFIG_DIR": str(paths.config),
        "SM_INPUT_DATA_DIR": str(paths.channels),
        "SM_MODEL_DIR": str(paths.model),
        "SM_OUTPUT_DIR": str(paths.output),
        "SM_OUTPUT_DATA_DIR": str(paths.output_data),
        "SM_OUTPUT_INTERMEDIATE_DIR": str(paths.output / "intermediate"),
        "SM_OUTPUT_FAILURE": str(paths.failure),
        "SM_SOURCE_DIR": str(paths.code),
        "SM_MODULE_DIR": str(paths.code),
    }


def of_cluster(
    resources: dict[str, Any], settings: dict[str, Any], options: dict[str, str]
) -> dict[str, Any]:
    """The variables of hosts, of groups of instances, and of how they meet."""
    hosts = resources.get("hosts") or [resources.get("current_host", "algo-1")]
    current = resources.get("current_host", hosts[0])
    group = resources.get("current_group_name", GROUP)
    groups = {each["instance_group_name"]: each for each in resources.get("instance_groups") or []}
    distributed = settings.get("sagemaker_distribution_instance_groups")
    if distributed is None:
        distributed = [group] if "torchrun" in options else []
    result = {
        "SM_CURRENT_HOST": current,
        "SM_CURRENT_HOST_RANK": hosts.index(current) if current in hosts else 0,
        "SM_CURRENT_INSTANCE_TYPE": resources.get("current_instance_type", "local"),
        "SM_CURRENT_INSTANCE_GROUP": group,
        "SM_CURRENT_INSTANCE_GROUP_HOSTS": groups.get(group, {}).get("hosts", []),
        "SM_INSTANCE_GROUPS": list(groups),
        "SM_INSTANCE_GROUPS_DICT": groups,
        "SM_DISTRIBUTION_INSTANCE_GROUPS": distributed,
        "SM_IS_HETERO": len(groups) > 1,
        "SM_HOSTS": hosts,
        "SM_HOST_COUNT": len(hosts),
        "SM_NETWORK_INTERFACE_NAME": resources.get("network_interface_name", "eth0"),
        "SM_MASTER_ADDR": os.environ.get("SM_MASTER_ADDR") or hosts[0],
        "SM_MASTER_PORT": os.environ.get("SM_MASTER_PORT") or MASTER_PORT,
    }
    if resources.get("topology"):
        result["SM_TOPOLOGY"] = resources["topology"]
    return result


def of_program(paths: Paths, settings: dict[str, Any], script: str) -> dict[str, Any]:
    """The variables of the script, of the image's framework, and of the toolkit's settings."""
    level = os.environ.get("SM_LOG_LEVEL") or settings.get("sagemaker_container_log_level", LOG_LEVEL)
    name = settings.get("sagemaker_job_name") or os.environ.get("TRAINING_JOB_NAME", "")
    region = settings.get("sagemaker_region") or os.environ.get("AWS_REGION")
    return {
        "SM_USER_ENTRY_POINT": script,
        "SM_ENTRY_SCRIPT": script,
        "SM_MODULE_NAME": script[: -len(".py")] if script.endswith(".py") else script,
        "SM_FRAMEWORK_MODULE": os.environ.get("SAGEMAKER_TRAINING_MODULE", ""),
        "SM_FRAMEWORK_PARAMS": {
            key: value
            for key, value in settings.items()
            if key not in READ_BY_THE_TOOLKIT and key not in RESERVED_TOO
        },
        "SM_LOG_LEVEL": level,
        "SAGEMAKER_JOB_NAME": name,
        "SAGEMAKER_REGION": region or os.environ.get("AWS_DEFAULT_REGION", ""),
    }


# Members of SM_TRAINING_ENV that are called like the variable without SM_, of either launcher.
ALSO_VARIABLES = (
    *("current_host", "current_instance_group", "current_instance_group_hosts", "current_instance_type"),
    *("distribution_instance_groups", "hosts", "input_config_dir", "input_data_config", "input_data_dir"),
    *("input_dir", "instance_groups", "instance_groups_dict", "is_hetero", "log_level", "master_addr"),
    *("master_port", "model_dir", "module_dir", "module_name", "network_interface_name", "num_cpus"),
    *("num_gpus", "num_neurons", "output_data_dir", "output_dir", "output_intermediate_dir"),
    *("resource_config", "user_entry_point"),
)


def training_environment(result: dict[str, Any], channels: dict[str, str]) -> dict[str, Any]:
    """SM_TRAINING_ENV: the same once more in one JSON text, which some scripts read."""
    groups, wanted = result["SM_INSTANCE_GROUPS_DICT"], result["SM_DISTRIBUTION_INSTANCE_GROUPS"]
    spread = [host for name in groups if name in wanted for host in groups[name].get("hosts", [])]
    spread = spread if groups else list(result["SM_HOSTS"])
    first = (spread or result["SM_HOSTS"])[0]
    parallel = os.environ.get("SM_HP_MP_PARAMETERS")  # of the library for parallel models; absent is null
    environment = {name: result[f"SM_{name.upper()}"] for name in ALSO_VARIABLES}
    environment["master_port"] = int(environment["master_port"])
    environment["log_level"] = int(environment["log_level"])
    return {
        **environment,
        "additional_framework_parameters": result["SM_FRAMEWORK_PARAMS"],
        "channel_input_dirs": channels,
        "distribution_hosts": spread,
        "framework_module": result["SM_FRAMEWORK_MODULE"] or None,
        "hyperparameters": result["SM_HPS"],
        "is_master": result["SM_CURRENT_HOST"] == first,
        "is_modelparallel_enabled": parallel and parallel != "{}",
        "is_smddpmprun_installed": shutil.which("smddpmprun") is not None,
        "is_smddprun_installed": shutil.which("smddprun") is not None,
        "job_name": os.environ.get("TRAINING_JOB_NAME"),
        "master_hostname": first,
        "topology": result.get("SM_TOPOLOGY", []),
    }


def channel_folders(paths: Paths) -> dict[str, str]:
    """Channel name -> folder: those configured, and those that are simply there."""
    names = set(read_json(paths.config / "inputdataconfig.json"))
    if paths.channels.is_dir():
        names |= {path.name for path in paths.channels.iterdir() if path.is_dir()}
    return {name: str(paths.channels / name) for name in sorted(names)}


def spellings(prefix: str, name: str) -> set[str]:
    """The variables of a channel or hyperparameter: as the toolkit spells it, and as a shell can read it."""
    return {prefix + name.upper(), prefix + re.sub(r"[^A-Za-z0-9_]", "_", name).upper()}


def count_gpus() -> int:
    """How many GPUs nvidia-smi lists; 0 without it."""
    return asked(["nvidia-smi", "--list-gpus"]).count("GPU ")


def count_neurons() -> int:
    """How many Neuron cores neuron-ls lists; 0 without it."""
    try:
        return sum(
            int(device.get("nc_count", 0)) for device in json.loads(asked(["neuron-ls", "-j"]) or "[]")
        )
    except (ValueError, TypeError, AttributeError):
        return 0


def asked(command: list[str]) -> str:
    """What a command prints; nothing where it is not there or fails."""
    try:
        listed = subprocess.run(
            command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=False, timeout=30
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return listed.stdout.decode(errors="replace") if not listed.returncode else ""


# The child.


class Child:
    """The one process that is running, and the signals that are passed on to it."""

    def __init__(self) -> None:
        self.stopped = False
        self._process: subprocess.Popen[bytes] | None = None
        self._tail = b""

    def install(self) -> None:
        """Handles SIGTERM and SIGINT: as PID 1 they would otherwise be ignored."""
        signal.signal(signal.SIGTERM, self._forward)
        signal.signal(signal.SIGINT, self._forward)

    def run(self, command: Sequence[str], environment: dict[str, str], folder: Path) -> int:
        """Runs a command to its end; returns its exit code, 128 + n for signal n."""
        self._tail = b""
        # Blocked from before the fork until the process is known, so that none is lost between.
        blocked = {signal.SIGTERM, signal.SIGINT}
        signal.pthread_sigmask(signal.SIG_BLOCK, blocked)
        try:
            if self.stopped:
                raise LaunchError("stopped before the script was started")
            self._process = subprocess.Popen(
                list(command),
                env=environment,
                cwd=str(folder),
                stdin=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                preexec_fn=_unblock,
                bufsize=0,
            )
        except OSError as error:
            raise LaunchError(f"{command[0]} cannot be started: {error}") from error
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, blocked)
        ended = threading.Event()
        reader = threading.Thread(target=self._copy_stderr, args=(ended,), daemon=True)
        reader.start()
        status = self._wait(self._process.pid)
        ended.set()
        reader.join()
        return status

    def last_words(self) -> str:
        """The end of what the last command wrote to stderr."""
        return self._tail.decode(errors="replace")

    def _forward(self, number: int, frame: Any) -> None:
        self.stopped = True
        if self._process is not None and self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._process.pid, number)

    def _wait(self, wanted: int) -> int:
        """Waits for the child; as PID 1 it also reaps what other processes left behind."""
        assert self._process is not None
        anyone = os.getpid() == 1
        while True:
            pid, status = os.waitpid(-1 if anyone else wanted, 0)
            if pid != wanted:
                continue
            code = -os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)
            self._process.returncode = code  # Popen would wait for it once more
            return 128 - code if code < 0 else code

    def _copy_stderr(self, ended: threading.Event) -> None:
        """Passes stderr through as it comes, and remembers its end."""
        assert self._process is not None
        assert self._process.stderr is not None
        source = self._process.stderr.fileno()
        deadline = None
        while True:
            if ended.is_set() and deadline is None:
                deadline = time.monotonic() + ORPHAN_PATIENCE
            if deadline is not None and time.monotonic() > deadline:
                break
            if not select.select([source], [], [], 0.05)[0]:
                if deadline is not None:
                    break  # the child is gone and nothing is left, but a grandchild holds the pipe
                continue
            piece = os.read(source, 65536)
            if not piece:
                break
            self._tail = (self._tail + piece)[-TAIL:]
            while piece:
                piece = piece[os.write(2, piece) :]
        self._process.stderr.close()


def _unblock() -> None:
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM, signal.SIGINT})


# The failure file.

_RANK = re.compile(r"^\[(?:rank|default)\d+\]:\s?", re.MULTILINE)  # torch prefixes every line
_START = "Traceback (most recent call last):"
_NOT_THE_CAUSE = ("ChildFailedError", "SignalException", "SystemExit")  # torchrun's own


def describe_failure(words: str, code: int) -> str:
    """The script's error first, since only 1024 characters survive, then how it came to it."""
    ending = f"exit code {code}"
    if code > 128:
        ending += f", killed by {signal_name(code - 128)}"
        if code == 128 + signal.SIGKILL:
            ending += "; out of memory?"
    words = _RANK.sub("", words)
    lines = [line for line in words.rstrip().splitlines() if line.strip()]
    traceback, error = last_traceback(lines)
    if error is None:
        return cut([f"({ending})"], lines)
    return cut([f"{error[0]} ({ending})", *error[1:]], traceback)


def last_traceback(lines: Sequence[str]) -> tuple[list[str], list[str] | None]:
    """The last traceback's frames and its error's lines, leaving out torchrun's own."""
    starts = [number for number, line in enumerate(lines) if line.startswith(_START)]
    for start in reversed(starts):
        end = start + 1
        while end < len(lines) and lines[end].startswith(" "):
            end += 1
        error: list[str] = []
        for line in lines[end:]:
            if line.startswith(_START) or len(error) == 5:
                break
            error.append(line)
        if error and not any(name in error[0].split(":")[0] for name in _NOT_THE_CAUSE):
            return list(lines[start:end]), error
    return [], None


def cut(head: Sequence[str], tail: Sequence[str]) -> str:
    """The head, and as many of the tail's last lines as fit."""
    text = "\n".join(head)[:FAILURE_LENGTH]
    kept: list[str] = []
    room = FAILURE_LENGTH - len(text)
    for line in reversed(tail):
        if len(line) + 1 > room:
            break
        kept.insert(0, line)
        room -= len(line) + 1
    return "\n".join([text, *kept])


def signal_name(number: int) -> str:
    """SIGKILL for 9."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def write_failure(path: Path, text: str) -> None:
    """Writes the failure file; an error here must not hide the script's own."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    except OSError as error:
        print(f"launch.py: {path} cannot be written: {error}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
