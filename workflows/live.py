"""What a run shows while it runs: one line for everything that happened, and a status for what goes on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from rich.console import Group, RenderableType
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from workflows.ledger import Entry, RunView, StageView
from workflows.receipt import COLOURS
from workflows.runs import Progress

MARKS = {"waiting": "·", "running": "▶", "done": "✓", "failed": "✗", "stopped": "■"}
STYLES = {"waiting": "dim", "running": "bold cyan", "done": "green", "failed": "red", "stopped": "yellow"}


@dataclass(frozen=True)
class Now:
    """What the job of a running stage says of itself."""

    status: str = ""  # SecondaryStatus
    progress: Progress | None = None


@dataclass
class Narrator:
    """Turns the difference between two looks at a run into lines."""

    view: RunView
    _told: dict[str, int] = field(default_factory=dict)  # stage -> attempts told
    _phases: dict[str, str] = field(default_factory=dict)
    _jobs: dict[str, str] = field(default_factory=dict)

    def news(self) -> Iterator[tuple[Text, str | None]]:
        """What became true since the last call: a line, and the job that it says has completed."""
        for stage in self.view.stages.values():
            told = self._told.get(stage.name, 0)
            for entry in stage.attempts[told:]:
                yield _attempt(stage, entry), entry["job"] if entry["outcome"] == "completed" else None
            self._told[stage.name] = len(stage.attempts)
            if stage.job and self._jobs.get(stage.name) != stage.job:
                self._jobs[stage.name] = stage.job
                yield _line(stage, f"attempt {len(stage.attempts) + 1} {stage.phase}", "cyan"), None
            elif stage.phase != self._phases.get(stage.name) and stage.phase.startswith("back off"):
                yield _line(stage, stage.phase, "dim"), None
            self._phases[stage.name] = stage.phase


def _attempt(stage: StageView, entry: Entry) -> Text:
    colour = COLOURS.get(entry["outcome"], "magenta")
    place = "on spot" if entry["market"] == "spot" else "on demand"
    text = _line(stage, f"attempt {entry['attempt']} {place}: {entry['outcome']}", colour)
    text.append(_moved(entry))
    if entry["decision"] != "done":
        text.append(f" → {entry['why']}", "default")
    return text


def _moved(entry: Entry) -> str:
    start, end = entry["resumed_step"], entry["reached_step"]
    if start == end:
        return f", still at step {end}" if end else ""
    return f" at step {end}, resumed from {start}" if start else f" at step {end}"


def _line(stage: StageView, words: str, style: str) -> Text:
    return Text.assemble((f"{stage.name:<12} ", "bold"), (words, style))


def status(view: RunView, now: Mapping[str, Now], elapsed: float) -> RenderableType:
    """The table under the lines: every stage, and how far it is."""
    table = Table.grid(padding=(0, 2))
    for stage in view.stages.values():
        style = STYLES[stage.status]
        look = now.get(stage.name, Now())
        table.add_row(
            Text(MARKS[stage.status], style),
            Text(stage.name, style),
            _doing(stage, look),
            _bar(look.progress) if stage.status == "running" and stage.job else Text(""),
        )
    return Group(table, Text(f"{elapsed:.0f} s, run {view.run}", "dim"))


def _doing(stage: StageView, look: Now) -> Text:
    if stage.status != "running":
        count = len(stage.attempts)
        tries = f"{count} attempt{'s' if count != 1 else ''}" if count else ""
        return Text(" ".join(filter(None, [stage.status, tries])), "dim")
    waiting = {"Interrupted", "Starting", "Pending"}
    words = f"{stage.phase}, {look.status}" if stage.job and look.status else stage.phase
    return Text(words, "yellow" if look.status in waiting else "default")


def _bar(progress: Progress | None) -> RenderableType:
    if progress is None or progress.fraction is None:
        return Text("")
    row = Table.grid(padding=(0, 1))
    row.add_row(
        ProgressBar(total=1.0, completed=progress.fraction, width=24),
        Text(f"step {progress.step}" + (f" of {progress.total}" if progress.total else ""), "dim"),
    )
    return row
