"""Delivers changes of jobs and model packages, as EventBridge's events, to those who want them.

An event is made once for all who want it, and not at all when nobody does.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from functools import partial
from typing import Protocol, TypeVar

from workflows.local.sagemaker.job_records import Record
from workflows.local.sagemaker.packages import Package
from workflows.local.sagemaker.state_change import Event, at_a_glance, package_change, state_change
from workflows.local.sagemaker.workload import JSON

T = TypeVar("T")
Deliver = Callable[[Event], None]


class Choice(Protocol):
    """Which events somebody wants, as an event pattern says it."""

    wants: Callable[[JSON], bool]
    """Asked of an event."""
    glance: Callable[[JSON], bool | None]
    """Asked of some of its members before it is made; None when it depends on the others."""


class Audience:
    """Tells everybody of everything, and those who choose of what they want; on the clock's thread."""

    def __init__(self, region: str, account: str, seed: int) -> None:
        self._region = region
        self._account = account
        self._rng = random.Random(f"{seed}/events")
        self.everybody: list[Deliver] = []
        self._choosy: list[tuple[Choice, Deliver]] = []
        self._interested: dict[tuple[object, ...], list[Deliver]] = {}

    def add(self, choice: Choice, deliver: Deliver) -> None:
        """Deliver what is wanted; the choice is asked once of all changes that look alike `at_a_glance`."""
        self._choosy.append((choice, deliver))
        self.forget()

    def forget(self) -> None:
        """Ask everybody anew; a job's tags, by which people choose as well, have changed."""
        self._interested.clear()

    def job_changed(self, record: Record) -> None:
        """Tell of the job as it is now."""
        alike = (record.kind, record.name, record.status, record.secondary, record.started)
        interested = self._interested.get(alike)
        if interested is None:
            interested = self._interested[alike] = self._asking(at_a_glance(record))
        self._tell(state_change, record, interested)

    def package_changed(self, package: Package) -> None:
        """Tell of the package as it is now."""
        self._tell(package_change, package, self._asking({}))

    def _asking(self, known: JSON) -> list[Deliver]:
        """Those who choose and want, or may want, an event of which this is known."""
        asked = [(choice, deliver, choice.glance(known)) for choice, deliver in self._choosy]
        return [
            deliver if certain else partial(_deliver_wanted, choice, deliver)
            for choice, deliver, certain in asked
            if certain is not False
        ]

    def _tell(
        self, event_of: Callable[[T, str, str, int], Event], what: T, interested: list[Deliver]
    ) -> None:
        number = self._rng.getrandbits(128)  # each event has its id, whether somebody wants it or not
        if interested or self.everybody:
            event = event_of(what, self._region, self._account, number)
            for deliver in (*self.everybody, *interested):
                deliver(event)


def _deliver_wanted(choice: Choice, deliver: Deliver, event: Event) -> None:
    if choice.wants(event):
        deliver(event)
