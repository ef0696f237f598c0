"""Files arrive in any order, cut, changed or not at all; the newest whole checkpoint is found."""

from __future__ import annotations

import itertools
import json
import logging
import random
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workflows.checkpointing import DamagedError, files, manifest
from workflows.checkpointing.host_buffer import HostBuffer
from workflows.checkpointing.manifest import HashingFile, Manifest
from workflows.checkpointing.snapshot import take
from workflows.checkpointing.store import Name, Store, newest_whole


def publish(store: Store, step: int, content: bytes = b"weights") -> Name:
    name = Name(step, store.new_time())
    with store.partial(name) as folder:
        snapshot = take({"a": lambda: np.frombuffer(content, "u1").copy()}, HostBuffer(), {})
        found = Manifest(step=step, time=name.time, files=files.write(folder, snapshot))
        manifest.write(folder, found)
        store.publish(folder, name)
    store.good.add(name)
    return name


def read(place: Path) -> Manifest:
    found = manifest.read(place)
    files.read(place, found)
    return found


def newest(folder: Path) -> Name | None:
    found = newest_whole(Store(folder), read)
    return found[0] if found else None


def test_steps_are_compared_as_numbers(tmp_path: Path) -> None:
    store = Store(tmp_path)
    publish(store, 99)
    hundred = publish(store, 100)

    assert newest(tmp_path) == hundred


def test_a_name_is_never_used_twice_even_if_the_clock_stands_still_or_goes_back(
    tmp_path: Path,
) -> None:
    store = Store(tmp_path, clock_ms=lambda: 5)
    first, second = publish(store, 1), publish(store, 1)
    after_restart = Store(tmp_path, clock_ms=lambda: 3)
    after_restart.prepare()

    assert first != second
    assert after_restart.new_time() > second.time


DAMAGES: dict[str, tuple[Callable[[Path], object], str, str]] = {
    "no manifest": (lambda p: (p / "manifest.json").unlink(), "manifest.json", "missing"),
    "empty manifest": (lambda p: (p / "manifest.json").write_bytes(b""), "manifest.json", "cut"),
    "cut file": (lambda p: truncate(p / "objects.pickle"), "objects.pickle", "cut"),
    "missing file": (lambda p: (p / "index.json").unlink(), "index.json", "missing"),
    "flipped bit": (lambda p: flip(p / "buffers-00000.bin"), "buffers-00000.bin", "SHA-256"),
    "flipped bit in the manifest": (lambda p: flip(p / "manifest.json"), "manifest.json", ""),
    "a folder for a file": (
        lambda p: folder_for(p / "index.json"),
        "index.json",
        "",
    ),
}


def folder_for(path):
    path.unlink()
    path.mkdir()


def truncate(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-1])


