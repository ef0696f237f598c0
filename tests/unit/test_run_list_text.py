"""What `relay runs` shows of its runs, in terminals of any width."""

import io

import pytest
from rich.console import Console

from workflows.commands import options
from workflows.runs.run_list import ListedRun
from workflows.runs.run_list_text import as_text

RUN = ListedRun(
    run="digits-20261125-231307",
    pipeline="digits",
    status="SUCCEEDED",
    started="2026-11-26T02:47:59+00:00",
    ended="2026-11-26T05:20:47+00:00",
    seconds=9168.0,
    stages=None,
    stages_done=None,
    attempts=8,
    cost_usd=0.001063,
)
RUNNING = ListedRun("nightly", "digits", "RUNNING", "2026-11-27T01:00:00+00:00", None, 40.0, 3, 1, None, None)


def shown(width, *runs):
    out = io.StringIO()
    console = Console(width=width, file=out, highlight=False)
    console.print(as_text(runs, width))
    return out.getvalue()


def test_a_wide_terminal_shows_every_column():
    head, first, second = shown(120, RUN, RUNNING).splitlines()

    assert head.split("  ")[0] == "run"
    for words in ("pipeline", "started (UTC)", "stages", "attempts", "cost"):
        assert words in head
    for words in ("digits-20261125-231307", "2026-11-26 02:47", "2 h 33 min", "$0.001063"):
        assert words in first
    assert "1 of 3" in second


@pytest.mark.parametrize("width", [80, 90, 100, 120])
def test_from_80_columns_on_every_run_is_one_line_of_whole_words(width):
    lines = shown(width, RUN, RUNNING).splitlines()

    assert len(lines) == 3
    assert "…" not in "".join(lines)
    for words in ("digits-20261125-231307", "SUCCEEDED", "11-26 02:47", "2 h 33 min", "8", "$0.001063"):
        assert words in lines[1]


def test_an_id_that_is_too_long_is_folded_not_cut():
    name = "a-run-with-a-name-that-somebody-has-made-rather-long-20261125"
    text = shown(80, ListedRun(**{**vars(RUN), "run": name}))

    folded = "".join(line.partition(" ")[0] for line in text.splitlines()[1:])
    assert folded == name
    assert "…" not in text


def test_what_no_terminal_reads_is_wide(monkeypatch):
    monkeypatch.delenv("COLUMNS", raising=False)
    assert options.console().width == options.WIDE
    monkeypatch.setenv("COLUMNS", "80")
    assert options.console().width == 80
