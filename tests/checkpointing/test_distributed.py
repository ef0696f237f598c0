"""Several ranks: real processes that talk through gloo."""

from __future__ import annotations

import json
import multiprocessing
import multiprocessing.context
import shutil
import signal
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

import pytest

from scripts.drills import children, faults
from workflows.checkpointing import launch

torch = pytest.importorskip("torch", reason="torch is not installed")

pytestmark = pytest.mark.processes

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "scripts" / "drills" / "training_ranks.py"
SHARDS_TENSORS_ON_CPUS = [int(part) for part in torch.__version__.split(".")[:2]] >= [2, 7]
LIMIT = 100  # seconds until a process counts as hanging; torchrun would kill its workers after 110


class Run:
    """One process per base folder: a folder named twice is one machine with two ranks."""

    def __init__(
        self,
        context: multiprocessing.context.ForkServerContext,
        bases: list[Path],
        *arguments: str,
        lost: int | None = None,
    ) -> None:
        # They meet by a new file: a port that was free a moment ago may be taken by another test.
        meeting = str(Path(tempfile.mkdtemp(dir=bases[0].parent)) / "meeting")
        logs = [base.with_name(f"{base.name}-{rank}.log") for rank, base in enumerate(bases)]
        ranks = []
        for rank, (base, log) in enumerate(zip(bases, logs, strict=True)):
            environment = {
                "SAGEMAKER_BASE_DIR": str(base),
                "RELAY_CHECKPOINT_SHORTEST": "0",
                "RELAY_CHECKPOINT_LONGEST": "0.03",
                "RANK": str(rank),
                "WORLD_SIZE": str(len(bases)),
            }
            options = ["--steps", "30", "--meet", meeting, *arguments]
            command = (str(SCRIPT), options, environment, str(log))
            ranks.append(context.Process(target=children.run, args=command))
        for process in ranks:
            process.start()
        if lost is not None:  # the platform takes all instances when one is lost
            ranks[lost].join(LIMIT)
            for process in ranks:
                process.kill()
        for process in ranks:
            process.join(LIMIT)
        self.codes = [process.exitcode for process in ranks]
        self.said = "\n".join(log.read_text() for log in logs)


def digest(output: str) -> list[str]:
    """What each rank holds at the end."""
    found = [line for line in output.splitlines() if line.startswith("digest ")]
    assert found, output
    return found


def merge(bases: list[Path]) -> None:
    """What the platform does at a start: every instance gets what all of them had uploaded."""
    for source in bases:
        for target in bases:
            if source != target:
                shutil.copytree(source / "checkpoints", target / "checkpoints", dirs_exist_ok=True)


def test_two_instances_lose_one_and_go_on_to_the_same_model(
    forks: multiprocessing.context.ForkServerContext, tmp_path: Path
) -> None:
    undisturbed = Run(forks, [tmp_path / "u"] * 2)
    bases = [tmp_path / "algo-1", tmp_path / "algo-2"]
    # Both save before steps 8 and 14, and wait for it; that one of them comes to step 20 proves that
    # both have. Further saves run beside the training, and the kill may find one of them half done.
    fatal = ("--save-at", "8", "14", "--die-at", "20", "--die-rank", "1", "--pause", "0.02")
    killed = Run(forks, bases, *fatal, lost=1)
    merge(bases)
    # One instance's copy of the newest whole checkpoint is cut: both must go back to the one before.
    folder = bases[1] / "checkpoints"
    newest, before, *_ = [n for n in faults.names(folder) if not faults.bad_files(folder / n, ranks=2)]
    (folder / newest / "rank-0" / "__0_0.distcp").write_bytes(b"cut")

    last = Run(forks, bases)

    assert killed.codes[1] == -signal.SIGKILL
    assert last.codes == [0, 0], last.said
    assert f"Skipped checkpoint {newest}: rank-0/__0_0.distcp: cut" in last.said
    assert f"Skipped checkpoint {newest}: on another rank: rank-0/__0_0.distcp: cut" in last.said
    assert last.said.count(f"Resumed at step {before.split('-')[1]} from {before}") == 2, last.said
    assert digest(last.said) == digest(undisturbed.said)
    done = json.loads((bases[0] / "checkpoints" / "complete.json").read_text())
    assert (done["step"], done["saved_step"]) == (30, 30)
    assert not (bases[1] / "checkpoints" / "complete.json").exists()  # rank 0 alone writes it


