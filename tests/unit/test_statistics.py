"""What past attempts teach, from rows as the table gives them."""

import io
from datetime import UTC, datetime, timedelta

import pytest
from rich.console import Console

from workflows.ledger.attempts import Attempt, AttemptError, attempt_of_item, read, read_all
from workflows.ledger.statistics import statistics
from workflows.ledger.statistics_text import as_text
from workflows.policy.prices import PriceBook

PRICES = PriceBook(date="2026-01-01", region="x", spot_share=0.5, on_demand={"ml.g5.2xlarge": 2.4})
START = datetime(2026, 11, 25, 22, 0, tzinfo=UTC)


def attempt(number=1, *, run="20261125T220000-a", stage="train", begins=0, lasts=3600, **more):
    """An attempt that begins and lasts so many seconds, 600 of them without instances."""
    created = START + timedelta(seconds=begins)
    known = {
        "attempt_id": f"{run}/{stage}/0-{number}",
        "run": "a",
        "stage": stage,
        "job": f"demo-{stage}-0-{number}",
        "attempt": number,
        "market": "spot",
        "instance_type": "ml.g5.2xlarge",
        "instance_count": 1,
        "outcome": "interrupted",
        "decision": "spot",
        "why": "",
        "created": created,
        "ended": created + timedelta(seconds=lasts),
        "queued_seconds": 600.0,
        "trained_seconds": float(lasts - 600),
        "interruptions": 1,
        "usd": 1.0,
        "on_demand_usd": 2.0,
    }
    return Attempt(**(known | more))


def item(**more):
    texts = dict.fromkeys(
        ("run", "stage", "job", "market", "instance_type", "outcome", "decision", "why"), "x"
    )
    found = {name: {"S": value} for name, value in texts.items()}
    found |= {"attempt_id": {"S": "r/train/0-1"}, "pipeline": {"S": "demo"}}
    found |= {name: {"S": "2026-11-25T22:00:00Z"} for name in ("created", "ended")}
    numbers = ("instance_count", "queued_seconds", "trained_seconds", "interruptions")
    return found | {name: {"N": "2"} for name in numbers} | more


# ----------------------------------------------------------------------------------------------- reading
def test_pages_are_read_to_the_last_and_narrowed_to_a_run():
    asked = []

    def query(**request):
        asked.append(dict(request))
        more = {} if "ExclusiveStartKey" in request else {"LastEvaluatedKey": {"pipeline": {"S": "demo"}}}
        return {"Items": [item()], **more}

    rows = list(read(query, "table", "demo", "20261125T220000-a"))

    assert len(rows) == 2
    assert rows[0].instance_count == 2
    assert rows[0].created == START
    assert asked[0]["KeyConditionExpression"] == "pipeline = :pipeline AND begins_with(attempt_id, :run)"
    assert asked[0]["ExpressionAttributeValues"][":run"] == {"S": "20261125T220000-a/"}
    assert "ExclusiveStartKey" in asked[1]


def test_what_is_not_known_is_none_and_attributes_of_later_versions_are_passed_over():
    (row,) = read_all(lambda **request: {"Items": [item(colour={"S": "green"})]}, "table")

    assert (row.usd, row.billed_seconds, row.trial) == (None, None, None)


@pytest.mark.parametrize("broken", [{"created": {"S": "yesterday"}}, {"interruptions": {"S": "two"}}])
def test_an_item_that_no_machine_wrote_is_named(broken):
    with pytest.raises(AttemptError, match="r/train/0-1"):
        attempt_of_item(item(**broken))


# -------------------------------------------------------------------------------------------- what it says
def test_interruptions_are_counted_by_the_hours_in_which_spot_jobs_held_instances():
    rows = [
        attempt(1, lasts=4200, interruptions=3),
        attempt(2, begins=4200, lasts=4200, interruptions=0),
        attempt(3, begins=9000, lasts=600, interruptions=0, trained_seconds=0.0),
        attempt(4, begins=9600, market="on-demand", interruptions=0),
    ]

    (spot,) = statistics(rows, PRICES).by_type

    assert (spot.attempts, spot.without_capacity) == (3, 1)
    assert spot.rate.spot_hours == 2
    assert spot.rate.per_hour == 1.5
    assert (spot.queued.count, spot.queued.median, spot.queued.p95) == (3, 600, 600)


