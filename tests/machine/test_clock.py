"""Machine time: virtual, or real with a rate that depends on whether anything works."""

from __future__ import annotations

import threading
from datetime import UTC, datetime
from typing import Any

import pytest

from workflows.local.clock import ClockError, RealClock, VirtualClock

EPOCH = datetime(2026, 1, 5, tzinfo=UTC)


class Wall:
    """A wall clock that moves only while somebody waits on it, and by as much as they asked."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.horizon = 1000.0
        self.moved = threading.Event()

    def monotonic(self) -> float:
        return self.now

    def wait(self, condition: threading.Condition, seconds: float | None) -> None:
        """Move to the end of the wait, or to the horizon and then stay until it is moved."""
        end = self.horizon if seconds is None else self.now + seconds
        if end < self.horizon or (seconds is not None and end == self.horizon):
            self.now = end
            return
        self.now = self.horizon
        self.moved.set()
        condition.wait()

    def advance(self, clock: RealClock, seconds: float) -> None:
        """Let the wall move on, and return when the clock's thread has nothing left to do."""
        clock.call(self._extend, seconds)
        assert self.moved.wait(5)

    def _extend(self, seconds: float) -> None:
        """Runs on the clock's thread, so no wait is in progress."""
        self.moved.clear()
        self.horizon += seconds


@pytest.fixture
def wall() -> Wall:
    return Wall()


@pytest.fixture
def clock(wall: Wall) -> Any:
    clock = RealClock(speed=60, epoch=EPOCH, monotonic=wall.monotonic, wait=wall.wait)
    clock.start()
    yield clock
    clock.close()


def test_a_year_of_virtual_waiting_takes_no_time() -> None:
    clock = VirtualClock()
    clock.run(clock.env.timeout(365 * 86400))
    assert clock.now() == datetime(2027, 1, 5, tzinfo=UTC)


def test_an_epoch_needs_a_time_zone() -> None:
    with pytest.raises(ClockError, match="no time zone"):
        VirtualClock(datetime(2026, 1, 5))


def test_a_wait_of_a_minute_passes_in_a_second_at_speed_60(wall: Wall, clock: RealClock) -> None:
    # given a wait of 60 machine seconds
    happened: list[float] = []

    def wait() -> None:
        timeout = clock.env.timeout(60)
        timeout.callbacks.append(lambda _event: happened.append(clock.seconds()))

    clock.call(wait)
    # then it is not over after 0.9 s of the wall, and is after 1.1 s
    wall.advance(clock, 0.9)
    assert happened == []
    wall.advance(clock, 0.2)
    assert happened == [60.0]


def test_while_something_works_time_is_real(wall: Wall, clock: RealClock) -> None:
    # given 10 wall seconds of waiting, then 10 of work, then 10 of waiting
    wall.advance(clock, 10)
    with clock.working():
        wall.advance(clock, 10)
        assert clock.machine_seconds() == pytest.approx(610)
    wall.advance(clock, 10)
    # then
    assert clock.call(clock.seconds) == pytest.approx(1210)
    assert clock.call(clock.now) == datetime(2026, 1, 5, 0, 20, 10, tzinfo=UTC)


def test_work_that_overlaps_holds_the_rate_until_the_last_ends(wall: Wall, clock: RealClock) -> None:
    clock.begin_work()
    clock.begin_work()
    clock.end_work()
    wall.advance(clock, 5)
    assert clock.machine_seconds() == pytest.approx(5)
    clock.end_work()
    wall.advance(clock, 1)
    assert clock.machine_seconds() == pytest.approx(65)
    with pytest.raises(ClockError, match="without begin_work"):
        clock.end_work()


def test_a_call_is_stamped_with_the_present_not_with_the_last_event(wall: Wall, clock: RealClock) -> None:
    wall.advance(clock, 2)
    assert clock.call(clock.seconds) == pytest.approx(120)


def test_work_begun_in_the_middle_of_a_wait_stretches_it(wall: Wall, clock: RealClock) -> None:
    # given a wait of 120 machine seconds, 1 wall second into it work begins
    happened: list[float] = []

    def wait() -> None:
        clock.env.timeout(120).callbacks.append(lambda _event: happened.append(clock.seconds()))

    clock.call(wait)
    wall.advance(clock, 1)
    clock.begin_work()
    # then the other half takes 60 wall seconds
    wall.advance(clock, 59)
    assert happened == []
    wall.advance(clock, 1.1)
    assert happened == [120.0]
    clock.end_work()


def test_an_exception_of_a_call_reaches_the_caller_and_the_clock_goes_on(clock: RealClock) -> None:
    with pytest.raises(ZeroDivisionError):
        clock.call(lambda: 1 / 0)
    assert clock.call(lambda: threading.current_thread().name) == "relay-clock"


def test_a_call_from_the_clocks_own_thread_runs_at_once(clock: RealClock) -> None:
    assert clock.call(lambda: clock.call(lambda: 5)) == 5


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_what_breaks_on_the_clocks_thread_is_told_to_everybody_after(clock: RealClock) -> None:
    # given a post that fails: nobody waits for its result
    nothing: dict[str, int] = {}
    clock.post(lambda: nothing["lost"])
    # then the next call says so, and what is queued does not hang
    with pytest.raises(ClockError, match="KeyError"):
        clock.call(lambda: None)


def test_a_closed_clock_refuses_calls(clock: RealClock) -> None:
    clock.close()
    with pytest.raises(ClockError, match="was stopped"):
        clock.call(lambda: None)
    with pytest.raises(ClockError, match="was stopped"):
        clock.post(lambda: None)


def test_before_it_starts_the_clock_serves_its_maker() -> None:
    clock = RealClock(speed=60)
    assert clock.call(lambda: 5) == 5
    with pytest.raises(ClockError, match="1 or more"):
        RealClock(speed=0.5)


def test_with_the_real_wall_an_hour_passes_in_under_a_tenth_of_a_second() -> None:
    # given speed 100,000
    clock = RealClock(speed=100_000)
    clock.start()
    done = threading.Event()
    # when
    clock.call(lambda: clock.env.timeout(3600).callbacks.append(lambda _event: done.set()))
    # then
    assert done.wait(2)
    clock.close()
