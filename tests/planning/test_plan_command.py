"""`relay plan` as a user has it: no data, recorded data, mistakes."""

import json

import pytest
from typer.testing import CliRunner

from tests.planning.test_measured import attempt
from workflows.commands.cli import app
from workflows.errors import RelayError
from workflows.planning.measured import measured

PIPELINE = """\
name: small
defaults:
  image: python
  spot: {ladder: [ml.m5.xlarge], patience: 10m}
stages:
  - {name: train, script: train.py, expected: 1h, limit: 6h, changeover: 5m}
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pipeline.yaml").write_text(PIPELINE)
    (tmp_path / "train.py").write_text("print('done')\n")
    return tmp_path


def plan(*arguments):
    return CliRunner().invoke(app, ["plan", "pipeline.yaml", "--runs", "4", "--workers", "1", *arguments])


def refusal(*arguments):
    done = plan(*arguments)
    assert isinstance(done.exception, RelayError), done.exception
    assert done.exception.exit_code == 2
    return str(done.exception)


def write_history(folder, name="us-east-1a", data=(1, 1, 0, 1), **metadata):
    folder.mkdir(exist_ok=True)
    content = {"metadata": {"zone": name, "gap_seconds": 3600, **metadata}, "data": list(data)}
    (folder / f"{name}.json").write_text(json.dumps(content))


def test_it_answers_without_data_in_text_and_as_a_page(folder):
    done = plan("--deadline", "4h", "--html", "plan.html")

    assert done.exit_code == 0, done.exception
    for words in ("small: 4 runs on generated histories", "on-demand", "If the retry budget", "`expected`"):
        assert words in done.stdout
    assert "<svg" in (folder / "plan.html").read_text()


def test_one_json_document_with_the_same_figures_for_the_same_seed(folder):
    first, again, other = (json.loads(plan("--json", "--seed", seed).stdout) for seed in "112")

    assert first == again
    assert first != other
    assert first["as_written"]["runs"] == 4
    assert first["on_demand"]["usd_mean"] > 0


def test_recorded_capacity_is_used_as_it_is_told(folder):
    write_history(folder / "traces", data=[0, 0, 0, 0])

    never = json.loads(plan("--json", "--traces", "traces").stdout)
    turned = json.loads(plan("--json", "--traces", "traces", "--polarity", "preempted").stdout)

    assert never["availability"] == {"ml.m5.xlarge": 0}
    assert never["as_written"]["on_demand_attempts"] == 1
    assert turned["availability"] == {"ml.m5.xlarge": 1}
    assert turned["as_written"]["on_demand_attempts"] == 0


def test_a_zone_or_a_region_can_be_chosen(folder):
    write_history(folder / "traces", data=[0, 0])
    write_history(folder / "traces", name="us-west-2a", data=[1, 1])

    document = json.loads(plan("--json", "--traces", "traces", "--zone", "us-west-2").stdout)

    assert document["availability"] == {"ml.m5.xlarge": 1}


def test_what_is_said_of_the_work_is_what_is_planned(folder):
    document = json.loads(
        plan(
            "--json",
            "--expected",
            "train=2h",
            "--stall",
            "5s",
            "--save-every",
            "10m",
            "--speed",
            "ml.m5.xlarge=2",
        ).stdout
    )

    assert document["on_demand"]["hours_mean"] == pytest.approx(1 + 5 / 60, abs=0.03)
    told = {(each["what"], each["source"]): each["value"] for each in document["assumptions"]}
    assert told["work", "--expected"] == "2h"
    assert told["stall of a save", "--stall"] == "5s"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--expected", "train"], "--expected: found 'train', expected NAME=VALUE"),
        (["--expected", "train=soon"], "--expected train: found 'soon', expected a duration"),
        (["--expected", "trian=1h"], "no stage that runs jobs is named trian"),
        (["--speed", "ml.m5.xlarge=fast"], "found 'fast', expected a number above 0"),
        (["--stall", "0s"], "--stall: found '0s', expected more than nothing"),
        (
            ["--climate", "usuall"],
            "unknown climate `usuall`; allowed: plentiful, usual, scarce; did you mean",
        ),
        (["--polarity", "available"], "--zone and --polarity go with --traces"),
        (["--traces", "nowhere"], "nowhere: no such folder of histories"),
        (["--deadline", "30m"], "would be refused at its start: the deadline cannot be met"),
        (["--deadline", "soon"], "deadline: found soon"),
        (["--input", '{"spot": {"tran": {}}}'], "unknown field `tran`"),
        (["--html", "missing/plan.html"], "missing/plan.html: cannot be written"),
    ],
)
def test_a_mistake_is_one_clear_message(folder, arguments, words):
    assert words in refusal(*arguments)


def test_a_zone_that_is_not_there_is_told_with_those_that_are(folder):
    write_history(folder / "traces")

    assert "unknown zone `eu-west-1`; allowed: us-east-1a" in refusal(
        "--traces", "traces", "--zone", "eu-west-1"
    )


def test_what_past_runs_took_is_taken_when_asked_for(folder, monkeypatch):
    past = measured([attempt(1, "ml.m5.xlarge", 7200, (0, 100))])
    monkeypatch.setattr("workflows.commands.plan._measured", lambda pipeline, target: past)

    document = json.loads(plan("--json", "--measured").stdout)

    told = {(each["what"], each["source"]): each["value"] for each in document["assumptions"]}
    assert told["work", "measured in 1 attempts"] == "2h"
