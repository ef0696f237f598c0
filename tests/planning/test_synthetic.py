"""Generated histories have falling hazards, and zones that are tight together, as real ones do."""

from itertools import pairwise

import numpy as np
import pytest

from workflows.errors import RelayError
from workflows.planning.synthetic import CLIMATES, TICK, climate, generated

HOURS = 24 * 200


def drawn(name, pools=("a", "b", "c"), seed=1, **more):
    return generated(CLIMATES[name], pools=list(pools), hours=HOURS, rng=np.random.default_rng(seed), **more)


def lengths(up):
    """Ticks of each whole stretch with capacity."""
    edges = np.flatnonzero(np.diff(up.astype(int))) + 1
    stretches = [(up[first], last - first) for first, last in pairwise(edges)]
    return np.array([ticks for there, ticks in stretches if there])


@pytest.mark.parametrize(
    ("name", "least", "most"), [("plentiful", 0.75, 0.95), ("usual", 0.4, 0.7), ("scarce", 0.05, 0.3)]
)
def test_a_climate_has_its_share_of_capacity(name, least, most):
    shares = [history.up().mean() for history in drawn(name)]

    assert least < np.mean(shares) < most


def test_capacity_that_has_lasted_goes_more_rarely():
    ticks = lengths(drawn("usual")[0].up())
    young, old = round(1800 / TICK), round(4 * 3600 / TICK)

    lost_young = (ticks <= young).sum() / np.minimum(ticks, young).sum()
    lost_old = (ticks > old).sum() / np.maximum(ticks - old, 0).sum()

    assert lost_young > 4 * lost_old


def test_zones_of_a_region_are_tight_together():
    a, b, _ = (history.up().astype(float) for history in drawn("usual"))

    assert 0.15 < np.corrcoef(a, b)[0, 1] < 0.6


def test_the_same_seed_gives_the_same_history_and_another_another():
    first, again, other = drawn("usual"), drawn("usual"), drawn("usual", seed=2)

    assert (first[0].counts == again[0].counts).all()
    assert (first[0].counts != other[0].counts).any()


def test_a_pool_holds_all_the_instances_or_none():
    assert set(np.unique(drawn("usual", instances=8)[0].counts)) == {0, 8}


def test_an_unknown_climate_is_refused_with_the_nearest():
    with pytest.raises(RelayError, match="did you mean `scarce`"):
        climate("scarse")
