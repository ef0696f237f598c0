"""`relay start FILE` tells a file that is not what is deployed, and keeps still about one that is."""

import json
import shutil
from pathlib import Path

import pytest

from stacks.compiled import compile_for
from stacks.settings import Settings
from workflows.commands.start import _tell_differences
from workflows.runs.deployed import differing_states, site_of
from workflows.runs.rehearsal import compile_loaded
from workflows.specification.loading import load

EXAMPLE = Path(__file__).parents[2] / "workflows/examples/digits"
KEY = "arn:aws:kms:eu-west-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab"


@pytest.fixture
def folder(tmp_path):
    return shutil.copytree(EXAMPLE, tmp_path / "digits")


def deployed(folder, **settings):
    """The text that a deployment with these settings gives the machine."""
    compiled = compile_for(folder / "pipeline.yaml", Settings(region="eu-west-1", **settings))
    text, _ = compiled.texts(account="123456789012", job_role="arn:aws:iam::123456789012:role/job")
    return json.loads(text)


def test_what_the_installation_puts_in_is_no_difference(folder):
    network = {"subnets": ["subnet-1"], "security_groups": ["sg-1"]}
    text = deployed(folder, network=network, kms_key=KEY, bucket="a-bucket-of-the-team", table="a-table")

    path = folder / "pipeline.yaml"
    ours = compile_loaded(load(path), path, site_of(text), "eu-west-1").definition

    assert differing_states(ours, text) == []


def test_a_file_that_has_changed_since_is_told_by_the_states_that_differ(folder, capsys):
    text, path = deployed(folder), folder / "pipeline.yaml"
    _tell_differences(load(path), path, text, "eu-west-1")
    assert capsys.readouterr().err == ""

    with (folder / "pretrain.py").open("a") as script:
        script.write("\n# changed\n")
    _tell_differences(load(path), path, text, "eu-west-1")

    told = " ".join(capsys.readouterr().err.split())
    assert "is not what is deployed: the states" in told
    assert "What is deployed runs; deploy again if the file is meant." in told
