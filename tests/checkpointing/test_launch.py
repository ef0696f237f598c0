"""The container's entry point, run as the platform runs it."""

from __future__ import annotations

import contextlib
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from workflows.checkpointing import launch

LAUNCH = Path(launch.__file__)
PACKAGE = LAUNCH.parent
pytestmark = pytest.mark.processes

PRINT = """
import json, os, sys
print(json.dumps({"argv": sys.argv[1:], "cwd": os.getcwd(), "env": dict(os.environ)}))
"""
# Says when it is ready, then waits for SIGTERM in the loop of a Checkpointer.
LOOP = """
import sys, time
from workflows.checkpointing import Checkpointer
with Checkpointer({"a": []}) as checkpoints:
    for step in checkpoints.steps(10_000):
        if step == 0: print("ready", flush=True)
        time.sleep(0.01)
"""


@pytest.fixture
def job(base: Path) -> Callable[..., list[str]]:
    """Lays out a training job's folder as the platform does; returns the command."""

    def lay_out(script: str, **files: str) -> list[str]:
        code = base / "input" / "data" / "code"
        code.mkdir(parents=True, exist_ok=True)
        shutil.copy(LAUNCH, code)
        with tarfile.open(code / "source.tar.gz", "w:gz") as tar:
            add(tar, "train.py", script)
            add(tar, "workflows/__init__.py", "")
            for path in PACKAGE.glob("*.py"):
                tar.add(path, f"workflows/checkpointing/{path.name}")
            for name, content in files.items():
                add(tar, name, content)
        return [sys.executable, str(code / "launch.py"), "train.py"]

    return lay_out


def add(tar: tarfile.TarFile, name: str, content: str) -> None:
    member = tarfile.TarInfo(name)
    data = content.encode()
    member.size = len(data)
    tar.addfile(member, io.BytesIO(data))


def configure(base: Path, name: str, content: object) -> None:
    path = base / "input" / "config" / f"{name}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))


