"""The figures of the local world: those that must not move are held, the others only have to be there."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.processes
def test_the_bench_of_the_local_world_counts_the_transitions_from_the_history():
    command = [sys.executable, "-m", "scripts.bench", "local", "--json"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)

    figures = json.loads(done.stdout)
    assert figures["transitions_of_a_lost_attempt"] == 8
    assert figures["transitions_of_the_last_attempt"] == 6
    assert figures["attempts"] == 3
    assert figures["seconds_from_end_to_next_create_beyond_back_off"] >= 0
    assert figures["memory_mib"] > 0


@pytest.mark.processes
def test_runs_at_once_in_one_world_all_finish_with_their_own_results(tmp_path):
    code = (
        "import json, pathlib, sys; from scripts.benches.load import _run; "
        "print(json.dumps(_run(pathlib.Path(sys.argv[1]), 4)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, tmp_path], cwd=ROOT, capture_output=True, text=True, timeout=300
    )

    figures = json.loads(done.stdout)  # a run with another's results ends the bench without any
    assert figures["finished"] == figures["runs"] == 4
    assert figures["interrupted"] == 4
    assert figures["memory_mib_at_most"] >= figures["memory_mib_of_the_empty_world"] > 0