def test_a_rank_that_cannot_write_stops_neither_the_training_nor_the_others(
    forks: multiprocessing.context.ForkServerContext, tmp_path: Path
) -> None:
    bases = [tmp_path / "algo-1", tmp_path / "algo-2"]
    bases[1].mkdir()
    (bases[1] / "checkpoints").write_text("a file where the folder should be")

    run = Run(forks, bases)

    assert run.codes == [0, 0], run.said
    assert "another rank cannot write; training goes on" in run.said
    done = json.loads((bases[0] / "checkpoints" / "complete.json").read_text())
    assert (done["step"], done["saved_step"]) == (30, 0)  # nothing is saved that not all have


def test_a_save_that_fails_on_one_rank_fails_on_all_and_the_training_goes_on(
    forks: multiprocessing.context.ForkServerContext, tmp_path: Path
) -> None:
    base = tmp_path / "algo-1"

    # The first save, which both wait for, is whole; in the second the copy of rank 1 fails.
    run = Run(forks, [base] * 2, "--save-at", "8", "14", "20", "--defect", "2")

    assert run.codes == [0, 0], run.said
    assert run.said.count("failed: KeyError: 'a defect'; training goes on") == 1, run.said
    assert run.said.count("failed: CheckpointError: another rank cannot write; training goes on") == 1
    done = json.loads((base / "checkpoints" / "complete.json").read_text())
    assert (done["step"], done["saved_step"]) == (30, 30)
    newest = faults.names(base / "checkpoints")[0]
    assert newest.startswith("step-30-")
    assert not faults.bad_files(base / "checkpoints" / newest, ranks=2)


@pytest.mark.parametrize("kind", ["fsdp", "fsdp1"])
def test_a_sharded_training_goes_on_with_another_number_of_ranks(
    forks: multiprocessing.context.ForkServerContext, tmp_path: Path, kind: str
) -> None:
    if kind == "fsdp" and not SHARDS_TENSORS_ON_CPUS:
        pytest.skip("before torch 2.7 FSDP's second edition works on GPUs only")
    base = tmp_path / "algo-1"
    # SIGTERM comes to one of them; they agree on the step at which both stop.
    fatal = ("--die-at", "12", "--signal", "SIGTERM", "--die-rank", "1", "--pause", "0.02")
    undisturbed = Run(forks, [tmp_path / "u"] * 2, "--kind", kind)
    stopped = Run(forks, [base] * 2, "--kind", kind, *fatal)
    other = tmp_path / "algo-2"
    shutil.copytree(base, other)

    again = Run(forks, [other] * 2, "--kind", kind)
    alone = Run(forks, [base], "--kind", kind)

    assert stopped.codes == [143, 143], stopped.said
    assert again.codes == [0, 0], again.said
    assert digest(again.said) == digest(undisturbed.said)
    assert alone.codes == [0], alone.said
    resumed = int(alone.said.split("Resumed at step ")[1].split()[0])
    assert 13 <= resumed < 30
    assert "made by 2 ranks and there are 1" in alone.said
    assert "digest" in alone.said


def test_sigterm_reaches_the_ranks_under_torchrun_and_one_rank_is_enough(base: Path) -> None:
    code = base / "input" / "data" / "code"
    code.mkdir(parents=True)
    shutil.copy(launch.__file__, code)
    script = (
        "import sys, time, torch, torch.distributed as dist\n"
        "from workflows.checkpointing import Checkpointer\n"
        "dist.init_process_group('gloo')\n"
        "with Checkpointer({'model': torch.nn.Linear(2, 2), 'a': []}) as checkpoints:\n"
        "    for step in checkpoints.steps(100_000):\n"
        "        if step == 3 and dist.get_rank() == 1: print('ready', flush=True)\n"
        "        time.sleep(0.01)\n"
    )
    (base / "train.py").write_text(script)
    with tarfile.open(code / "source.tar.gz", "w:gz") as tar:
        tar.add(base / "train.py", "train.py")
        tar.add(ROOT / "workflows" / "__init__.py", "workflows/__init__.py")
        tar.add(ROOT / "workflows" / "checkpointing", "workflows/checkpointing")
    process = subprocess.Popen(
        [sys.executable, str(code / "launch.py"), "--torchrun", "--processes=2", "train.py"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    # Gloo says there too, in some versions of torch, that it is connected.
    assert "ready\n" in iter(process.stdout.readline, ""), process.communicate()[1]

    process.send_signal(signal.SIGTERM)

    _, errors = process.communicate(timeout=LIMIT)  # so torchrun did not have to kill anyone
    assert process.returncode == 143, errors
    saved = [path.name for path in base.glob("checkpoints/step-*/rank-*")]
    assert sorted(set(saved)) == ["rank-0", "rank-1"]
    assert not (base / "output" / "failure").exists()
