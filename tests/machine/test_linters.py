"""The compiled machines pass the public ASL linters, AWS's own among them; each catches other mistakes."""

import json
import os
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
MODULES = Path(sys.prefix) / "node/node_modules"
VALIDATOR = MODULES / ".bin/asl-validator"
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


def told_by_aws(files):
    """What AWS's language service, the one behind the console's editor, finds; file -> findings.

    It knows the fields of each state in the query language of the machine and where states lead to; inside
    the expressions it looks for nothing.
    """
    if not (MODULES / "amazon-states-language-service").exists():
        pytest.skip("amazon-states-language-service is not installed: ./scripts/test does, where npm is")
    done = subprocess.run(
        ["node", Path(__file__).with_name("states_language.js"), *files],
        env={**os.environ, "NODE_PATH": str(MODULES)}, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return {Path(file).stem: found for file, found in json.loads(done.stdout).items()}


def test_the_language_service_of_aws_accepts_the_machines(files):
    told = told_by_aws(files)

    assert set(told) == {path.stem for path in files}
    assert {name: found for name, found in told.items() if found} == {}


def broken(change):
    machine = definition(pipeline({"name": "train"}))
    change(machine, machine["States"][machine["StartAt"]])
    assert machine["QueryLanguage"] == "JSONata"
    return machine


MISTAKES = {
    "nowhere": lambda machine, first: first.update(Next="nowhere"),
    "unknown": lambda machine, first: first.update(Assigns={}),
    "start": lambda machine, first: machine.update(StartAt="nowhere"),
    "retry": lambda machine, first: machine["States"]["train: on spot"].update(Retry={"ErrorEquals": "x"}),
}


def test_the_language_service_of_aws_sees_what_is_wrong(tmp_path):
    for name, change in MISTAKES.items():
        (tmp_path / f"{name}.json").write_text(json.dumps(broken(change), indent=2))

    told = told_by_aws(sorted(tmp_path.iterdir()))

    assert set(told) == set(MISTAKES)
    assert all(told.values()), told


def test_statelint_accepts_the_machines_but_for_its_known_false_findings(files):
    assert files
    for path in files:
        program = Path(sys.prefix) / "bin/statelint"
        done = subprocess.run([program, path], capture_output=True, text=True, timeout=60)
        findings = [line for line in done.stdout.splitlines()[1:] if not FALSE_FINDINGS.search(line)]
        assert not findings
        assert done.stdout or done.returncode == 0, done.stderr
