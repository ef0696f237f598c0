"""Capacity as a planned run meets it: zones pooled by region and type, drawn anew for each run."""

import numpy as np
import pytest
import simpy

from workflows.errors import RelayError
from workflows.local.capacity import Demand
from workflows.planning.histories import History
from workflows.planning.outlook import HistoryCapacity, Zone, from_histories, synthetic

G5, G4 = "ml.g5.2xlarge", "ml.g4dn.4xlarge"


def history(counts, name="us-east-1a", kind=""):
    return History(name, np.array(counts), 100.0, kind)


def test_a_zone_tells_when_its_capacity_comes_and_goes_and_begins_again_at_its_end():
    zone = Zone(history([0, 1, 1, 0]))

    assert zone.next(True, 0, 1) == 100
    assert zone.next(True, 150, 1) == 150
    assert zone.next(False, 150, 1) == 300
    assert zone.next(True, 300, 1) == 500
    assert zone.next(False, 850, 1) == 850


@pytest.mark.parametrize(("counts", "there", "gone"), [([1, 1], 50, None), ([0, 0], None, 50)])
def test_a_zone_that_never_changes(counts, there, gone):
    zone = Zone(history(counts))

    assert (zone.next(True, 50, 1), zone.next(False, 50, 1)) == (there, gone)


def test_a_zone_has_room_for_few_where_it_has_none_for_many():
    zone = Zone(history([3, 8]))

    assert (zone.next(True, 0, 3), zone.next(True, 0, 8), zone.next(True, 0, 9)) == (0, 100, None)


def test_the_moment_of_a_change_belongs_to_what_follows_it():
    zone = Zone(history([1, 0]))

    assert zone.next(False, 100 - 1e-9, 1) == 100 - 1e-9


def times(capacity, kind=G5, count=1, market="spot", until=2000):
    """When a job that is started anew after each loss gets its capacity and loses it."""
    env = simpy.Environment()
    seen = []

    def live():
        supply = capacity.supply(env, Demand("train", market, kind, count))
        while True:
            yield supply.granted()
            seen.append(("granted", env.now))
            yield supply.taken(None)
            seen.append(("taken", env.now))

    env.process(live())
    env.run(until)
    return seen


def test_a_job_takes_what_zone_has_room_first_and_stays_until_that_zone_has_none():
    zones = [Zone(history([0, 1, 1, 1, 0, 0])), Zone(history([0, 0, 1, 0, 0, 1]))]
    capacity = HistoryCapacity({G5: zones}, np.random.default_rng(0))

    assert times(capacity, until=550) == [("granted", 100), ("taken", 400), ("granted", 500)]


def test_a_job_goes_on_at_once_in_another_zone_that_has_room():
    zones = [Zone(history([1, 0, 0, 0])), Zone(history([0, 1, 1, 0]))]
    capacity = HistoryCapacity({G5: zones}, np.random.default_rng(0))

    assert times(capacity, until=250) == [("granted", 0), ("taken", 100), ("granted", 100)]


def test_what_is_still_to_come_has_not_happened_yet():
    env = simpy.Environment()
    supply = HistoryCapacity({G5: [Zone(history([1, 0]))]}, np.random.default_rng(0)).supply(
        env, Demand("train", "spot", G5, 1)
    )

    granted, taken = supply.granted(), supply.taken(None)

    assert granted.triggered
    assert not taken.triggered
    env.run(101)
    assert taken.triggered


def test_on_demand_capacity_is_always_there():
    capacity = HistoryCapacity({G5: [Zone(history([0, 0]))]}, np.random.default_rng(0))

    assert times(capacity, market="on-demand") == [("granted", 0)]


def test_zones_go_to_their_regions_and_types_to_their_rungs():
    named = [
        history([1], "us-east-1a", "g5.2xlarge"),
        history([1], "us-east-1b", "g5.2xlarge"),
        history([1], "us-west-2a", "p3.2xlarge"),
        history([1], "us-central1-b"),
    ]

    found = from_histories(named, (G5, G4), "here")

    assert {
        region: {kind: len(zones) for kind, zones in pools.items()} for region, pools in found.regions.items()
    } == {
        "us-east-1": {G5: 2},
        "us-west-2": {"": 1},
        "us-central1": {"": 1},
    }


def test_each_number_draws_its_own_capacity_and_the_same_number_the_same():
    outlook = synthetic("usual", (G5, G4), seed=1)
    first, again, other = (
        times(outlook.draw((G5, G4), 5 * 86400, np.random.default_rng([1, number])), until=4 * 86400)
        for number in (1, 1, 2)
    )

    assert first == again
    assert first != other


def test_more_zones_have_room_more_often():
    one = from_histories([history([1, 0, 0, 1])], (G5,), "")
    two = from_histories([history([1, 0, 0, 1]), history([0, 1, 0, 1], "us-east-1b")], (G5,), "")

    assert (one.share(G5, 1), two.share(G5, 1)) == (0.5, 0.75)


def test_a_type_that_was_not_drawn_is_refused():
    capacity = HistoryCapacity({}, np.random.default_rng(0))

    with pytest.raises(RelayError, match=f"no history of {G5} was drawn"):
        capacity.supply(simpy.Environment(), Demand("train", "spot", G5, 1))
