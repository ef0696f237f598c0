"""The receipt's page: its figures are the receipt's, its bars are where the ledger's times put them."""

import re
from html.parser import HTMLParser

import pytest

from tests.machine.pipelines import Run, pipeline, watch
from workflows.ledger.colours import COLOURS
from workflows.ledger.pages.render import FOLDER
from workflows.ledger.receipt import all_lines, totals
from workflows.ledger.receipt_page import _on_instances, _Scale, as_html
from workflows.ledger.receipt_text import money
from workflows.local.sagemaker.work_model import WorkModel
from workflows.policy.outcomes import Outcome
from workflows.policy.prices import load_prices

PRICES = load_prices()
SCENARIO = {
    "spot": {
        "pretrain": [{"interrupt": "40%"}, {"interrupt": "70%"}],
        "finetune": ["none"] * 5,
        "tune": [{"interrupt": "50%"}],
    }
}


@pytest.fixture(scope="module")
def view():
    found = pipeline(
        {"name": "pretrain"},
        {"name": "finetune", "needs": ["pretrain"]},
        {
            "name": "tune",
            "kind": "sweep",
            "needs": ["pretrain"],
            "grid": {"rate": [0.1, 0.2]},
            "best": {"metric": "accuracy"},
        },
    )
    work = WorkModel(seconds=900, metrics={"accuracy": lambda given: float(given["rate"])})
    return Run(found, scenario=SCENARIO, models={"tune": work}, watch=watch()).view


class Page(HTMLParser):
    """The texts of a page, and what it would fetch."""

    def __init__(self, text):
        super().__init__()
        self.texts, self.fetched, self.tags = [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        named = dict(attrs)
        self.tags.append((tag, named))
        self.fetched += [named[key] for key in ("src", "href") if key in named]

    def handle_data(self, data):
        self.texts.append(data.strip())


def test_the_page_has_every_attempt_and_the_sums_of_the_receipt(view):
    found = Page(as_html(view, PRICES, {"pretrain": "abc123"}))

    everything = [line for stage in view.stages.values() for line in all_lines(stage, PRICES)]
    sums = totals(everything)
    for figure in (
        money(sums["cost_usd"]),
        money(sums["on_demand_cost_usd"]),
        f"{sums['saved_percent']:.1f} %",
    ):
        assert figure in found.texts
    numbers = [named for tag, named in found.tags if named.get("data-label") == "attempt"]
    assert len(numbers) == len(everything)
    assert everything
    for line in everything:
        assert line.entry.why in found.texts
    assert "model sha256 abc123" in found.texts


def test_bars_lie_where_the_ledgers_times_put_them(view):
    entries = [entry for stage in view.stages.values() for entry in stage.entries()]
    scale = _Scale(entries)

    assert min(scale.at(entry.created) for entry in entries) == 0
    assert max(scale.at(entry.ended) for entry in entries) == 100
    for entry in entries:
        first, last = _on_instances(entry, scale)
        seconds = (last - first) / 100 * scale.seconds
        assert scale.at(entry.created) <= first <= last <= scale.at(entry.ended)
        # What is drawn as running is what it trained; launch and upload are seconds.
        assert seconds == pytest.approx(entry.trained_seconds, abs=2)


def test_an_attempt_that_was_taken_away_waited_after_it_had_run(view):
    lost, never = view.stages["pretrain"].attempts[0], view.stages["finetune"].attempts[0]
    scale = _Scale([lost, never])

    assert _on_instances(lost, scale)[0] == scale.at(lost.created)
    first, last = _on_instances(never, scale)
    assert last == pytest.approx(first, abs=0.1)


def test_a_plan_stands_beside_what_it_cost(view):
    planned = {"as_written": {"usd_p50": 1.5, "usd_p95": 2.5, "hours_p50": 3.0, "hours_p95": 4.0}}

    texts = Page(as_html(view, PRICES, {}, planned)).texts

    assert "$1.50" in texts
    assert "P95 $2.50; done in 3.0 h, P95 4.0 h" in texts


def test_the_page_fetches_nothing_and_runs_nothing(view):
    text = as_html(view, PRICES, {})

    fetched = Page(text).fetched
    assert fetched
    assert all(each.startswith("data:") for each in fetched)
    assert "<script" not in text
    assert not re.search(r"url\(", text)


def test_what_a_script_wrote_cannot_break_the_page():
    found = pipeline({"name": "train"})
    from workflows.local.sagemaker.work_model import Failure

    words = Failure(exit_code=1, text='</td><script>alert("x")</script>', after=60)
    run = Run(found, models={"train": WorkModel(seconds=600, failures=(words,))})

    text = as_html(run.view, PRICES, {})

    assert run.ended["status"] == "FAILED"
    assert "<script>" not in text
    assert "&lt;script&gt;" in text


def test_a_run_without_attempts_has_a_page():
    run = Run(pipeline({"name": "train", "expected": "20m"}), run_input={"deadline": "1m"})

    assert "cannot be met" in as_html(run.view, PRICES, {})


def test_every_outcome_has_a_colour_in_the_terminal_and_a_shade_on_pages():
    style = (FOLDER / "page.css").read_text()

    assert set(COLOURS) == set(Outcome)
    for colour in set(COLOURS.values()):
        assert f".{colour} {{ color:" in style
