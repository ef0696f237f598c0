"""A plan: many runs of the compiled machine in virtual time, and what is made of them."""

import json
import re
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest

from tests.machine.pipelines import SITE, definition, pipeline
from workflows.errors import RelayError
from workflows.jobs.watch_pattern import watch_pattern
from workflows.planning import questions as ask
from workflows.planning.advice import advise, best
from workflows.planning.answers import make_plan
from workflows.planning.assumptions import Said, assume
from workflows.planning.histories import History
from workflows.planning.outlook import from_histories, synthetic
from workflows.planning.page import as_html
from workflows.planning.plan import Simulation, Summary, summary, wilson
from workflows.planning.virtual_runs import Figures, Planner, Scene, Variant
from workflows.state_machine.watch import compile_watch

HOUR = 3600
TRAIN = {"name": "train", "script": "train.py", "expected": "6h", "limit": "2d", "changeover": "6m"}


def scene(found, outlook=None, seed=3, said=None):
    work = assume(found, said or Said())
    return work, Scene(
        definition(found),
        compile_watch("demo", SITE),
        watch_pattern("demo"),
        SITE.bucket,
        work.models,
        work.launch,
        outlook or synthetic("usual", ask.spot_types(found), seed),
        ask.spot_types(found),
        3 * 24 * HOUR,
        seed,
    )


def steady(up, kind="ml.m5.xlarge"):
    """A zone whose capacity is as told, hour by hour."""
    return from_histories([History("us-east-1a", np.array(up), float(HOUR), kind)], (kind,), "told")


ALWAYS, NEVER = [1] * 24, [0] * 24


# ------------------------------------------------------------------------------------------------ one run
def test_an_undisturbed_run_costs_its_work_and_one_changeover():
    found = pipeline(TRAIN)
    _, stage = scene(found, steady(ALWAYS))

    run = Planner(stage).run(Variant("as written"), 0)

    assert run.done
    # 2 of the 6 minutes of the changeover pass before there is an instance to pay.
    assert run.seconds == pytest.approx(6 * HOUR + 360, abs=30)
    assert run.phases["spot"] == pytest.approx(6 * HOUR, abs=30)
    assert run.usd == pytest.approx((6 * HOUR + 240) / HOUR * 0.23 * 0.35, rel=0.01)
    assert (run.attempts, run.interruptions, run.redone) == (1, 0, 0)


def test_a_run_without_spot_capacity_waits_and_then_goes_on_demand():
    found = pipeline(TRAIN, spot={"patience": "30m", "retry_budget": 2})
    _, stage = scene(found, steady(NEVER))

    run = Planner(stage).run(Variant("as written"), 0)

    assert run.done
    assert run.on_demand_attempts == 1
    assert run.phases["waiting"] >= 2 * 25 * 60
    assert run.phases["spot"] == 0


def test_lost_work_is_what_was_done_since_the_last_save():
    found = pipeline(TRAIN, checkpoint={"shortest": "30m", "longest": "30m"}, spot={"patience": "3h"})
    _, stage = scene(found, steady([1, 1, 0, 1, 1, 1, 1, 1, 1, 1, 1, 1]))

    run = Planner(stage).run(Variant("as written"), 0)

    assert run.interruptions > 0
    assert 0 < run.redone < 1800 * run.interruptions


def test_a_faster_type_does_the_work_sooner():
    found = pipeline(TRAIN)
    _, slow = scene(found, steady(ALWAYS))
    _, fast = scene(found, steady(ALWAYS), said=Said(speeds={"ml.m5.xlarge": 2.0}))

    assert Planner(fast).run(Variant(""), 0).phases["spot"] == pytest.approx(
        Planner(slow).run(Variant(""), 0).phases["spot"] / 2, rel=0.01
    )


def test_a_deadline_that_cannot_be_met_is_said_before_anything_is_planned():
    found = pipeline(TRAIN)
    work, stage = scene(found)

    with pytest.raises(RelayError, match=r"would be refused at its start: .*not even on on-demand"):
        make_plan(found, stage, work, {"deadline": "5h"}, runs=10, workers=1)


# --------------------------------------------------------------------------------------------- many runs
@pytest.fixture(scope="module")
def planned():
    found = pipeline(TRAIN, spot={"ladder": ["ml.m5.xlarge", "ml.m5.2xlarge"], "retry_budget": 1})
    work, stage = scene(found)
    return make_plan(found, stage, work, {"deadline": "14h"}, runs=12, spot_share=0.35, workers=1)


def test_the_number_of_workers_changes_nothing():
    found = pipeline(TRAIN)
    _, stage = scene(found)
    asked = [(Variant("a"), 10), (Variant("b", ask.said_of_spot(found, {"retry_budget": 1})), 10)]

    with Simulation(stage, workers=1) as alone, Simulation(stage, workers=2) as together:
        assert alone.run(asked) == together.run(asked)


def test_another_seed_gives_other_runs():
    found = pipeline(TRAIN)
    first, second = (Planner(scene(found, seed=seed)[1]).run(Variant(""), 0) for seed in (1, 2))

    assert first != second


def test_no_run_is_late_that_on_demand_alone_would_have_finished(planned):
    assert planned.on_demand.hours_mean < 14
    for each in (planned.as_written, planned.recommended, *planned.sensitivity["deadline"]):
        assert (each.late, each.finished) == (0, 1), each.name


