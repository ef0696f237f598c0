"""The published figures on recorded histories, where there are any: `RELAY_TRACES`, or `shared/traces` beside
this checkout.

Published for the same work (48 h, a changeover of 0.2 h): greedy 1.226 and Uniform Progress 1.154 of the
optimum at 52 h; budgets of interruptions are worse, and better the larger they are.
"""

import os
from pathlib import Path

import pytest

from workflows.planning.histories import read_folder
from workflows.planning.study.studies import OPTIMUM, Question, study

BESIDE = Path(__file__).parents[3] / "shared" / "traces"
TRACES = Path(os.environ.get("RELAY_TRACES", BESIDE)) / "aws-v100-2023"


@pytest.mark.skipif(not TRACES.is_dir(), reason=f"no recorded histories in {TRACES}")
def test_the_order_of_the_rules_is_the_published_one():
    cells = study(read_folder(TRACES), Question(deadlines=(52.0, 92.0), changeovers=(0.2,)), starts=4)

    at = {(each.rule, each.deadline): each for each in cells}
    for deadline in (52.0, 92.0):
        ratios = [at[rule, deadline].ratio for rule in ("greedy", "budget 10", "budget 3", "budget 1")]
        assert ratios == sorted(ratios)
    assert at["uniform progress", 52.0].ratio < at["greedy", 52.0].ratio
    assert 1.1 < at["greedy", 52.0].ratio < 1.45
    assert at[OPTIMUM, 92.0].ratio < at[OPTIMUM, 52.0].ratio < 0.8
    assert all(each.missed == 0 for each in cells if each.rule != "spot only")