def run(command: list[str], **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_the_script_gets_hyperparameters_as_arguments_as_in_sagemakers_toolkit(
    base: Path, job: Callable[..., list[str]]
) -> None:
    configure(
        base,
        "hyperparameters",
        {
            "epochs": "3",
            "name": '"x y"',
            "plain": "text",
            "b": "true",
            "grid": '{"z": 1, "a": 2}',
            "sagemaker_job_name": '"j"',
        },
    )

    said = json.loads(run([*job(PRINT), "--own", "1"]).stdout)

    assert said["argv"] == [
        *("--own", "1", "-b", "True", "--epochs", "3", "--grid", "a=2,z=1"),
        *("--name", "x y", "--plain", "text"),
    ]
    assert said["env"]["SM_HP_EPOCHS"] == "3"
    assert json.loads(said["env"]["SM_HPS"])["name"] == "x y"
    assert said["cwd"] == str(base / "code")


def test_the_script_gets_the_sm_variables(base: Path, job: Callable[..., list[str]]) -> None:
    hosts = ["algo-1", "algo-2"]
    configure(base, "resourceconfig", {"current_host": "algo-2", "hosts": hosts})
    configure(base, "inputdataconfig", {"train": {}, "code": {}})

    environment = json.loads(run(job(PRINT)).stdout)["env"]

    assert json.loads(environment["SM_HOSTS"]) == hosts
    assert environment["SM_CURRENT_HOST_RANK"] == "1"
    assert environment["SM_HOST_COUNT"] == "2"
    assert (environment["SM_MASTER_ADDR"], environment["SM_MASTER_PORT"]) == ("algo-1", "7777")
    assert environment["SM_CHANNEL_TRAIN"] == str(base / "input" / "data" / "train")
    assert environment["SM_MODEL_DIR"] == str(base / "model")
    assert (base / "model").is_dir()
    assert environment["PYTHONPATH"].split(os.pathsep)[0] == str(base / "code")
    assert json.loads(environment["SM_TRAINING_ENV"])["hosts"] == hosts
    documented = [
        "SM_CHANNELS",
        "SM_CURRENT_HOST",
        "SM_CURRENT_INSTANCE_TYPE",
        "SM_HPS",
        "SM_INPUT_DIR",
        "SM_INPUT_CONFIG_DIR",
        "SM_INPUT_DATA_CONFIG",
        "SM_LOG_LEVEL",
        "SM_NETWORK_INTERFACE_NAME",
        "SM_NUM_CPUS",
        "SM_NUM_GPUS",
        "SM_OUTPUT_DIR",
        "SM_OUTPUT_DATA_DIR",
        "SM_OUTPUT_FAILURE",
        "SM_RESOURCE_CONFIG",
        "SM_SOURCE_DIR",
    ]
    assert set(documented) <= set(environment)


def test_what_the_platform_says_about_the_master_is_kept(job: Callable[..., list[str]]) -> None:
    command = job(PRINT)

    said = run(command, SM_MASTER_ADDR="127.0.0.1", SM_MASTER_PORT="5123").stdout

    environment = json.loads(said)["env"]
    assert (environment["SM_MASTER_ADDR"], environment["SM_MASTER_PORT"]) == ("127.0.0.1", "5123")


def test_a_processing_job_has_its_own_folders_and_its_own_failure_file(base: Path) -> None:
    code = base / "processing" / "input" / "code"
    (base / "processing" / "input" / "raw").mkdir(parents=True)
    code.mkdir(parents=True)
    shutil.copy(LAUNCH, code)
    with tarfile.open(code / "source.tar.gz", "w:gz") as tar:
        add(tar, "prepare.py", PRINT + "\nraise SystemExit(3)")

    result = run([sys.executable, str(code / "launch.py"), "prepare.py"])

    environment = json.loads(result.stdout)["env"]
    assert result.returncode == 3
    assert environment["SM_CHANNEL_RAW"] == str(base / "processing" / "input" / "raw")
    assert environment["SM_OUTPUT_DATA_DIR"] == str(base / "processing" / "output")
    assert (base / "output" / "message").read_text() == "(exit code 3)"


def test_the_failure_file_begins_with_the_users_error(base: Path, job: Callable[..., list[str]]) -> None:
    script = """
def inner():
    raise ValueError("the learning rate is negative")
def outer():
    try:
        inner()
    except ValueError as error:
        raise RuntimeError("cannot train:\\nsee above") from error
outer()
"""
    result = run(job(script))

    failure = (base / "output" / "failure").read_text()
    assert result.returncode == 1
    assert failure.startswith("RuntimeError: cannot train: (exit code 1)\nsee above\n")
    assert 'raise RuntimeError("cannot train' in failure
    assert len(failure) <= 1024
    assert result.stderr.rstrip().endswith("see above")  # passed through as it was


def test_an_exit_code_without_a_traceback_keeps_the_last_words(
    base: Path, job: Callable[..., list[str]]
) -> None:
    result = run(job("import sys; sys.stderr.write('no data in the channel\\n'); sys.exit(3)"))

    assert result.returncode == 3
    failure = (base / "output" / "failure").read_text()
    assert failure == "(exit code 3)\nno data in the channel"


def test_a_child_killed_by_a_signal_is_128_plus_its_number(base: Path, job: Callable[..., list[str]]) -> None:
    result = run(job("import os; os.kill(os.getpid(), 9)"))

    assert result.returncode == 137
    assert "SIGKILL; out of memory?" in (base / "output" / "failure").read_text()


def test_torchruns_own_traceback_does_not_hide_the_users() -> None:
    words = (
        "[rank1]: Traceback (most recent call last):\n[rank1]:   File 'a.py', line 1\n"
        "[rank1]: ValueError: mine\nTraceback (most recent call last):\n  File 'run.py'\n"
        "torch.distributed.elastic.multiprocessing.errors.ChildFailedError: \n====\n"
    )

    assert launch.describe_failure(words, 1).startswith("ValueError: mine (exit code 1)")


@pytest.mark.parametrize(
    ("member", "kind"),
    [("../out.py", "file"), ("/tmp/out.py", "file"), ("link", "link"), ("fifo", "fifo")],
)
def test_an_archive_that_leads_out_of_the_code_folder_is_refused(
    base: Path, job: Callable[..., list[str]], member: str, kind: str
) -> None:
    command = job("")
    with tarfile.open(Path(command[1]).parent / "source.tar.gz", "w:gz") as tar:
        found = tarfile.TarInfo(member)
        if kind == "link":
            found.type, found.linkname = tarfile.SYMTYPE, "/etc/passwd"
        if kind == "fifo":
            found.type = tarfile.FIFOTYPE
        tar.addfile(found)

    result = run(command)

    assert result.returncode == 1
    assert member in (base / "output" / "failure").read_text()
    # then nothing was unpacked: neither where the code goes nor beside it
    left = {path.name for path in base.rglob("*") if path.is_file() or path.is_symlink()}
    assert "failure" in left
    assert Path(member).name not in left


def test_a_missing_script_names_those_that_are_there(base: Path, job: Callable[..., list[str]]) -> None:
    command = job("")

    result = run([*command[:-1], "trian.py"])

    assert result.returncode == 1
    failure = (base / "output" / "failure").read_text()
    assert failure == "trian.py is not in the source folder; scripts there: train.py"


def test_requirements_that_cannot_be_installed_are_a_clear_failure(
    base: Path, job: Callable[..., list[str]]
) -> None:
    result = run(job("", **{"requirements.txt": "./no-such-folder\n"}))

    assert result.returncode == 1
    failure = (base / "output" / "failure").read_text()
    assert failure.startswith("requirements.txt could not be installed")
    assert "no-such-folder" in failure


def start(command: list[str], *before: str) -> subprocess.Popen[str]:
    """Starts the job and waits until its script says that it is ready."""
    process = subprocess.Popen([*before, *command], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith("ready"):
            return process
    raise AssertionError(process.communicate()[1])


def test_sigterm_reaches_the_script_and_the_container_ends_with_143(
    base: Path, job: Callable[..., list[str]]
) -> None:
    process = start(job(LOOP))

    process.send_signal(signal.SIGTERM)
    process.send_signal(signal.SIGTERM)

    _, errors = process.communicate(timeout=60)
    assert process.returncode == 143, errors
    assert not (base / "output" / "failure").exists()
    assert list((base / "checkpoints").glob("step-*")), errors


def test_output_comes_through_while_the_script_still_runs(job: Callable[..., list[str]]) -> None:
    script = "import sys, time\nsys.stderr.write('early')\nprint('ready')\ntime.sleep(60)"
    process = start(job(script))
    assert process.stderr is not None

    early = os.read(process.stderr.fileno(), 100)

    process.terminate()
    process.communicate(timeout=60)
    assert early == b"early"


def test_a_grandchild_that_holds_stderr_open_does_not_hold_the_container(
    job: Callable[..., list[str]],
) -> None:
    script = "import subprocess\nprint(subprocess.Popen(['sleep', '600'], stdout=subprocess.DEVNULL).pid)"

    result = run(job(script))  # with a time limit

    grandchild = int(result.stdout)
    assert result.returncode == 0
    os.kill(grandchild, signal.SIGKILL)  # raises ProcessLookupError if it had been waited for


def test_sigterm_reaches_the_script_when_the_launcher_is_pid_1(
    base: Path, job: Callable[..., list[str]]
) -> None:
    # setsid keeps the signal of unshare itself apart; --kill-child ends all if the test fails.
    namespace = ["unshare", "--user", "--map-root-user", "--pid", "--fork", "--mount-proc"]
    probe = shutil.which("unshare") and subprocess.run([*namespace, "true"], capture_output=True, check=False)
    if not probe or probe.returncode:
        pytest.skip("no PID namespace can be made here")
    orphans = "import subprocess\nfor _ in range(3): subprocess.Popen(['sh', '-c', 'true & true'])\n"
    script = "import os\nassert os.getppid() == 1\n" + orphans + LOOP
    process = start(job(script), *namespace, "--kill-child")
    launcher = children(process.pid)[0]

    os.kill(launcher, signal.SIGTERM)

    _, errors = process.communicate(timeout=60)
    assert process.returncode == 143, errors
    assert list((base / "checkpoints").glob("step-*"))


def children(pid: int) -> list[int]:
    with contextlib.suppress(OSError):
        return [int(p) for p in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return []


def test_the_source_archive_works_in_an_empty_environment(base: Path, job: Callable[..., list[str]]) -> None:
    job("")
    code = base / "input" / "data" / "code"
    unpacked = base / "unpacked"
    with tarfile.open(code / "source.tar.gz") as tar:
        tar.extractall(unpacked, filter="data")
    script = f"""
import sys
sys.path.insert(0, {str(unpacked)!r})
from workflows.checkpointing import Checkpointer
import workflows.checkpointing
assert workflows.checkpointing.__file__.startswith({str(unpacked)!r})
assert not [m for m in sys.modules if m.split(".")[0] in ("numpy", "torch", "boto3", "pydantic")]
state = {{"n": [0]}}
with Checkpointer(state, asynchronous=False) as checkpoints:
    for step in checkpoints.steps(int(sys.argv[1])):
        state["n"][0] += 1
print(checkpoints.resumed, state["n"])
"""
    first = run([sys.executable, "-I", "-S", "-c", script, "5"])
    second = run([sys.executable, "-I", "-S", "-c", script, "8"])

    assert first.stdout.split() == ["False", "[5]"], first.stderr
    assert second.stdout.split() == ["True", "[8]"], second.stderr


def test_the_package_imports_nothing_but_the_standard_library_and_itself() -> None:
    import ast

    for path in PACKAGE.glob("*.py"):
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.ImportFrom) and node.level == 0:
                assert str(node.module).split(".")[0] in sys.stdlib_module_names, path
            elif isinstance(node, ast.Import):
                for alias in node.names:
                    assert alias.name.split(".")[0] in sys.stdlib_module_names, path
