"""The text of compiled machines, kept as files, so that each change of the machine is reviewed as text.

    RELAY_GOLDEN=1 python -m pytest tests/machine/test_goldens.py      writes them anew

Code and images have fixed places here: what the examples' own are follows from the files on this computer.
"""

import json
import os
from pathlib import Path

import pytest

from tests.machine.pipelines import SITE, definition, pipeline
from workflows.jobs.watch_pattern import watch_pattern
from workflows.specification.loading import load
from workflows.state_machine.watch import compile_watch

GOLDEN = Path(__file__).with_name("golden")
EXAMPLES = Path(__file__).parents[2] / "workflows/examples"


def demo():
    return definition(
        pipeline({"name": "prepare", "kind": "process", "outputs": ["data"]}, {"name": "train"})
    )


def watch():
    return {"pattern": watch_pattern("demo"), "machine": compile_watch("demo", SITE)}


def digits():
    return definition(load(EXAMPLES / "digits/pipeline.yaml"))


def graph():
    return definition(load(EXAMPLES / "graph/pipeline.yaml"))


@pytest.mark.parametrize("machine", [demo, watch, digits, graph])
def test_the_machine_is_the_golden_one(machine):
    golden = GOLDEN / f"{machine.__name__}.json"
    text = json.dumps(machine(), indent=1, ensure_ascii=False) + "\n"

    if os.environ.get("RELAY_GOLDEN"):
        golden.write_text(text)
    assert golden.read_text() == text