def test_a_plan_says_what_it_would_cost_without_spot_and_with_other_settings(planned):
    assert planned.on_demand.usd_mean > planned.recommended.usd_mean
    assert [each.name for each in planned.sensitivity["retry budget"]] == [f"budget {n}" for n in ask.BUDGETS]
    assert planned.advice.suitable
    assert planned.recommended.name == ask.RECOMMENDED
    assert planned.advice.run_input["spot"]["train"]["retry_budget"] > 1
    assert planned.advice.run_input["deadline"] == "14h"
    assert planned.recommended.usd_mean < planned.as_written.usd_mean


def test_rules_are_compared_on_the_same_capacity(planned):
    rows = {(row.rule, row.where): row for row in planned.comparison}

    assert set(rows) == {
        *((f"budget {count}", "machine") for count in (1, 3, 10)),
        ("greedy", "machine"),
        ("greedy", "replayed"),
        ("uniform progress", "replayed"),
        ("optimum", "replayed"),
    }
    floor = rows["optimum", "replayed"].of_on_demand
    assert all(row.of_on_demand >= floor - 1e-9 for key, row in rows.items() if key[1] == "replayed")
    assert rows["budget 1", "machine"].of_on_demand >= rows["greedy", "machine"].of_on_demand


def test_a_stage_that_does_not_say_how_long_it_takes_is_named():
    found = pipeline({"name": "one"}, {"name": "two"})

    with pytest.raises(RelayError, match=r"missing: one, two.*--expected one=2h"):
        assume(found, Said())
    assert assume(found, Said(expected={"one": 60, "two": 60})).models["one"].seconds == pytest.approx(
        60, rel=0.05
    )
    with pytest.raises(RelayError, match="no stage that runs jobs is named three"):
        assume(found, Said(expected={"one": 60, "two": 60, "three": 1}))


# ------------------------------------------------------------------------------------------------ answers
def run(usd, seconds, status="SUCCEEDED", cause=""):
    phases = dict.fromkeys(("waiting", "launching", "loading", "spot", "on-demand", "uploading"), 0.0)
    return Figures(status, seconds, usd, 1, 0, 0, 0.0, phases, cause)


def told(name="as written", usd=10.0, late=None, finished=1.0, **more):
    base = summary(name, [run(usd, HOUR)], None)
    return replace(base, late=late, finished=finished, **more)


def test_a_summary_counts_failed_runs_as_late_and_tells_why_they_fail():
    found = summary(
        "x", [run(1, 10), run(3, 30), run(9, 5, "FAILED", "limit"), run(9, 5, "FAILED", "limit")], 20
    )

    assert (found.late, found.finished, found.cause) == (0.75, 0.5, "limit")
    assert (found.usd_p50, found.hours_p50) == (2, 20 / 3600)


def test_wilsons_interval_is_honest_about_few_runs():
    low, high = wilson(0.0, 20)

    assert low == 0
    assert 0.1 < high < 0.2


@pytest.mark.parametrize(
    ("written", "other", "taken"),
    [
        (told(), told("other", usd=9.0), True),
        (told(), told("other", usd=9.9), False),  # too little to change anything for
        (told(late=0.0), told("other", usd=1.0, late=0.5), False),
        (told(late=0.5), told("other", usd=20.0, late=0.0), True),
        (told(finished=0.5), told("other", usd=20.0), True),
        (told(late=0.5), told("other", late=0.3), True),
    ],
)
def test_what_is_recommended_is_in_time_first_and_cheap_second(written, other, taken):
    assert (best(written, [other]) is other) == taken


def test_spot_that_saves_little_is_not_worth_it():
    found = pipeline(TRAIN)
    without = told("on-demand", usd=10.5)

    assert not advise(found, {}, told(), without, told(), {}).suitable
    assert advise(found, {}, told(usd=5.0), without, told(usd=5.0), {}).suitable
    assert not advise(found, {}, told(usd=5.0, late=0.2), without, told(usd=5.0, late=0.2), {}).suitable


def test_a_pipeline_without_spot_is_planned_all_the_same():
    found = pipeline(TRAIN | {"spot": {"enabled": False}})
    work, stage = scene(found, steady(ALWAYS))

    made = make_plan(found, stage, work, {}, runs=10, workers=1)

    assert made.advice.suitable is None
    assert made.sensitivity == {}


# --------------------------------------------------------------------------------------------------- page
class Outside(HTMLParser):
    """What a page would fetch."""

    def __init__(self):
        super().__init__()
        self.found = []

    def handle_starttag(self, tag, attrs):
        named = dict(attrs)
        self.found += [named[key] for key in ("src", "href", "xlink:href") if key in named]


def test_the_page_is_whole_and_fetches_nothing(planned):
    text = as_html(planned)

    parser = Outside()
    parser.feed(text)
    assert parser.found
    assert all(each.startswith(("data:", "#")) for each in parser.found)
    assert not re.search(r"url\(\s*['\"]?https?:", text)
    assert "<script" not in text
    assert text.count("<figure>") == text.count("<svg") == 2 + len(planned.sensitivity)
    assert "spot is suitable" in text


def test_the_page_is_the_same_for_the_same_plan(planned):
    assert as_html(planned) == as_html(planned)


def test_names_cannot_break_the_page(planned):
    text = as_html(replace(planned, histories="<script>alert(1)</script>"))

    assert "<script>" not in text
    assert "&lt;script&gt;" in text


def test_a_summary_is_plain_json(planned):
    assert json.loads(json.dumps(planned.as_written.__dict__))["name"] == ask.AS_WRITTEN
    assert isinstance(planned.as_written, Summary)
