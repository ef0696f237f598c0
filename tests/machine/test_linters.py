"""The compiled machines pass both public ASL linters; each catches other mistakes."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.machine.pipelines import SITE, definition, pipeline
from tests.machine.test_thirty_stages import thirty_stages
from workflows.runs.rehearsal import compile_file
from workflows.state_machine.watch import compile_watch

ROOT = Path(__file__).parents[2]
VALIDATOR = Path(sys.prefix) / "node/node_modules/.bin/asl-validator"
# statelint knows no JSONata expression in Wait.Seconds, and wants floats where AWS takes integers.
FALSE_FINDINGS = re.compile(r"\.Seconds is \"\{%.*should be an Integer|\.BackoffRate is .* should be a Float")


def machines():
    yield "demo", definition(pipeline({"name": "prepare", "kind": "process"}, {"name": "train"}))
    yield "parallel", definition(pipeline({"name": "a"}, {"name": "b"}, {"name": "c", "needs": ["a", "b"]}))
    yield "thirty", definition(thirty_stages())
    yield "watch", compile_watch("demo", SITE)
    for path in sorted((ROOT / "workflows/examples").glob("*/pipeline.*")):
        yield path.parent.name, compile_file(path)[1]


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("machines")
    for name, text in machines():
        (folder / f"{name}.json").write_text(json.dumps(text, indent=2))
    return sorted(folder.iterdir())


def test_asl_validator_accepts_the_machines(files):
    if not VALIDATOR.exists():
        pytest.skip("asl-validator is not installed: ./scripts/test installs it where npm is")

    assert files
    for path in files:
        done = subprocess.run([VALIDATOR, "--json-path", path], capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stdout + done.stderr


def test_statelint_accepts_the_machines_but_for_its_known_false_findings(files):
    assert files
    for path in files:
        program = Path(sys.prefix) / "bin/statelint"
        done = subprocess.run([program, path], capture_output=True, text=True, timeout=60)
        findings = [line for line in done.stdout.splitlines()[1:] if not FALSE_FINDINGS.search(line)]
        assert not findings
        assert done.stdout or done.returncode == 0, done.stderr
