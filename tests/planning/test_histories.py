"""Recorded histories: read either way round, refused with a reason, and drawn from."""

import json

import numpy as np
import pytest

from workflows.planning.histories import (
    History,
    HistoryError,
    read_folder,
    read_history,
    resampled,
    together,
    windows,
)


def write(folder, name="zone.json", data=(0, 1, 2), metadata=None, **more):
    path = folder / name
    content = {"metadata": {"gap_seconds": 60, **(metadata or {})}, "data": list(data), **more}
    path.write_text(json.dumps(content))
    return path


def test_a_file_gives_counts_at_its_tick(tmp_path):
    found = read_history(write(tmp_path, metadata={"zone": "us-east-1a", "instance_type": "ml.p3.2xlarge"}))

    assert (found.name, found.instance_type, found.tick, found.seconds) == (
        "us-east-1a",
        "ml.p3.2xlarge",
        60,
        180,
    )
    assert found.up(2).tolist() == [False, False, True]


@pytest.mark.parametrize("told", ["file", "caller"])
def test_a_history_of_preemptions_is_turned_round(tmp_path, told):
    path = write(tmp_path, data=[0, 1, 0], metadata={"polarity": "preempted"} if told == "file" else {})

    found = read_history(path, polarity=None if told == "file" else "preempted")

    assert found.counts.tolist() == [1, 0, 1]


def test_what_the_caller_says_goes_before_the_file(tmp_path):
    path = write(tmp_path, data=[0, 1], metadata={"polarity": "preempted"})

    assert read_history(path, polarity="available").counts.tolist() == [0, 1]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "not JSON"),
        ("[]", "not a history; expected"),
        ('{"metadata": {"gap_seconds": 60}}', "not a history; expected"),
        ('{"metadata": {"gap_seconds": "soon"}, "data": [1]}', "not a history; expected"),
        ('{"metadata": {"gap_seconds": 0}, "data": [1]}', "found 0, expected seconds above 0"),
        ('{"metadata": {"gap_seconds": 60}, "data": []}', "expected a list of numbers, none below 0"),
        ('{"metadata": {"gap_seconds": 60}, "data": [1, -1]}', "expected a list of numbers, none below 0"),
        ('{"metadata": {"gap_seconds": 60}, "data": [1, NaN]}', "expected a list of numbers, none below 0"),
        ('{"metadata": {"gap_seconds": 60}, "data": ["a"]}', "data: expected a list of numbers"),
        ('{"metadata": {"gap_seconds": 60}, "data": [1], "prices": [1, 2]}', "prices: found 2, expected one"),
        (
            '{"metadata": {"gap_seconds": 60, "polarity": "up"}, "data": [1]}',
            "found 'up', allowed: available, preempted",
        ),
        (
            '{"metadata": {"gap_seconds": 60, "polarity": "preempted"}, "data": [2]}',
            "histories hold 0 and 1, found 2",
        ),
    ],
)
def test_a_file_that_is_no_history_is_refused_with_its_place(tmp_path, content, message):
    path = tmp_path / "zone.json"
    path.write_text(content)

    with pytest.raises(HistoryError, match=message) as raised:
        read_history(path)

    assert str(path) in str(raised.value)


def test_a_folder_is_read_in_the_order_of_its_names(tmp_path):
    write(tmp_path, "b.json")
    write(tmp_path, "a.json")

    assert [history.name for history in read_folder(tmp_path)] == ["a", "b"]


@pytest.mark.parametrize("name", ["missing", "empty"])
def test_a_folder_without_histories_is_refused(tmp_path, name):
    (tmp_path / "empty").mkdir()

    with pytest.raises(HistoryError, match=name):
        read_folder(tmp_path / name)


def history(counts, tick=60.0, **more):
    return History("zone", np.array(counts), tick, **more)


def test_histories_of_different_ticks_are_read_on_the_finer_one():
    fine, coarse = together([history([1, 2, 3, 4, 5], 60), history([7, 8], 120)])

    assert fine.counts.tolist() == [1, 2, 3, 4]
    assert coarse.counts.tolist() == [7, 7, 8, 8]
    assert coarse.tick == 60


def test_resampled_zones_are_cut_at_the_same_places():
    first = history(range(100), prices=np.arange(100.0))
    second = history([1000 + count for count in range(100)])

    one, two = resampled([first, second], 250 * 60, np.random.default_rng(3), block=10 * 60)

    assert len(one.counts) == 250
    assert (two.counts - one.counts == 1000).all()
    assert (one.prices == one.counts).all()
    # Nine of ten ticks are followed by the one that followed them.
    follows = (np.diff(one.counts) % 100 == 1).mean()
    assert 0.88 < follows < 0.93


def test_the_same_seed_draws_the_same_history():
    drawn = [resampled([history(range(50))], 3600, np.random.default_rng(7))[0].counts for _ in range(2)]

    assert (drawn[0] == drawn[1]).all()


def test_windows_are_different_starts_with_enough_left():
    assert list(windows(10, 8, 5, np.random.default_rng(0))) == [0, 1, 2]
    assert list(windows(7, 8, 5, np.random.default_rng(0))) == []
