"""The training loop, in this process and without waiting: the clock is a number."""

from __future__ import annotations

import array
import collections
import json
import logging
import os
import random
import shutil
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from workflows.checkpointing import (
    Checkpointer,
    CheckpointError,
    ConfigurationChangedError,
    RestoreError,
    Stopped,
    UnsupportedStateError,
)
from workflows.checkpointing.ranks import Alone


class Clock:
    """Seconds that pass when the test says so."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class Model:
    """An object with nothing but attributes."""

    def __init__(self) -> None:
        self.weight = 0.0
        self.history: list[float] = []


class Stateful:
    def __init__(self) -> None:
        self.count = 0

    def state_dict(self) -> dict[str, int]:
        return {"count": self.count}

    def load_state_dict(self, state: dict[str, int]) -> None:
        self.count = state["count"]


def published(base: Path) -> list[int]:
    return sorted(int(p.name.split("-")[1]) for p in (base / "checkpoints").glob("step-*"))


def read(base: Path, name: str = "progress.json") -> dict[str, Any]:
    content: dict[str, Any] = json.loads((base / "checkpoints" / name).read_text())
    return content


def train(state: dict[str, Any], until: int, total: int = 10, **arguments: Any) -> None:
    """Counts in state["n"], saves after each step, and dies before step `until`."""
    clock = Clock()
    arguments = {"shortest": 100, "longest": 100, "asynchronous": False, **arguments}
    with Checkpointer(state, clock=clock, **arguments) as checkpoints:
        for step in checkpoints.steps(total):
            if step == until:
                raise KeyboardInterrupt
            state["n"]["done"] += 1
            clock.now += 100


def test_every_kind_of_object_is_restored_in_place() -> None:
    def state() -> dict[str, Any]:
        return {
            "dict": {"a": 1},
            "list": [1, 2],
            "set": {1},
            "deque": collections.deque([1], maxlen=3),
            "bytes": bytearray(b"ab"),
            "array": array.array("d", [1.0]),
            "numpy": np.zeros((2, 3)),
            "generator": np.random.default_rng(1),
            "legacy": np.random.RandomState(1),
            "random": random.Random(1),
            "attributes": Model(),
            "stateful": Stateful(),
        }

    first = state()
    with Checkpointer(first) as checkpoints:
        for _ in checkpoints.steps(1):
            first["dict"]["b"] = [np.arange(3)]
            first["list"].append(3)
            first["set"].add(2)
            first["deque"].extend([2, 3, 4])
            first["bytes"] += b"cd"
            first["array"].append(2.0)
            first["numpy"][1] = 5
            first["attributes"].weight = 2.5
            first["attributes"].history.append(1.0)
            first["stateful"].count = 9
            for name in ("generator", "legacy", "random"):
                first[name].random()

    second = state()
    ids = {name: id(value) for name, value in second.items()}
    with Checkpointer(second):
        pass

    assert {name: id(value) for name, value in second.items()} == ids
    assert second["dict"]["a"] == 1
    assert second["dict"]["b"][0].tolist() == [0, 1, 2]
    assert second["list"] == [1, 2, 3]
    assert second["set"] == {1, 2}
    assert second["deque"] == collections.deque([2, 3, 4], maxlen=3)
    assert second["bytes"] == b"abcd"
    assert second["array"].tolist() == [1.0, 2.0]
    assert second["numpy"].tolist() == [[0, 0, 0], [5, 5, 5]]
    assert (second["attributes"].weight, second["attributes"].history) == (2.5, [1.0])
    assert second["stateful"].count == 9
    for name in ("generator", "legacy", "random"):
        assert second[name].random() == first[name].random()


def test_restored_arrays_can_be_changed() -> None:
    state: dict[str, Any] = {"box": {"array": np.ones(1000)}}
    with Checkpointer(state) as checkpoints:
        list(checkpoints.steps(1))

    again: dict[str, Any] = {"box": {}}
    with Checkpointer(again):
        again["box"]["array"] += 1

    assert again["box"]["array"].sum() == 2000


def test_an_object_that_another_entry_holds_is_still_the_same_object_after_a_restore() -> None:
    def state() -> dict[str, Any]:
        model, trainer = Model(), Model()
        trainer.model = model  # type: ignore[attr-defined]
        return {"model": model, "trainer": trainer}

    first = state()
    with Checkpointer(first) as checkpoints:
        for _ in checkpoints.steps(1):
            first["model"].weight = 3.0
    second = state()
    with Checkpointer(second):
        pass

    assert second["trainer"].model is second["model"]
    assert second["model"].weight == 3.0


@pytest.fixture(autouse=True)
def _own_signal() -> Iterator[None]:
    """A stop leaves SIGTERM ignored, because its process ends; this one goes on."""
    before = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, before)


@pytest.mark.parametrize("value", [3, 2.5, "text", (1, 2), None, frozenset()])
def test_an_immutable_value_is_refused_with_what_to_do(value: object) -> None:
    with pytest.raises(UnsupportedStateError, match="keep it in a dict"):
        Checkpointer({"best": value})


def test_something_that_cannot_be_pickled_is_refused_by_its_name() -> None:
    with (
        pytest.raises(UnsupportedStateError, match="'box' cannot be saved"),
        Checkpointer({"box": {"file": threading.Lock()}}) as checkpoints,
    ):
        list(checkpoints.steps(1))


def test_saves_are_due_by_time_and_not_by_step(base: Path) -> None:
    clock, state = Clock(), {"n": [0]}
    arguments: dict[str, Any] = {"shortest": 10, "longest": 10, "asynchronous": False}
    with Checkpointer(state, clock=clock, keep=99, **arguments) as checkpoints:
        for _ in checkpoints.steps(10):
            clock.now += 4

    assert published(base) == [3, 6, 9, 10]


def test_leaving_by_an_exception_makes_no_complete_file_and_no_checkpoint(base: Path) -> None:
    state = {"n": {"done": 0}}
    with pytest.raises(KeyboardInterrupt):
        train(state, until=4)

    assert not (base / "checkpoints" / "complete.json").exists()
    assert published(base)[-1] == 4
    assert read(base)["saved_step"] == 4


def test_break_is_an_early_end_of_finished_work(base: Path) -> None:
    state = {"n": {"done": 0}}
    with Checkpointer(state) as checkpoints:
        for step in checkpoints.steps(100):
            state["n"]["done"] += 1
            if step == 4:
                break

    done = read(base, "complete.json")
    assert (done["step"], done["saved_step"], done["total"]) == (5, 5, 100)
    again = {"n": {"done": 0}}
    with Checkpointer(again) as checkpoints:
        assert checkpoints.complete
        assert list(checkpoints.steps(100)) == []
    assert again == state


def test_a_raised_total_continues_finished_work() -> None:
    train({"n": {"done": 0}}, until=-1, total=5)
    state = {"n": {"done": 0}}

    train(state, until=-1, total=8)

    assert state["n"]["done"] == 8


def test_a_training_can_have_phases() -> None:
    state: dict[str, list[int]] = {"seen": []}
    with Checkpointer(state) as checkpoints:
        for total in (3, 5):
            for step in checkpoints.steps(total):
                state["seen"].append(step)

    assert state["seen"] == [0, 1, 2, 3, 4]


def test_what_the_script_draws_before_its_loop_it_draws_again_after_a_restore() -> None:
    def run(until: int) -> list[float]:
        random.seed(5)
        drawn: dict[str, list[float]] = {"numbers": []}
        before = 0.0
        with Checkpointer(drawn, shortest=0, longest=0, asynchronous=False) as checkpoints:
            before = random.random()
            for step in checkpoints.steps(6):
                if step == until:
                    raise KeyboardInterrupt
                drawn["numbers"].append(random.random())
        return [before, *drawn["numbers"]]

    undisturbed = run(-1)
    shutil.rmtree(Path(os.environ["SAGEMAKER_BASE_DIR"]) / "checkpoints")
    with pytest.raises(KeyboardInterrupt):
        run(3)

    assert run(-1) == undisturbed


def test_a_random_state_that_cannot_be_restored_raises(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(KeyboardInterrupt):
        train({"n": {"done": 0}}, until=4)

    def refuse(state: object) -> None:
        raise ValueError("not mine")

    monkeypatch.setattr(random, "setstate", refuse)
    with pytest.raises(RestoreError, match="random state of python"):
        train({"n": {"done": 0}}, until=-1)


def test_a_changed_configuration_is_refused_with_what_changed() -> None:
    with pytest.raises(KeyboardInterrupt):
        train({"n": {"done": 0}}, until=4, configuration={"rate": 0.1, "seed": 1})

    with pytest.raises(ConfigurationChangedError, match=r"rate: 0\.1 -> 0\.2") as refused:
        train({"n": {"done": 0}}, until=-1, configuration={"rate": 0.2, "seed": 1})

    assert "seed" not in str(refused.value)


@pytest.mark.parametrize("allow", ["rate", "1", "seed, rate"])
def test_a_changed_configuration_can_be_allowed(allow: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(KeyboardInterrupt):
        train({"n": {"done": 0}}, until=4, configuration={"rate": 0.1})
    monkeypatch.setenv("RELAY_CHECKPOINT_ALLOW_CHANGES", allow)
    state = {"n": {"done": 0}}

    train(state, until=-1, configuration={"rate": 0.2})

    assert state["n"]["done"] == 10


def test_the_jobs_hyperparameters_are_the_configuration(base: Path) -> None:
    path = base / "input" / "config" / "hyperparameters.json"
    path.parent.mkdir(parents=True)
    path.write_text('{"rate": "0.1", "sagemaker_job_name": "one"}')
    with pytest.raises(KeyboardInterrupt):
        train({"n": {"done": 0}}, until=4)
    path.write_text('{"rate": "0.3", "sagemaker_job_name": "two"}')

    with pytest.raises(ConfigurationChangedError, match=r"rate: '0\.1' -> '0\.3'"):
        train({"n": {"done": 0}}, until=-1)


def test_other_objects_than_those_saved_are_refused_and_nothing_is_touched() -> None:
    with pytest.raises(KeyboardInterrupt):
        train({"n": {"done": 0}}, until=4)
    state: dict[str, Any] = {"n": {"done": 0}, "extra": {}}

    with pytest.raises(RestoreError, match="extra"):
        train(state, until=-1)

    assert state == {"n": {"done": 0}, "extra": {}}


def test_an_array_of_another_shape_is_refused() -> None:
    with Checkpointer({"a": np.zeros(3)}) as checkpoints:
        list(checkpoints.steps(1))

    with pytest.raises(RestoreError, match=r"'a'.*\[3\].*\[4\]"), Checkpointer({"a": np.zeros(4)}):
        pass


def test_sigterm_stops_at_the_step_boundary_with_143_and_a_second_one_is_harmless(
    base: Path,
) -> None:
    state = {"n": {"done": 0}}
    with pytest.raises(Stopped) as stopped, Checkpointer(state) as checkpoints:  # noqa: PT012
        for step in checkpoints.steps(10):
            if step == 3:
                signal.raise_signal(signal.SIGTERM)
                signal.raise_signal(signal.SIGTERM)
            state["n"]["done"] += 1

    assert stopped.value.code == 143
    assert published(base) == [4]
    assert not (base / "checkpoints" / "complete.json").exists()
    # A third one, while the interpreter shuts down, is harmless too.
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_IGN


def test_a_stop_in_the_step_that_leaves_the_loop_lets_go_of_the_other_ranks_too(
    base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed: list[bool] = []
    monkeypatch.setattr(Alone, "close", lambda ranks: closed.append(True))

    with pytest.raises(Stopped), Checkpointer({"n": {"done": 0}}) as checkpoints:  # noqa: PT012
        for step in checkpoints.steps(10):
            if step == 3:
                signal.raise_signal(signal.SIGTERM)
                break

    assert closed == [True]
    assert published(base) == [4]


def test_a_save_that_does_not_fit_into_the_grace_is_not_begun(
    base: Path, caplog: pytest.LogCaptureFixture
) -> None:
    clock, state = Clock(), {"n": {"done": 0}}
    with pytest.raises(Stopped), Checkpointer(state, clock=clock, grace=100) as checkpoints:  # noqa: PT012
        for step in checkpoints.steps(10):
            if step == 3:
                signal.raise_signal(signal.SIGTERM)
                clock.now += 101

    assert published(base) == []
    assert "without saving" in caplog.text


def test_outside_the_main_thread_it_works_and_says_that_signals_do_not(
    base: Path, caplog: pytest.LogCaptureFixture
) -> None:
    thread = threading.Thread(target=train, args=({"n": {"done": 0}}, -1))
    thread.start()
    thread.join()

    assert read(base, "complete.json")["step"] == 10
    assert "main thread" in caplog.text


def test_a_folder_that_cannot_be_written_costs_no_training(
    base: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (base / "checkpoints").write_text("a file where the folder should be")
    state = {"n": {"done": 0}}

    train(state, until=-1)

    assert state["n"]["done"] == 10
    assert "training goes on" in caplog.text


def test_after_a_failed_save_the_next_one_is_due_at_once(base: Path) -> None:
    clock, state = Clock(), {"n": {"done": 0}}
    arguments: dict[str, Any] = {"shortest": 30, "longest": 30, "asynchronous": False}
    folder = base / "checkpoints"
    with Checkpointer(state, clock=clock, **arguments) as checkpoints:
        for step in checkpoints.steps(100):
            clock.now += 10
            if step == 2:
                folder.rename(base / "away")
                folder.write_text("in the way")
            if step == 3:
                folder.unlink()
            if step == 4:
                assert published(base) == [4]
                break


@pytest.mark.parametrize("defect", [KeyError(type), threading.Lock()], ids=["raises", "unpicklable"])
def test_a_copy_that_fails_fails_the_save_and_the_next_one_is_due_at_once(
    base: Path, caplog: pytest.LogCaptureFixture, defect: Any
) -> None:
    class Moody(Stateful):
        def state_dict(self) -> dict[str, int]:
            if self.count == 2:
                if isinstance(defect, Exception):
                    raise defect
                return {"count": defect}
            return super().state_dict()

    clock, state = Clock(), {"moody": Moody()}
    arguments: dict[str, Any] = {"shortest": 10, "longest": 10, "asynchronous": False}
    with Checkpointer(state, clock=clock, keep=99, **arguments) as checkpoints:
        for step in checkpoints.steps(5):
            clock.now += 10 if step < 2 else 1
            state["moody"].count = step + 1

    assert published(base) == [1, 3, 5]
    assert "The checkpoint of step 2 failed" in caplog.text


def test_a_disk_that_hangs_stalls_no_step_and_gets_one_save_at_a_time(
    base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    released, sync = threading.Event(), os.fsync

    def hang(descriptor: int) -> None:
        released.wait(30)
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", hang)
    clock, state = Clock(), {"n": {"done": 0}}
    with Checkpointer(state, clock=clock, shortest=10, longest=10) as checkpoints:
        for step in checkpoints.steps(50):
            clock.now += 20
            if step == 40:
                assert checkpoints.saving
                assert published(base) == []
                assert len(list((base / "checkpoints").glob("partial-*"))) <= 1
                released.set()

    assert published(base)[-1] == 50


def test_interruptions_are_counted_over_attempts(base: Path) -> None:
    for until in (3, 6):
        with pytest.raises(KeyboardInterrupt):
            train({"n": {"done": 0}}, until=until)
    train({"n": {"done": 0}}, until=-1)

    done = read(base, "complete.json")
    assert (done["interruptions"], done["resumed_step"]) == (2, 6)


def test_progress_says_how_far_it_is_and_what_is_not_a_number_is_null(base: Path) -> None:
    clock = Clock()
    with pytest.raises(KeyboardInterrupt), Checkpointer({"a": [1]}, clock=clock) as checkpoints:  # noqa: PT012
        for step in checkpoints.steps(8):
            if step == 2:
                raise KeyboardInterrupt
            clock.now += 5
            checkpoints.report(loss=float("nan"), accuracy=np.float32(0.5), epoch=1)

    said = read(base)
    assert (said["format"], said["step"], said["total"], said["fraction"]) == (1, 2, 8, 0.25)
    assert said["seconds_left"] == 30
    assert said["metrics"] == {"loss": None, "accuracy": 0.5, "epoch": 1}
    assert said["stall_seconds"] is None


def test_a_complete_file_whose_checkpoint_is_lost_does_not_count(
    base: Path, caplog: pytest.LogCaptureFixture
) -> None:
    train({"n": {"done": 0}}, until=-1, keep=5)
    newest = max((base / "checkpoints").glob("step-10-*"))
    (newest / "objects.pickle").write_bytes(b"")
    state = {"n": {"done": 0}}

    train(state, until=-1)

    assert state["n"]["done"] == 10
    assert "done again" in caplog.text
    assert f"Skipped checkpoint {newest.name}: objects.pickle" in caplog.text


def test_where_nothing_is_whole_it_starts_again_and_says_so(
    base: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(KeyboardInterrupt):
        train({"n": {"done": 0}}, until=4)
    for file in (base / "checkpoints").rglob("manifest.json"):
        file.unlink()
    state = {"n": {"done": 0}}

    with caplog.at_level(logging.INFO):
        train(state, until=-1)

    assert state["n"]["done"] == 10
    assert "starting from step 0" in caplog.text


def test_what_is_saved_is_the_state_at_the_step_whatever_training_does_meanwhile(
    base: Path,
) -> None:
    state = {"a": np.zeros(200_000)}
    with pytest.raises(KeyboardInterrupt), Checkpointer(state, shortest=0, longest=0) as points:  # noqa: PT012
        for step in points.steps(200):
            if step == 150:
                raise KeyboardInterrupt
            state["a"] += 1

    again = {"a": np.zeros(200_000)}
    with pytest.raises(KeyboardInterrupt), Checkpointer(again) as points:  # noqa: PT012
        for step in points.steps(200):
            assert set(again["a"].tolist()) == {float(step)}
            raise KeyboardInterrupt


def test_the_same_name_as_ours_is_refused() -> None:
    with pytest.raises(UnsupportedStateError, match="taken"):
        Checkpointer({"<random state>": {}})


def test_every_error_has_one_base() -> None:
    for kind in (UnsupportedStateError, RestoreError, ConfigurationChangedError):
        assert issubclass(kind, CheckpointError)