def flip(file: Path, bit: int = 77) -> None:
    data = bytearray(file.read_bytes())
    data[bit // 8 % len(data)] ^= 1 << bit % 8
    file.write_bytes(bytes(data))


@pytest.mark.parametrize("kind", DAMAGES)
def test_a_damaged_checkpoint_is_skipped_with_file_and_reason(
    kind: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store = Store(tmp_path)
    whole = publish(store, 1)
    damaged = publish(store, 2, b"w" * 1000)
    harm, file, reason = DAMAGES[kind]
    harm(tmp_path / str(damaged))

    with caplog.at_level(logging.WARNING):
        found = newest(tmp_path)

    assert found == whole
    assert f"{damaged}: {file}" in caplog.text
    assert reason in caplog.text


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_no_single_flipped_bit_goes_unseen(seed: int, tmp_path_factory: pytest.TempPathFactory) -> None:
    rng = random.Random(seed)
    store = Store(tmp_path_factory.mktemp("bits"))
    name = publish(store, 7, rng.randbytes(300))
    victim = rng.choice(sorted(store.place(name).iterdir()))
    flip(victim, rng.randrange(victim.stat().st_size * 8))

    with pytest.raises(DamagedError) as damage:
        read(store.place(name))

    assert damage.value.file == victim.name


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_however_much_of_it_arrived_what_is_found_is_whole(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    here, there = tmp_path_factory.mktemp("here"), tmp_path_factory.mktemp("there")
    store = Store(here)
    for step in (1, 2, 3):
        publish(store, step, bytes(200 * step))
    every = sorted(path for path in here.rglob("*") if path.is_file())
    arrived = data.draw(st.lists(st.sampled_from(every), unique=True))
    for file in arrived:
        target = there / file.relative_to(here)
        target.parent.mkdir(exist_ok=True)
        cut = data.draw(st.booleans())
        target.write_bytes(file.read_bytes()[: -1 if cut else None])

    found = newest(there)

    whole = [
        name
        for name in store.names()
        if all(
            (there / path.relative_to(here)).exists()
            and (there / path.relative_to(here)).read_bytes() == path.read_bytes()
            for path in (here / str(name)).iterdir()
        )
    ]
    assert found == (whole[0] if whole else None)


def test_a_manifest_that_points_outside_its_folder_is_damaged(tmp_path: Path) -> None:
    folder = tmp_path / "c"
    folder.mkdir()
    (tmp_path / "secret").write_bytes(b"x")
    manifest.write(folder, Manifest(step=1, time=1, files={"../secret": [1, "0"]}))

    with pytest.raises(DamagedError, match="plain file name"):
        manifest.verify(folder, manifest.read(folder))


def test_pruning_keeps_the_newest_whole_ones_and_at_least_two(tmp_path: Path) -> None:
    minutes = itertools.count(0, 60_000)
    store = Store(tmp_path, keep=1, clock_ms=lambda: next(minutes))
    names = [publish(store, step) for step in range(1, 6)]

    store.prune()

    assert store.names() == [names[4], names[3]]


def test_where_saves_follow_each_other_faster_than_uploads_one_stays_that_has_had_time_to_arrive(
    tmp_path: Path,
) -> None:
    seconds = 0
    store = Store(tmp_path, keep=2, clock_ms=lambda: seconds * 1000)
    ages = []
    for step in range(1, 400):
        seconds = step
        publish(store, step)
        store.prune()
        ages.append([step - name.step for name in store.names()])

    assert all(newest[:2] == [0, 1] for newest in ages[1:])
    assert max(map(len, ages)) == 4
    assert all(max(found) >= 60 for found in ages[60:])  # a whole one, a minute old at least
    assert max(map(max, ages)) < 120


def test_a_full_disk_keeps_two_and_waits_for_no_upload(tmp_path: Path) -> None:
    store = Store(tmp_path, keep=3)
    names = [publish(store, step) for step in range(1, 6)]

    store.prune(as_few_as_possible=True)

    assert store.names() == [names[4], names[3]]


def test_pruning_never_removes_the_last_whole_one(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    store = Store(tmp_path, keep=2)
    names = [publish(store, step) for step in range(1, 6)]
    for name in names[1:]:
        flip(tmp_path / str(name) / "buffers-00000.bin")

    store.prune()

    assert names[0] in store.names()
    assert newest(tmp_path) == names[0]


def test_what_was_never_read_does_not_count_as_kept(tmp_path: Path) -> None:
    for step in (1, 2, 3):
        publish(Store(tmp_path), step)
    later = Store(tmp_path, keep=2)
    later.prepare()
    resumed = newest_whole(later, read)
    assert resumed is not None

    later.prune()
    before = len(later.names())
    fresh = publish(later, 4)
    later.prune()

    assert before == 3
    assert later.names() == [fresh, resumed[0]]


def test_what_a_killed_process_left_unfinished_is_removed_at_the_next_start(
    tmp_path: Path,
) -> None:
    (tmp_path / "partial-step-5-1").mkdir()

    Store(tmp_path).prepare()

    assert list(tmp_path.iterdir()) == []


def test_a_failed_write_leaves_no_partial_directory(tmp_path: Path) -> None:
    store = Store(tmp_path)

    with pytest.raises(OSError, match="full"), store.partial(Name(1, 1)):
        raise OSError("full")

    assert list(tmp_path.iterdir()) == []


def test_a_file_is_hashed_while_it_is_written(tmp_path: Path) -> None:
    file = HashingFile(tmp_path / "a")
    file.write(b"hello ")
    file.write(memoryview(b"world"))

    size, digest = file.close()

    assert (tmp_path / "a").read_bytes() == b"hello world"
    assert size == 11
    assert digest == "b94d27b9934d3e08a52e52d7da7dabfac484efe37a5380ee9088f7ace2efcde9"


def test_a_newer_format_is_refused_with_its_number(tmp_path: Path) -> None:
    manifest.write(tmp_path, Manifest(step=1, time=1, format=2))

    with pytest.raises(DamagedError, match="format 2"):
        manifest.read(tmp_path)


def test_the_manifest_is_json_with_its_own_digest(tmp_path: Path) -> None:
    name = publish(Store(tmp_path), 3)

    content = json.loads((tmp_path / str(name) / "manifest.json").read_text())

    assert content["step"] == 3
    assert len(content["digest"]) == 64


def test_a_buffer_that_found_no_memory_finds_it_the_next_time() -> None:
    buffer = HostBuffer()
    with pytest.raises((OSError, OverflowError)):
        buffer.reserve(1 << 60, pinned=False)

    buffer.reserve(100, pinned=False)

    assert len(buffer.view) >= 100
