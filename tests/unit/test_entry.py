"""The ledger's line has one definition: what is written, read, measured and printed follows from it."""

import json
from pathlib import Path

import pytest

from workflows.ledger import entry as ledger
from workflows.ledger.colours import COLOURS
from workflows.ledger.entry import Entry, EntryError, Metric
from workflows.policy.outcomes import Outcome
from workflows.state_machine import verdict

LINE = {
    "stage": "train",
    "job": "demo--train-abc-0-2",
    "market": "spot",
    "instance_type": "ml.m5.xlarge",
    "instance_count": 2,
    "outcome": "interrupted",
    "created": "2026-11-25T20:09:27Z",
    "ended": "2026-11-25T20:19:27Z",
    "queued_seconds": 60,
    "trained_seconds": 540,
    "billed_seconds": None,
    "interruptions": 1,
    "decision": "spot",
    "why": "interruption 1 of 3",
}


def test_a_line_is_read_with_its_types_and_what_it_leaves_out_is_unknown():
    read = Entry.from_json({**LINE, "a field of a newer machine": 1})

    assert read.order == (0, 2)
    assert (read.period[1] - read.period[0]).total_seconds() == 600
    assert (read.billed_seconds, read.billed, read.usd, read.attempts) == (None, 540, None, 1)
    assert read.place == "spot 2 x ml.m5.xlarge"


@pytest.mark.parametrize(
    ("broken", "said"),
    [({"job": None}, "has no job"), ({"created": "yesterday"}, "yesterday")],
)
def test_what_is_no_line_of_the_ledger_is_refused_with_the_reason(broken, said):
    with pytest.raises(EntryError, match=said):
        Entry.from_json({**LINE, **broken})


@pytest.mark.parametrize("change", [{"surprise"}, set()])
def test_a_machine_that_would_write_another_line_is_not_compiled(change):
    defined = ledger.names_in_a_row(trial=False)
    written = defined | change if change else defined - {"queued_seconds"}

    with pytest.raises(TypeError, match="surprise" if change else "queued_seconds"):
        verdict._refuse_incomplete(written, trial=False)


def test_a_metric_of_a_field_is_named_by_it_unless_it_is_money():
    named = {
        metric: "".join(map(str.capitalize, name.split("_"))) for metric, name in ledger.measured().items()
    }

    assert named == {**dict.fromkeys(named), **{m: str(m) for m in named}, Metric.COST: "Usd"}


def test_no_line_of_a_lost_attempt_is_longer_than_its_fields_may_be():
    row = {name: LINE.get(name, 0) for name in ledger.names_in_a_row(trial=False)}

    for name, value in row.items():
        assert len(json.dumps(value)) <= ledger.columns()[name].longest, name
    assert len(json.dumps(row, separators=(",", ":"))) <= ledger.bytes_of_a_row()


def test_every_outcome_has_a_colour():
    assert set(COLOURS) == set(Outcome)


def test_an_own_error_is_named_in_the_vocabulary_and_nowhere_else_in_python():
    root = Path(ledger.__file__).parents[1]
    texts = {path: path.read_text("utf-8") for path in root.rglob("*.py")}

    assert [path.name for path, text in texts.items() if '"Relay.' in text] == ["vocabulary.py"]
