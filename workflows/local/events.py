"""Two events that simpy has not.

Its Timeout is called `triggered` from its creation on, and a job asks whether its capacity is there already.
Its conditions gather the values of all their events and happen in an event of their own, which each phase of
each job would pay for.
"""

from __future__ import annotations

from collections.abc import Iterable

import simpy


class Later(simpy.Event):
    """Happens after so many seconds, at once for none, and is not `triggered` before."""

    def __init__(self, env: simpy.Environment, delay: float, value: object = None) -> None:
        super().__init__(env)
        if delay > 0:
            self._due = value
            self.callbacks.append(_happen)
            env.schedule(self, delay=delay)
        else:
            self.succeed(value)


def _happen(event: simpy.Event) -> None:
    assert isinstance(event, Later)
    event._ok, event._value = True, event._due


class Earliest(simpy.Event):
    """Happens with the first of some events, within that event, and has its value, or its failure."""

    def __init__(self, env: simpy.Environment, events: Iterable[simpy.Event]) -> None:
        super().__init__(env)
        for event in events:
            if event.callbacks is not None:
                event.callbacks.append(self._pass_on)
            elif not self.triggered:
                self.trigger(event)

    def _pass_on(self, event: simpy.Event) -> None:
        if not event._ok:
            event.defused = True
        if not self.triggered:
            self._ok, self._value = event._ok, event._value
            waiting, self.callbacks = self.callbacks, None  # type: ignore[assignment]
            for callback in waiting:
                callback(self)
