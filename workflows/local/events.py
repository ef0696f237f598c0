"""Events as simpy has not: some that it makes more of than is needed, in a world of many short lives.

Its Timeout is called `triggered` from its creation on, and a job asks whether its capacity is there already.
Its `succeed` has an event happen after what happens now, as an event of its own. Its conditions are added to
all their events anew for each wait, and gather their values.
"""

from __future__ import annotations

import simpy


class Later(simpy.Event):
    """Happens after so many seconds, at once for none, and is not `triggered` before."""

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
    """Let an event happen now, within what happens already; returns it.

    Who waits for it goes on before this returns, so a process must not wait for what it lets happen itself.
    """
    event._ok, event._value = True, value
    waiting, event.callbacks = event.callbacks, None  # type: ignore[assignment]
    for callback in waiting:
        callback(event)
    return event


class Bell:
    """Rings with each of the events that are tied to it; who waits for it then looks at what has happened."""

    def __init__(self, env: simpy.Environment) -> None:
        self._env = env
        self._rung: simpy.Event | None = None

    def tie(self, *events: simpy.Event) -> None:
        """Ring with these as well; with one that has happened already it does not ring any more."""
        for event in events:
            if event.callbacks is not None:
                event.callbacks.append(self._ring)

    def rung(self) -> simpy.Event:
        """Happens with the next of the events, within it."""
        self._rung = simpy.Event(self._env)
        return self._rung

    def _ring(self, _event: simpy.Event) -> None:
        rung, self._rung = self._rung, None
        if rung is not None:
            happen(rung)
