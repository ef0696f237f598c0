"""The yardstick: rules replayed on histories, and the optimum under them."""

from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workflows.planning.study.optimum import optimal_cost, optimal_costs, whole_ticks
from workflows.planning.study.peers import RULES, budget, greedy, spot_only, uniform_progress
from workflows.planning.study.replay import SECONDS_PER_HOUR, Mode, Situation, Task, replay

HOUR = SECONDS_PER_HOUR


def task(work, deadline, changeover=0.0):
    return Task(work * HOUR, deadline * HOUR, changeover * HOUR)


# ------------------------------------------------------------------------------------------------- replay
def test_an_undisturbed_spot_job_pays_for_one_changeover_and_its_work():
    done = replay(greedy, [True] * 20, HOUR, task(4, 20, 0.5))

    assert done.finish == pytest.approx(4.5 * HOUR)
    assert done.cost == pytest.approx(4.5 * 0.3)
    assert (done.interruptions, done.on_demand_seconds) == (0, 0)


def test_an_interruption_costs_another_changeover_and_no_work():
    done = replay(greedy, [True, True, False, True, True, True, True], HOUR, task(3, 7, 0.5))

    assert done.interruptions == 1
    assert done.cost == pytest.approx((2 + 2) * 0.3)
    assert done.finish == pytest.approx(5 * HOUR)


def test_a_budget_goes_on_demand_when_it_is_used_up():
    up = [True, False, True, False, *[True] * 20]

    assert replay(budget(2), up, HOUR, task(5, 24)).on_demand_seconds == 3 * HOUR
    assert replay(budget(3), up, HOUR, task(5, 24)).on_demand_seconds == 0


def test_the_safety_net_goes_on_demand_in_the_last_moment():
    done = replay(greedy, [False] * 20, HOUR, task(5, 20, 0.5))

    assert done.finish == pytest.approx(18.5 * HOUR + HOUR)
    assert done.on_demand_seconds == pytest.approx(5.5 * HOUR)


def test_spot_only_misses_its_deadline():
    done = replay(spot_only, [False] * 10, HOUR, task(5, 10))

    assert (done.finish, done.cost) == (None, 0)


def test_uniform_progress_fills_the_gaps_and_comes_back_to_spot():
    up = [False] * 4 + [True] * 16

    done = replay(uniform_progress, up, HOUR, task(10, 20, 0.1))

    assert 0 < done.on_demand_seconds < 10 * HOUR
    assert done.finish is not None


histories = st.lists(st.booleans(), min_size=60, max_size=60)


@settings(deadline=None, max_examples=200)
@given(
    up=histories, changeover=st.sampled_from([0.0, 0.3, 1.0, 1.7, 2.5]), slack=st.sampled_from([0.0, 3, 20])
)
def test_no_rule_with_the_safety_net_is_late_where_on_demand_is_not(up, changeover, slack):
    asked = whole_ticks(task(20, 20 + 2 * changeover + 1 + slack, changeover), HOUR)

    for name, rule in RULES.items():
        if rule is not spot_only:
            done = replay(rule, up, HOUR, asked)
            assert done.finish is not None, name
            assert done.finish <= asked.deadline + 1e-6, name


# ------------------------------------------------------------------------------------------------ optimum
def brute_force(up, tick, asked):
    """Every way through the ticks, each a choice among three modes."""
    ticks = int(asked.deadline / tick + 1e-9)

    @cache
    def best(at, mode, to_change, left):
        if left <= 1e-6:
            return 0.0
        if at == ticks:
            return float("inf")
        if mode is Mode.SPOT and not up[at]:  # taken away: to be started again
            mode, to_change = Mode.IDLE, 0.0
        found = best(at + 1, Mode.IDLE, 0.0, left)
        for market, price in ((Mode.SPOT, asked.spot_price), (Mode.ON_DEMAND, 1.0)):
            if market is Mode.SPOT and not up[at]:
                continue
            wait = to_change if mode is market else asked.changeover
            used = min(tick, wait + left)
            worked = max(0.0, used - wait)
            after = best(at + 1, market, round(max(0.0, wait - used), 6), round(left - worked, 6))
            found = min(found, used * price / HOUR + after)
        return found

    return best(0, Mode.IDLE, 0.0, asked.work)


@settings(deadline=None, max_examples=150)
@given(
    up=st.lists(st.booleans(), min_size=9, max_size=9),
    work=st.sampled_from([1.0, 2.5, 4.0, 5.2]),
    changeover=st.sampled_from([0.0, 0.3, 1.0, 1.6]),
    spot_price=st.sampled_from([0.1, 0.3, 0.9]),
)
def test_the_optimum_is_what_trying_everything_finds(up, work, changeover, spot_price):
    asked = Task(work * HOUR, 9 * HOUR, changeover * HOUR, spot_price)

    assert optimal_cost(up, HOUR, asked) == pytest.approx(brute_force(tuple(up), HOUR, asked))


@settings(deadline=None, max_examples=60)
@given(up=histories, changeover=st.sampled_from([0.0, 0.3, 1.0, 1.7]))
def test_no_rule_is_cheaper_than_the_optimum(up, changeover):
    asked = whole_ticks(task(20, 30, changeover), HOUR)
    floor = optimal_cost(up, HOUR, asked)

    for name, rule in RULES.items():
        done = replay(rule, up, HOUR, asked)
        assert done.finish is None or done.cost >= floor - 1e-9, name


def test_one_pass_answers_for_every_start_with_the_same_end():
    up = np.random.default_rng(5).random(40) < 0.5
    asked = task(8, 0, 0.7)

    found = optimal_costs(up, HOUR, asked, [12, 20, 40])

    assert list(found) == [12, 20, 40]
    for room, cost in found.items():
        alone = optimal_cost(up[40 - room :].tolist(), HOUR, task(8, room, 0.7))
        assert cost == pytest.approx(alone)


def test_what_cannot_be_done_in_time_costs_infinitely_much():
    assert optimal_cost([True] * 5, HOUR, task(5, 5, 0.5)) == float("inf")


def test_a_rule_sees_how_much_time_is_left():
    seen = Situation(task(5, 10), HOUR, now=3 * HOUR, left=5 * HOUR)

    assert seen.room == 7 * HOUR
    assert not seen.must_run()
