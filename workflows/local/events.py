"""Events that cost less than simpy's own, for worlds in which many short-lived events happen.

simpy's Timeout is `triggered` from its creation on, and a job asks whether its capacity is there already.
Its `succeed` has an event happen after what happens now, as an event of its own. Its conditions are added to
all their events anew for each wait, and they gather values that nobody reads here.
"""

from __future__ import annotations

import simpy


class Later(simpy.Event):
    """An event that happens after `delay` seconds, or at once, and is not `triggered` before."""

    def __init__(self, env: simpy.Environment, delay: float, value: object = None) -> None:
        self.env, self._due = env, value
        if delay > 0:
            self.callbacks = [_become_due]
            env.schedule(self, delay=delay)
        else:
            self.callbacks = []
            self.succeed(value)


def _become_due(event: simpy.Event) -> None:
    assert isinstance(event, Later)
    event._ok, event._value = True, event._due


def happen(event: simpy.Event, value: object = None) -> simpy.Event:
    """Let an event happen now, within the event that is happening; returns it.

    Who waits for it goes on before this returns, so a process must not wait for what it lets happen itself.
    """
    event._ok, event._value = True, value
    waiting, event.callbacks = event.callbacks, None  # type: ignore[assignment]
    for callback in waiting:
        callback(event)
    return event


class Bell:
    """Wakes who waits for it whenever one of the events that are tied to it happens."""

    def __init__(self, env: simpy.Environment) -> None:
        self._env = env
        self._rung: simpy.Event | None = None

    def tie(self, *events: simpy.Event) -> None:
        """Ring with these events as well; an event that has happened already rings no more."""
        for event in events:
            if event.callbacks is not None:
                event.callbacks.append(self._ring)

    def rung(self) -> simpy.Event:
        """Returns an event that happens within the next of the tied events."""
        self._rung = simpy.Event(self._env)
        return self._rung

    def _ring(self, _event: simpy.Event) -> None:
        rung, self._rung = self._rung, None
        if rung is not None:
            happen(rung)
