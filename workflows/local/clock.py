"""Two clocks of machine time: a virtual one that never waits, and a real one that speeds up waits only.

Both clocks drive one simpy environment on one thread; `env.now` is seconds since `epoch`. The real
clock has a variable rate: `speed` times faster than the wall while nothing really works (Wait
states, back-off, provisioning), exactly 1:1 while at least one training process is alive, so that
training seconds, MaxRuntime and billable seconds are real. simpy's own RealtimeEnvironment cannot
do that: its factor is fixed and it knows no calls from other threads.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

import simpy

from workflows.errors import RelayError

T = TypeVar("T")

EPOCH = datetime(2026, 1, 5, tzinfo=UTC)
"""Where virtual time starts unless told otherwise: a fixed Monday, so that runs repeat exactly."""


class ClockError(RelayError):
    """The clock cannot do what was asked of it."""


class Clock:
    """The part that both clocks share: the environment, and machine time read from it."""

    def __init__(self, epoch: datetime) -> None:
        if epoch.tzinfo is None:
            raise ClockError(f"epoch {epoch} has no time zone; give an aware datetime, as in UTC")
        self.env = simpy.Environment()
        self.epoch = epoch.astimezone(UTC)
        self._now = (0.0, self.epoch)

    def seconds(self) -> float:
        """Machine seconds since the epoch."""
        return float(self.env.now)

    def now(self) -> datetime:
        """Machine time as an aware UTC datetime."""
        seconds = self.env.now
        if seconds != self._now[0]:  # many ask in the same moment
            self._now = (seconds, self.at(seconds))
        return self._now[1]

    def at(self, seconds: float) -> datetime:
        """Returns the moment that is so many machine seconds after the epoch."""
        return self.epoch + timedelta(seconds=seconds)


class VirtualClock(Clock):
    """Jumps from event to event; a year of waiting takes no time."""

    def __init__(self, epoch: datetime = EPOCH) -> None:
        super().__init__(epoch)

    def run(self, until: simpy.Event | float | None = None) -> Any:
        """Work through the events until one has happened, until a machine second, or to the end."""
        return self.env.run(until)


class RealClock(Clock):
    """Follows the wall clock on a thread of its own, at `speed` or at 1:1.

    Everything that touches the environment runs on that thread: other threads use `call` and
    `post`. `monotonic` (seconds) and `wait(condition, seconds | None)` exist for tests.
    """

    def __init__(
        self,
        speed: float = 60.0,
        epoch: datetime | None = None,
        *,
        monotonic: Callable[[], float] = time.monotonic,
        wait: Callable[[threading.Condition, float | None], object] = threading.Condition.wait,
    ) -> None:
        super().__init__(epoch or datetime.now(UTC))
        if not speed >= 1:
            raise ClockError(f"speed is {speed}; it must be 1 or more (60 makes a minute a second)")
        self.speed = speed
        self._monotonic = monotonic
        self._wait = wait
        self._condition = threading.Condition()
        self._calls: deque[tuple[Callable[[], object], Future[Any] | None]] = deque()
        self._thread: threading.Thread | None = None
        self._closing = False
        self._failure: BaseException | None = None
        self._workers = 0
        # Machine time at the last change of rate, and the wall's reading then.
        self._base_machine = 0.0
        self._base_wall = monotonic()

    # From any thread

    def start(self) -> None:
        """Start the thread; machine time begins to pass now."""
        if self._thread is not None:
            raise ClockError("this clock was started before; make a new one")
        self._base_wall = self._monotonic()
        self._thread = threading.Thread(target=self._pump, name="relay-clock", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop the thread after the call that it is in; calls still queued fail."""
        with self._condition:
            self._closing = True
            self._condition.notify_all()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join()

    def call(self, fn: Callable[..., T], *args: Any) -> T:
        """Run `fn(*args)` on the clock's thread and return its result or raise its exception.

        Before `start` nothing else can run, so the caller's own thread does it.
        """
        if self._thread is None or threading.current_thread() is self._thread:
            return fn(*args)
        future: Future[T] = Future()

        def perform() -> None:
            try:
                result = fn(*args)
            except Exception as error:
                future.set_exception(error)
            else:
                future.set_result(result)

        self._enqueue(perform, future)
        return future.result()

    def post(self, fn: Callable[..., object], *args: Any) -> None:
        """Run `fn(*args)` on the clock's thread without waiting for it."""
        self._enqueue(lambda: fn(*args), None)

    def begin_work(self) -> None:
        """A training process began: machine time passes 1:1 from now."""
        with self._condition:
            self._rebase()
            self._workers += 1
            self._condition.notify_all()

    def end_work(self) -> None:
        """A training process ended; after the last one waiting is fast again."""
        with self._condition:
            if self._workers == 0:
                raise ClockError("end_work without begin_work")
            self._rebase()
            self._workers -= 1
            self._condition.notify_all()

    @contextmanager
    def working(self) -> Iterator[None]:
        """Hold machine time at 1:1 while the block runs."""
        self.begin_work()
        try:
            yield
        finally:
            self.end_work()

    def machine_seconds(self) -> float:
        """Machine seconds by the wall now; `env.now` follows it at the next event or call."""
        with self._condition:
            return self._machine_seconds()

    # On the clock's thread

    def _pump(self) -> None:
        failure: BaseException | None = None
        try:
            while self._turn():
                pass
        except BaseException as error:
            failure = error
            raise
        finally:
            with self._condition:
                self._closing, self._failure = True, failure
                left = list(self._calls)
                self._calls.clear()
            for _, future in left:
                if future is not None:
                    future.set_exception(self._stopped())

    def _turn(self) -> bool:
        """Do one round: handle the calls that came in, then the events that are due, or else wait."""
        with self._condition:
            if self._closing:
                return False
            calls = list(self._calls)
            self._calls.clear()
            target = self._machine_seconds()
            if not calls and not self._workers and self.env.peek() < target:
                # Woken late: at high speed a hundredth of a second would be many seconds of machine time,
                # in which nothing was meant to happen. The wait ends where it was to end.
                target = max(self.env.now, self.env.peek())
                self._base_machine, self._base_wall = target, self._monotonic()
        if calls or self.env.peek() <= target:
            with self.working():  # only waiting passes fast, not the computing of what comes next
                self._advance(target)
                self._perform(calls)
                # What the calls started runs before anybody waits.
                self._advance(self.env.now)
            return True
        with self._condition:
            if not self._calls and not self._closing:
                self._wait(self._condition, self._wall_seconds_to(self.env.peek()))
        return True

    def _advance(self, target: float) -> None:
        """Step the events due by `target`, then stand exactly there.

        The timeout is the public way to move `env.now`: without it a call between two events
        would be stamped with the time of the earlier one.
        """
        while self.env.peek() <= target:
            self.env.step()
        if target > self.env.now:
            self.env.timeout(target - self.env.now)
            while self.env.peek() <= target:
                self.env.step()

    def _machine_seconds(self) -> float:
        rate = 1.0 if self._workers else self.speed
        return self._base_machine + (self._monotonic() - self._base_wall) * rate

    def _wall_seconds_to(self, machine: float) -> float | None:
        if machine == float("inf"):
            return None
        rate = 1.0 if self._workers else self.speed
        # A float of seconds may round to just short of the event: a tenth of a millisecond more
        # costs less than a second wake-up. An hour at most, so that threading accepts it.
        return min(max(0.0, (machine - self._machine_seconds()) / rate) + 0.0001, 3600.0)

    def _rebase(self) -> None:
        self._base_machine, self._base_wall = self._machine_seconds(), self._monotonic()

    def _perform(self, calls: list[tuple[Callable[[], object], Future[Any] | None]]) -> None:
        for place, (perform, _) in enumerate(calls):
            try:
                perform()
            except BaseException:
                with self._condition:
                    self._calls.extendleft(reversed(calls[place + 1 :]))
                raise

    def _enqueue(self, perform: Callable[[], object], future: Future[Any] | None) -> None:
        with self._condition:
            if self._closing:
                raise self._stopped()
            self._calls.append((perform, future))
            self._condition.notify_all()

    def _stopped(self) -> ClockError:
        if self._failure is None:
            return ClockError("the local world was stopped")
        error = ClockError(f"the local world stopped: {self._failure!r}")
        error.__cause__ = self._failure
        return error
