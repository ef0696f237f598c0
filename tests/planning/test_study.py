"""The table: its figures, its intervals, and the command that prints it."""

import json

import numpy as np
import pytest

from scripts.study import main
from workflows.errors import RelayError
from workflows.planning.histories import History
from workflows.planning.study.studies import OPTIMUM, Question, study
from workflows.planning.synthetic import CLIMATES, generated

SMALL = Question(work=6, deadlines=(8.0, 12.0), changeovers=(0.2,))


@pytest.fixture(scope="module")
def cells():
    histories = generated(CLIMATES["usual"], pools=["a", "b"], hours=100, rng=np.random.default_rng(4))
    return study(histories, SMALL, starts=6, workers=1)


def cell(cells, rule, deadline=12.0):
    return next(each for each in cells if (each.rule, each.deadline) == (rule, deadline))


def test_every_rule_costs_at_least_the_optimum_and_its_interval_holds_it(cells):
    assert cells
    for each in cells:
        assert each.starts == 12
        assert each.low <= each.ratio <= each.high
        if each.rule not in (OPTIMUM, "spot only"):
            assert each.missed == 0
            assert each.ratio >= 1 - 1e-9


def test_the_optimum_is_told_against_on_demand(cells):
    assert 0.3 <= cell(cells, OPTIMUM).ratio <= 1


def test_a_small_budget_costs_more_than_none(cells):
    assert cell(cells, "budget 1").ratio > cell(cells, "greedy").ratio


def test_the_number_of_workers_changes_nothing(cells):
    histories = generated(CLIMATES["usual"], pools=["a", "b"], hours=100, rng=np.random.default_rng(4))

    assert study(histories, SMALL, starts=6, workers=2) == cells


def test_histories_that_are_too_short_are_refused():
    short = History("zone", np.ones(10, dtype=np.int64), 60)

    with pytest.raises(RelayError, match="no history is as long as the longest deadline"):
        study([short], SMALL, workers=1)


def test_a_deadline_without_room_for_the_work_is_refused():
    with pytest.raises(RelayError, match="found 6 h"):
        Question(work=6, deadlines=(6.0, 12.0), changeovers=(0.2,))


SAID = ["--work", "2", "--deadlines", "3", "--changeovers", "0.1", "--starts", "2"]


def test_the_command_prints_the_table_and_the_document(tmp_path, capsys):
    data = [1, 1, 0, 1] * 40
    (tmp_path / "zone.json").write_text(json.dumps({"metadata": {"gap_seconds": 300}, "data": data}))

    assert main(["--traces", str(tmp_path), *SAID]) == 0
    assert "uniform progress" in capsys.readouterr().out
    assert main(["--traces", str(tmp_path), *SAID, "--json"]) == 0
    document = json.loads(capsys.readouterr().out)

    assert document["histories"] == [{"name": "zone", "hours": 160 * 300 / 3600, "available": 0.75}]
    assert {each["rule"] for each in document["cells"]} >= {"greedy", "budget 3", OPTIMUM}


def test_the_command_needs_no_data(capsys):
    assert main(["--work", "1", "--deadlines", "2", "--changeovers", "0.1", "--starts", "1"]) == 0
    assert "greedy" in capsys.readouterr().out


def test_the_command_says_what_is_wrong_with_a_folder(tmp_path, capsys):
    assert main(["--traces", str(tmp_path / "none")]) == 2
    assert "no such folder of histories" in capsys.readouterr().err
