"""A run that is looked at again and again, with the executions that the trials of large sweeps are.

Step Functions throttles GetExecutionHistory, so a look takes few calls: the run's own history, one list for
each large sweep, and the histories of some trials. Those that have ended come first, those that run in turn;
one that has been read to its end is not read again. What AWS refuses because it is busy is asked for at the
next look.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from botocore.exceptions import ClientError

from workflows.ledger.run_view import ENDS, MAP_RUN_ENDS, Trial, trial_in
from workflows.runs.aws_errors import BUSY, code_of
from workflows.runs.executions import ENDED, Runs

MOST_READ = 8  # histories of trials in one look
FEW_EVENTS = 50  # that are usually new since the last look at a trial: an attempt's end and what follows it
_TELLS = MAP_RUN_ENDS | ENDS.keys()


@dataclass
class _Child:
    """The execution of a trial; `status` and `redrives` as it was listed the last time."""

    arn: str
    map_run: str
    status: str = ""
    redrives: int = 0
    last: int = 0  # the newest event that was read
    read: tuple[str, int] | None = None  # status and redrives that its history told
    looked: int = 0  # the look at which it was read the last time
    trial: Trial | None = None

    @property
    def has_news(self) -> bool:
        """Whether there may be events that were not read."""
        return self.status not in ENDED or self.read != (self.status, self.redrives)


class Following:
    """Follows one run; `view` is what it has told so far."""

    def __init__(self, runs: Runs, execution_arn: str) -> None:
        self.runs, self.arn, self.view = runs, execution_arn, runs.view(execution_arn)
        self._last = self._looks = 0
        self._children: dict[str, _Child] = {}
        self._settled: set[str] = set()  # Map runs of whose trials all is known

    @property
    def settled(self) -> bool:
        """Whether the run has ended and nothing more can be learnt of it."""
        return self.view.status in ENDED and self.view.map_runs.keys() <= self._settled

    def look(self) -> None:
        """Takes in what has happened, or a part of it where that is much."""
        try:
            events = self.runs.events(self.arn, self._last)
        except ClientError as error:
            _unless_busy(error)
            return
        first, *others = _parts(events)
        self._take_in(first)
        for part in others:
            self._look_at_trials(None)  # their own lines come before the sum of them in the sweep's result
            self._take_in(part)
        self._look_at_trials(None if self.view.status in ENDED else MOST_READ)

    def _take_in(self, events: list[dict[str, Any]]) -> None:
        """Each event once, though the network may go between two parts of a look."""
        self.view.update(events)
        self._last = events[-1]["id"] if events else self._last

    def _look_at_trials(self, most: int | None) -> None:
        """Reads at most that many histories, all that have news for None."""
        self._looks += 1
        unsettled = [run for run in self.view.map_runs if self._runs(run) or run not in self._settled]
        self._settled.difference_update(unsettled)
        try:
            for map_run in unsettled:
                self._list(map_run)
            for child in self._with_news()[:most]:
                self._read(child)
        except ClientError as error:
            _unless_busy(error)
            return
        open_still = {child.map_run for child in self._with_news()}
        self._settled.update(run for run in unsettled if not self._runs(run) and run not in open_still)

    def _list(self, map_run: str) -> None:
        for item in self.runs.trial_executions(map_run):
            child = self._children.setdefault(item["executionArn"], _Child(item["executionArn"], map_run))
            child.status, child.redrives = item["status"], item.get("redriveCount", 0)

    def _with_news(self) -> list[_Child]:
        """The trials with news: those that ended first, then those looked at the longest ago."""
        news = [child for child in self._children.values() if child.has_news]
        return sorted(news, key=lambda child: (child.status not in ENDED, child.looked))

    def _read(self, child: _Child) -> None:
        more: dict[str, Any] = {"page_size": FEW_EVENTS} if child.last else {}
        events = self.runs.events(child.arn, child.last, **more)
        child.looked = self._looks
        child.trial = child.trial or trial_in(events)
        if not events or not child.trial:
            return  # it has just been started, or is in the same state still
        self.view.update_trial(child.trial, events)
        child.last = events[-1]["id"]
        child.read = ENDS.get(events[-1]["type"], "RUNNING"), child.redrives

    def _runs(self, map_run: str) -> bool:
        return self.view.status not in ENDED and self.view.map_runs[map_run]


def _parts(events: list[dict[str, Any]]) -> list[list[dict[str, Any]]]:
    """The events, a new part at each that says that trials have ended, or go on."""
    parts: list[list[dict[str, Any]]] = [[]]
    for event in events:
        if event["type"] in _TELLS:
            parts.append([])
        parts[-1].append(event)
    return parts


def _unless_busy(error: ClientError) -> None:
    if code_of(error) not in BUSY:
        raise error
