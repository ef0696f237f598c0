"""A run on the screen: looked at until it has ended, or until somebody leaves.

    look -> lines of what is new, a table of what goes on -> pause -> look ...

While the network is away, or AWS is busy or fails, it says so once and tries again, later each time.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from rich.console import Console
from rich.live import Live
from rich.text import Text

from workflows.errors import RelayError
from workflows.ledger.run_view import RunView
from workflows.runs.aws_errors import explained, passes_by_itself
from workflows.runs.executions import ENDED, Runs
from workflows.runs.following import Following
from workflows.runs.live import Narrator, Now, status, trials_shown

LOOK_EVERY = 0.2  # real seconds between two looks at a local history
LOOK_EVERY_REMOTE = 3.0  # at AWS, where all who look share a quota of GetExecutionHistory
LONGEST_PAUSE = 30.0  # real seconds between two tries while nobody answers
LAST_LOOKS = 25  # at trials of a run that has ended, while AWS is too busy to tell of them


class GoneError(RelayError):
    """What was watched has ended, and will not answer again."""

    exit_code = 4


@dataclass
class Watcher:
    """One run that is being followed; `quiet` leaves the narration out (for `--json`).

    `clock`: the time over there. `said`: the last lines that a job printed. `gone`: whether the other side
    has ended for good. `joined`: whether the run began before, so that what is known of it is told at once.
    """

    runs: Runs
    arn: str
    console: Console
    quiet: bool = False
    clock: Callable[[], datetime] = datetime.now
    said: Callable[[str], list[str]] = lambda job: []
    gone: Callable[[], bool] = lambda: False
    every: float = LOOK_EVERY
    joined: bool = False
    pause: Callable[[float], None] = time.sleep
    _away: float = field(default=0.0, init=False)  # real seconds of the last pause without an answer

    def follow(self) -> RunView:
        """Looks until the run has ended. Raises GoneError, and what will not pass by itself."""
        following = self._following()
        screen = Screen(self.console, following.view, self.quiet, self.clock, joined=self.joined)
        with screen.live():
            self._look_until_ended(following, screen)
        return following.view

    def _following(self) -> Following:
        while True:
            try:
                return Following(self.runs, self.arn)
            except Exception as error:
                self._wait_for_an_answer(error)

    def _look_until_ended(self, following: Following, screen: Screen) -> None:
        last_looks = LAST_LOOKS
        while last_looks and not following.settled:
            try:
                following.look()
                screen.show(self._now(following.view) if screen.moving else {}, self.said)
            except Exception as error:
                self._wait_for_an_answer(error)
                continue
            self._answered()
            if following.view.status in ENDED:
                last_looks -= 1
            if not following.settled:
                self.pause(self.every)

    def _wait_for_an_answer(self, error: Exception) -> None:
        if not passes_by_itself(error):
            raise error
        if self.gone():
            raise GoneError(
                "the local world has ended, and the run with it: `relay local up`, then `relay resume "
                f"{self.arn.rpartition(':')[2]}` goes on from its checkpoints"
            ) from None
        if not self._away:
            told = explained(error)
            self.console.print(Text(f"{told}. The run goes on; trying again until it answers.", "yellow"))
        self._away = min(LONGEST_PAUSE, max(self.every, 2 * self._away))
        self.pause(self._away)

    def _answered(self) -> None:
        if self._away:
            self.console.print(Text("There it is again.", "yellow"))
        self._away = 0.0

    def _now(self, view: RunView) -> dict[str, Now]:
        return {
            activity.job: Now(
                self.runs.job_status(activity.job, stage.kind), self.runs.progress(activity.checkpoints)
            )
            for stage in view.stages.values()
            for activity in (stage, *trials_shown(stage))
            if activity.job
        }


class Screen:
    """The narration: lines above, on a terminal a status table below."""

    def __init__(
        self,
        console: Console,
        view: RunView,
        quiet: bool,
        clock: Callable[[], datetime],
        *,
        joined: bool = False,
    ) -> None:
        self.console, self.view, self.quiet, self.clock = console, view, quiet, clock
        self.moving = console.is_terminal and not quiet
        self._narrator, self._began = Narrator(view), time.monotonic()
        self._catching_up = joined
        self._live: Live | None = None

    def live(self) -> AbstractContextManager[Any]:
        """While it is entered, the table moves."""
        if not self.moving:
            return nullcontext()
        self._live = Live(console=self.console, refresh_per_second=8, transient=True)
        return self._live

    def show(self, now: Mapping[str, Now], said: Callable[[str], list[str]]) -> None:
        """Tells what is new since the last call."""
        if self.quiet:
            return
        moment = f"{'before':>8}  " if self._catching_up else f"{self._elapsed():6.1f} s  "
        for line, finished in self._narrator.news():
            self.console.print(Text(moment, "dim") + line, soft_wrap=True)
            for words in said(finished) if finished else []:
                self.console.print(Text(f"{'':23}| {words}", "dim"), soft_wrap=True)
        self._catching_up = False
        if self._live:
            self._live.update(status(self.view, now, self._elapsed(), self.clock()))

    def _elapsed(self) -> float:
        return time.monotonic() - self._began