def test_an_attempt_across_midnight_counts_for_the_hours_of_its_life():
    # given two hours from 22:30, of which 6,600 s with instances
    (row,) = [attempt(begins=1800, lasts=7200, trained_seconds=6600.0, interruptions=4)]

    hours = dict(statistics([row], PRICES).by_hour)

    assert {hour: rate.interruptions for hour, rate in hours.items()} == {22: 1, 23: 2, 0: 1}
    assert sum(rate.spot_hours for rate in hours.values()) == pytest.approx(6600 / 3600)


def test_a_changeover_is_the_pause_the_launch_and_the_work_redone():
    rows = [
        attempt(1, reached_step=100, saved_step=80),
        # what never got an instance lies between the two
        attempt(2, begins=3700, lasts=300, trained_seconds=0.0, resumed_step=80, reached_step=80),
        attempt(3, begins=4000, lasts=1600, resumed_step=80, reached_step=180, outcome="completed"),
        attempt(1, stage="other", begins=9000),
    ]

    spread = statistics(rows, PRICES).changeover

    # 400 s until the third was made, its 600 s without instances, 20 of its 100 steps of 10 s
    assert (spread.count, spread.median) == (1, 400 + 600 + 20 * 10)


def test_speed_is_by_stage_and_place():
    rows = [
        attempt(1, reached_step=1000),
        attempt(2, begins=4000, resumed_step=1000, reached_step=2500),
        attempt(1, stage="other", instance_type="ml.g4dn.xlarge", reached_step=300),
    ]

    speeds = {(each.stage, each.instance_type): each for each in statistics(rows, PRICES).speeds}

    assert speeds["train", "ml.g5.2xlarge"].steps_per_second == 2500 / 6000
    assert speeds["train", "ml.g5.2xlarge"].attempts == 2
    assert speeds["other", "ml.g4dn.xlarge"].steps_per_second == 0.1


def test_money_is_a_sum_and_unknown_with_one_unknown_price():
    kept = {"reached_step": 100, "saved_step": 100}
    two = [attempt(1, **kept), attempt(2, begins=5000, resumed_step=100, reached_step=200, saved_step=200)]

    assert statistics(two, PRICES).saved_usd == 2  # twice 3000 s at $2.40 an hour, for $1 each
    assert statistics([two[0], attempt(2, usd=None)], PRICES).saved_usd is None
    assert statistics([two[0], attempt(2, instance_type="ml.new")], PRICES).saved_usd is None


def test_work_that_the_next_attempt_had_to_do_again_is_not_counted_as_kept():
    # given an attempt that believed to have saved step 90, of which 60 was the last that was whole
    lost = attempt(1, reached_step=100, saved_step=90)
    done = {"outcome": "completed", "decision": "done", "interruptions": 0}
    last = attempt(2, begins=5000, resumed_step=60, reached_step=200, saved_step=200, **done)
    # then
    assert statistics([lost, last], PRICES).on_demand_usd == pytest.approx(2.0 * 0.6 + 2.0)


def test_the_same_stage_of_two_runs_is_two_places():
    done = {"outcome": "completed", "decision": "done"}
    rows = [
        attempt(1, **done),
        attempt(1, run="20261126T220000-a", **done),
        attempt(2, run="20261126T220000-a"),
    ]

    found = statistics(rows, PRICES)

    assert (found.runs, found.places, found.completed, found.attempts) == (2, 2, 2, 3)


# ---------------------------------------------------------------------------------------------- the text
def shown(rows):
    console = Console(width=80, record=True, file=io.StringIO(), highlight=False)
    console.print(as_text(statistics(rows, PRICES)))
    return console.export_text()


def test_numbers_stand_beside_their_counts_and_few_are_called_few():
    kept = {"reached_step": 100, "saved_step": 100}
    again = attempt(2, begins=5000, resumed_step=100, reached_step=200, saved_step=200)
    text = shown([attempt(1, **kept), again])

    assert "2 attempts in 1 run: 2 interrupted" in text
    assert "fewer than 10 attempts: what follows is an anecdote, not a rate" in text
    assert "saved 50 %" in text
    assert "95 % within" not in text


def test_rates_are_numbers_as_people_write_them():
    often = shown([attempt(1, lasts=608)])  # one in eight seconds
    seldom = shown([attempt(1, lasts=600 + 20 * 3600)])

    assert "450" in often
    assert "0.05" in seldom
    assert "e+" not in often + seldom


def test_many_have_their_95_percent_and_the_text_fits_80_columns():
    rows = [attempt(number, begins=4000 * number, interruptions=number % 2) for number in range(1, 41)]

    text = shown(rows)

    assert "fewer than" not in text
    assert "95 % within 10 min" in " ".join(text.split())
    assert max(map(len, text.splitlines())) <= 80
