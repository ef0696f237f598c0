"""What a run shows while it runs: one line for everything that happened, and a status for what goes on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from rich.console import Group, RenderableType
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from workflows.ledger.colours import COLOURS
from workflows.ledger.entry import Entry
from workflows.ledger.receipt_text import money, span, taken_from
from workflows.ledger.run_view import RunView
from workflows.ledger.stage_view import Activity, StageView, TrialView
from workflows.runs.executions import Progress

MARKS = {"waiting": "·", "running": "▶", "done": "✓", "failed": "✗", "stopped": "■", "skipped": "○"}
STYLES = {"waiting": "dim", "running": "bold cyan", "done": "green", "failed": "red", "stopped": "yellow"}
WAITING = {"Interrupted", "Pending"}  # SecondaryStatus of a job that has no instances
MOST_ROWS = 6  # of the trials that run, in the table
MOST_TOLD = 20  # trials of a sweep whose every step is told; of more only losses and ends
News = tuple[Text, str | None]  # a line, and the job that it says has completed


@dataclass(frozen=True)
class Now:
    """What a job that runs says of itself."""

    status: str = ""  # SecondaryStatus
    progress: Progress | None = None


@dataclass
class _Told:
    """What has been said of a stage or a trial."""

    attempts: int = 0
    notes: int = 0
    phase: str = ""
    job: str | None = None
    end: str = ""


@dataclass
class Narrator:
    """Turns the difference between two looks at a run into lines."""

    view: RunView
    _told: dict[str, _Told] = field(default_factory=dict)

    def news(self) -> Iterator[News]:
        """What became true since the last call."""
        for stage in self.view.stages.values():
            brief = max(stage.count, len(stage.trials)) > MOST_TOLD
            for number, trial in sorted(stage.trials.items()):
                yield from self._news(f"{stage.name} #{number}", trial, brief)
            yield from self._news(stage.name, stage)

    def _news(self, name: str, activity: Activity, brief: bool = False) -> Iterator[News]:
        told = self._told.setdefault(name, _Told())
        for entry in activity.attempts[told.attempts :]:
            speaks = entry.outcome == "completed" and not brief
            yield _attempt(name, entry), entry.job if speaks else None
        for note in activity.notes[told.notes :]:
            yield _line(name, note.why, "yellow"), None
        if activity.job and told.job != activity.job:
            words = f"attempt {activity.tries + 1} {activity.phase}"
            yield from [] if brief else [(_line(name, words, "cyan"), None)]
            told.job = activity.job
        elif activity.phase != told.phase and activity.phase.startswith("back off"):
            yield from [] if brief else [(_line(name, activity.phase, "dim"), None)]
        end = _end(activity)
        if end and end != told.end:
            yield _line(name, end, "red" if activity.status == "failed" else "green"), None
        told.attempts, told.notes = len(activity.attempts), len(activity.notes)
        told.phase, told.end = activity.phase, end


def _end(activity: Activity) -> str:
    """How it ended, where no attempt says so."""
    if activity.unsaid:
        return f"{activity.status}: {activity.unsaid}"
    if activity.status == "reused":
        return f"reused: {taken_from(activity)}"
    if isinstance(activity, StageView) and activity.status != "running":
        if activity.best is not None:
            best = activity.trials[activity.best]
            return f"the best trial is {best.number}: {activity.metric} {best.value:.6g}, {best.described}"
        return activity.verdict or activity.package
    return ""


def _attempt(name: str, entry: Entry) -> Text:
    colour = COLOURS[entry.outcome]
    place = "on spot" if entry.market == "spot" else "on demand"
    text = _line(name, f"attempt {entry.attempt} {place}: {entry.outcome}", colour)
    text.append(_moved(entry))
    if entry.decision != "done":
        text.append(f" → {entry.why}", "default")
    return text


def _moved(entry: Entry) -> str:
    start, end = entry.resumed_step, entry.reached_step
    if start == end:
        return f", still at step {end}" if end else ""
    return f" at step {end}, resumed from {start}" if start else f" at step {end}"


def _line(name: str, words: str, style: str) -> Text:
    return Text.assemble((f"{name:<12} ", "bold"), (words, style))


# ------------------------------------------------------------------------------------------- the table
def status(view: RunView, now: Mapping[str, Now], elapsed: float, clock: datetime) -> RenderableType:
    """The table under the lines: every stage, and how far it is.

    `now`: what the jobs that run say, by their names; `clock`: the world's time.
    """
    table = Table.grid(padding=(0, 2))
    for stage in view.stages.values():
        _row(table, stage.name, stage, now)
        for trial in trials_shown(stage):
            _row(table, f"  #{trial.number} {trial.described}"[:24], trial, now)
    return Group(table, Text(", ".join(_footer(view, elapsed, clock)), "dim"))


def trials_shown(stage: StageView) -> list[TrialView]:
    """The trials with a row of their own: the first ones that run."""
    running = [trial for _, trial in sorted(stage.trials.items()) if trial.status == "running"]
    return running[:MOST_ROWS] if stage.status == "running" else []


def _row(table: Table, name: str, activity: Activity, now: Mapping[str, Now]) -> None:
    style = STYLES.get(activity.status, "dim")
    look = now.get(activity.job or "", Now())
    bar = _bar(look.progress) if activity.status == "running" and activity.job else Text("")
    mark = MARKS.get(activity.status, "✓")
    table.add_row(Text(mark, style), Text(name, style), _doing(activity, look), bar)


def _footer(view: RunView, elapsed: float, clock: datetime) -> Iterator[str]:
    yield f"{elapsed:.0f} s"
    limit = "" if view.budget_usd is None else f" of {money(view.budget_usd)}"
    yield f"{money(round(view.spent_usd, 6))}{limit} spent"
    if view.deadline:
        left = (view.deadline - clock).total_seconds()
        yield f"{span(left)} to the deadline" if left >= 0 else f"{span(-left)} past the deadline"
    yield f"run {view.run}"


def _doing(activity: Activity, look: Now) -> Text:
    if isinstance(activity, StageView) and activity.trials:
        return Text(_trials(activity), "default" if activity.status == "running" else "dim")
    if activity.status != "running":
        count = activity.tries
        tries = f"{count} attempt{'s' if count != 1 else ''}" if count else ""
        said = activity.verdict if isinstance(activity, StageView) else ""
        return Text(" ".join(filter(None, [said or activity.status, tries])), "dim")
    if not (activity.job and look.status):
        return Text(activity.phase)
    if look.status in WAITING:
        return Text(f"{activity.phase}, waiting for capacity ({look.status})", "yellow")
    # A launch says `Starting`, and so does a job that waits for its first capacity.
    return Text(f"{activity.phase}, {look.status}", "yellow" if look.status == "Starting" else "default")


def _trials(stage: StageView) -> str:
    """`33 waiting, 2 running, 1 failed, 5 done`"""
    counts = Counter(trial.status for trial in stage.trials.values())
    if stage.status == "running" and stage.count > len(stage.trials):
        counts["waiting"] += stage.count - len(stage.trials)
    return ", ".join(f"{count} {status}" for status, count in sorted(counts.items(), reverse=True))


def _bar(progress: Progress | None) -> RenderableType:
    if progress is None or progress.fraction is None:
        return Text("")
    row = Table.grid(padding=(0, 1))
    row.add_row(
        ProgressBar(total=1.0, completed=progress.fraction, width=24),
        Text(f"step {progress.step}" + (f" of {progress.total}" if progress.total else ""), "dim"),
    )
    return row
