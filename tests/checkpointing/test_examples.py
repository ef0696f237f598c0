"""Each example is killed, stopped, and ends with the model of its undisturbed run."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import multiprocessing.context
import signal
from pathlib import Path

import pytest

from scripts.drills import children

pytestmark = pytest.mark.processes
EXAMPLES = Path(__file__).parents[2] / "workflows" / "examples"
# name -> steps, seconds between saves (a framework's own save takes 0.1 s), and what it needs
NEEDS = {
    "sklearn": (1000, 0.03, ["sklearn"]),
    "xgboost": (60, 0.03, ["xgboost", "sklearn"]),
    "pytorch": (400, 0.03, ["torch", "sklearn"]),
    "huggingface": (200, 0.1, ["torch", "transformers", "accelerate"]),
    "lightning": (800, 0.1, ["torch", "lightning", "sklearn"]),
}


class Example:
    """One example in a folder of its own."""

    def __init__(self, context: multiprocessing.context.ForkServerContext, name: str, base: Path) -> None:
        self.context, self.name, self.base = context, name, base
        base.mkdir()

    def start(self, end: tuple[int, int] | None = None) -> multiprocessing.context.ForkServerProcess:
        environment = {
            "SAGEMAKER_BASE_DIR": str(self.base),
            "SM_MODEL_DIR": str(self.base / "model"),
            "SM_OUTPUT_DATA_DIR": str(self.base / "output"),
            "RELAY_CHECKPOINT_SHORTEST": "0",
            "RELAY_CHECKPOINT_LONGEST": str(NEEDS[self.name][1]),
            "OMP_NUM_THREADS": "1",
        }
        script = str(EXAMPLES / self.name / "train.py")
        steps = ["--steps", str(NEEDS[self.name][0])]
        process = self.context.Process(
            target=children.run, args=(script, steps, environment, str(self.base / "log"), end)
        )
        process.start()
        return process

    def end(self, number: int) -> int | None:
        """Lets it make two more checkpoints; the signal comes inside the third; returns the exit code."""
        process = self.start((number, 3))
        process.join(90)
        return process.exitcode

    def finish(self) -> str:
        """Lets it run to its end; returns the digest of its model."""
        process = self.start()
        process.join(90)
        assert process.exitcode == 0, self.log()
        hashed = hashlib.sha256()
        for path in sorted((self.base / "model").iterdir()):
            hashed.update(path.name.encode() + path.read_bytes())
        return hashed.hexdigest()

    def read(self, name: str) -> str:
        return (self.base / "checkpoints" / name).read_text()

    def log(self) -> str:
        return (self.base / "log").read_text()


@pytest.mark.parametrize("name", NEEDS)
def test_the_model_after_a_kill_and_a_stop_is_the_undisturbed_one(
    name: str, forks: multiprocessing.context.ForkServerContext, tmp_path: Path
) -> None:
    for package in NEEDS[name][2]:
        if importlib.util.find_spec(package) is None:
            pytest.skip(f"{package} is not installed")
    undisturbed = Example(forks, name, tmp_path / "undisturbed").finish()
    example = Example(forks, name, tmp_path / "disturbed")

    killed = example.end(signal.SIGKILL)
    stopped = example.end(signal.SIGTERM)
    said = example.log()
    model = example.finish()

    assert killed == -signal.SIGKILL
    assert stopped == 143, said
    assert "Resum" in said
    done = json.loads(example.read("complete.json"))
    assert done["interruptions"] == 2
    assert done["resumed_step"] > 0
    assert model == undisturbed
