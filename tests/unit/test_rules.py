"""The rule tables say the same to the oracle in Python and in the JSONata that the machine evaluates."""

import json
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.oracle import policy
from workflows.local.step_functions.jsonata.expressions import Expressions
from workflows.local.step_functions.jsonata.json_values import prepare
from workflows.policy import decisions, outcomes, tally
from workflows.policy.outcomes import Outcome
from workflows.policy.rules import FUNCTIONS

EXPRESSIONS = Expressions(lambda: datetime(2026, 1, 1, tzinfo=UTC), 0, compile_after=None)
COMPILED = Expressions(lambda: datetime(2026, 1, 1, tzinfo=UTC), 0, compile_after=0)

ended = st.fixed_dictionaries(
    {
        "status": st.sampled_from(
            ["", "Completed", "Failed", "Stopped", "InProgress", "Stopping", "Deleting"]
        ),
        "secondary": st.sampled_from(
            ["", "MaxWaitTimeExceeded", "MaxRuntimeExceeded", "Interrupted", "Stopped", "Failed"]
        ),
        "reason": st.sampled_from(
            [
                "",
                "CapacityError: x",
                "InternalServerError: x",
                "AlgorithmError: CapacityError: x",
                "Rate exceeded",
            ]
        )
        | st.text(max_size=20),
        "error": st.sampled_from(
            ["", "States.TaskFailed", "SageMaker.ResourceLimitExceeded", "SageMaker.Other"]
        ),
        "whole": st.booleans(),
        "trained": st.booleans(),
        "watched": st.booleans(),
        "redriven": st.booleans(),
        "held": st.sampled_from(["", *(hold.value for hold in outcomes.Hold)]),
    }
)
small = st.integers(0, 12)
facts = st.fixed_dictionaries(
    {
        "outcome": st.sampled_from([outcome.value for outcome in Outcome]),
        "held": st.sampled_from(["", *(hold.value for hold in outcomes.Hold)]),
        "exit_listed": st.booleans(),
        "money": st.just("1 USD are left, and another attempt could cost 2 USD"),
        "late": st.booleans(),
        "market": st.sampled_from(["spot", "on-demand"]),
        "reported": st.booleans(),
        "progressed": st.booleans(),
        "trained": st.booleans(),
        "seen": st.integers(0, 4),
        "retry_budget": small,
        "no_progress_limit": st.integers(1, 4),
        "on_demand_enabled": st.booleans(),
        **dict.fromkeys(tally.COUNTERS, small),
    }
)


def evaluate(expression, **variables):
    prepared = {name: prepare(json.loads(json.dumps(value))) for name, value in variables.items()}
    found = EXPRESSIONS.evaluate(EXPRESSIONS.compile(expression), prepared)
    # The local world compiles the rules' text to Python, as it does every text: that must not show.
    compiled = COMPILED.compile(expression)
    assert COMPILED.evaluate(compiled, prepared) == found
    assert compiled.fast is not None
    return found


@settings(max_examples=300, deadline=None)
@given(ended)
def test_an_outcome_is_the_same_in_python_and_in_the_machine(attempt):
    rendered = evaluate(
        f"({FUNCTIONS} {outcomes.outcome_jsonata()})", f=attempt, policy=decisions.policy_data()
    )
    assert rendered == policy.classify(attempt)


@settings(max_examples=200, deadline=None)
@given(ended, facts, st.data())
def test_a_fact_that_is_missing_is_taken_alike_by_the_library_and_by_the_compiled_text(end, attempt, data):
    carried = decisions.policy_data()
    tables = ((end, outcomes.OUTCOMES, "outcomes"), (attempt, decisions.TABLE, "decisions"))
    for known, table, name in tables:
        kept = data.draw(st.sets(st.sampled_from(sorted(known)), min_size=1))
        some = {fact: value for fact, value in known.items() if fact in kept | {table.key.name}}
        evaluate(f"({FUNCTIONS} [{table.jsonata(f'$policy.{name}')}])", f=some, policy=carried)


@settings(max_examples=300, deadline=None)
@given(ended)
def test_the_mark_of_the_watch_is_looked_for_where_it_can_make_a_difference(attempt):
    marked, unmarked = (policy.classify({**attempt, "watched": watched}) for watched in (True, False))

    if marked != unmarked:
        assert policy.holds(outcomes.ASKED_TO_STOP, attempt)


@settings(max_examples=300, deadline=None)
@given(facts)
def test_a_decision_is_the_same_in_python_and_in_the_machine(attempt):
    text = f"({FUNCTIONS} {tally.tally_jsonata('$policy.counters')})"
    counted = evaluate(text, f=attempt, policy=decisions.policy_data())
    assert counted == policy.tally(attempt)

    after = {**attempt, **counted}
    decision = policy.decide(after)
    text = f"({FUNCTIONS} {decisions.decision_jsonata()})"
    rendered = evaluate(text, f=after, policy=decisions.policy_data())
    assert rendered == {
        "next": decision.next,
        "rung": decision.rung,
        "pause": decision.pause,
        "why": decision.why,
    }


@settings(max_examples=300, deadline=None)
@given(facts)
def test_no_decision_leaves_a_market_that_is_closed_or_runs_user_errors_again(attempt):
    decision = policy.decide({**attempt, **policy.tally(attempt)})

    if decision.next == "on-demand" and attempt["market"] == "spot":
        assert attempt["on_demand_enabled"]
        assert attempt["outcome"] != Outcome.USER_ERROR
    if attempt["outcome"] in {Outcome.BAD_REQUEST, Outcome.STOPPED}:
        assert decision.next == "fail"
    if attempt["outcome"] == Outcome.USER_ERROR and decision.next != "fail":
        assert attempt["exit_listed"]
        assert decision.next == attempt["market"]
    if attempt["market"] == "on-demand":
        assert decision.next != "spot"


@settings(max_examples=200, deadline=None)
@given(
    table=st.lists(st.tuples(st.integers(1, 10_000), st.integers(1, 9)), max_size=5),
    left=st.floats(0, 20_000),
)
def test_the_machine_and_python_read_the_table_of_reserves_alike(table, left):
    reserves = ((0, 2), *sorted(dict(table).items()))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(decisions, "RESERVE", reserves)
        text = decisions.reserve_jsonata("$left")

        assert evaluate(text, policy=decisions.policy_data(), left=left) == decisions.reserve(left)
