"""One stage of a run, or one trial of a sweep, as far as the run's history tells.

Pure data with the rules by which it moves on; `run_view.py` reads the history and feeds it.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from workflows.ledger.entry import Entry
from workflows.ledger.vocabulary import (
    AFTER_AN_ATTEMPT,
    FAILED_PHASES,
    IS_IT_MET,
    RUNS_A_JOB,
    TRY_ALL,
)
from workflows.specification.conditions import METRIC


@dataclass(frozen=True)
class Note:
    """A decision that no attempt of the ledger stands for: one that came before an attempt could begin."""

    after: int  # attempts before it
    why: str


@dataclass
class Activity:
    """What a stage and a trial have in common."""

    status: str = "waiting"  # waiting, running, done, failed, stopped, skipped, reused
    phase: str = ""  # the phrase of the state it is in: "on spot", "back off, then spot", ...
    job: str | None = None  # the job that runs now
    attempts: list[Entry] = field(default_factory=list)
    notes: list[Note] = field(default_factory=list)
    outputs: dict[str, str] = field(default_factory=dict)
    metrics: dict[str, Any] = field(default_factory=dict)
    checkpoints: str = ""  # URI of the folder in which its newest job keeps its checkpoints
    place: str = ""  # key prefix of what it writes
    why: str = ""  # it was skipped, or failed
    reused: str = ""  # the job of an earlier run whose results it took

    def entered(self, phase: str) -> None:
        """It is in the state with this phrase."""
        if phase in AFTER_AN_ATTEMPT and self.status in {"done", "reused"}:
            return
        self.status, self.phase = "running", phase
        if phase not in RUNS_A_JOB:
            self.job = None

    def assigned(self, value: Mapping[str, Any]) -> None:
        """The machine assigned its variable."""
        ledger = entries_in(value["ledger"])
        self._told(ledger)
        self.place = value.get("place", "")
        why = value.get("why", "")
        self.why = value["message"] if value.get("next") == "fail" else ""
        last = ledger[-1].why if ledger else ""
        known = {last, *(note.why for note in self.notes)}
        if value.get("next") in {"spot", "on-demand"} and why not in known:
            self.notes.append(Note(len(self.attempts), why))

    def left(self, result: Mapping[str, Any]) -> None:
        """It has ended well, with this result."""
        self._told(entries_in(result["ledger"]))
        self.job = None
        self.outputs, self.metrics = result.get("outputs", {}), result.get("metrics", {})
        self.reused, self.why = result.get("reused", ""), result.get("skipped", "")
        self.status = "skipped" if self.why else "reused" if self.reused else "done"
        self.phase = self.status

    def ended(self, status: str) -> None:
        """It ends with its run (or its sweep), whatever it was doing."""
        if self.status == "running":
            self.status, self.job = status, None

    @property
    def tries(self) -> int:
        """How many attempts it has made."""
        return sum(entry.attempts for entry in self.attempts)

    @property
    def unsaid(self) -> str:
        """Why it was skipped or failed, where its last attempt does not say so."""
        told = bool(self.attempts) and self.attempts[-1].decision == "fail"
        return "" if told or self.status not in {"skipped", "failed"} else self.why

    def _told(self, ledger: Sequence[Entry]) -> None:
        """A trial that is tried again after a redrive begins a new ledger; what it cost before remains."""
        jobs = {entry.job for entry in ledger}
        before = [entry for entry in self.attempts if entry.job not in jobs]
        self.attempts = [*before, *ledger]
        if before:  # histories may have been read in any order
            self.attempts.sort(key=lambda entry: entry.order)


@dataclass
class TrialView(Activity):
    """One trial of a sweep."""

    number: int = 0
    parameters: Mapping[str, Any] = field(default_factory=dict)
    value: float | None = None  # of the sweep's metric, once the sweep is done

    @property
    def described(self) -> str:
        """Its parameters: `rate=0.1, hidden=16`."""
        return ", ".join(f"{name}={value}" for name, value in self.parameters.items())

    def handed_over(self, ledger: Sequence[Entry]) -> None:
        """Takes in its lines of the sweep's result: what its own history told goes before them.

        A line that stands for several is the last of them, and all the others came after the line before it.
        """
        before = (-1, 0)
        for line in sorted(ledger, key=lambda each: each.order):
            last = line.order
            told = [entry.job for entry in self.attempts if before < entry.order <= last]
            if line.job not in told:
                rest = [entry for entry in self.attempts if entry.job not in told]
                self.attempts = sorted([*rest, line], key=lambda each: each.order)
            before = last

    def finished(self) -> None:
        """Its iteration has ended: what came after its result were only states on the way out."""
        failed = self.phase in FAILED_PHASES
        self.status = "failed" if failed else "reused" if self.reused else "done"
        self.phase, self.job = self.status, None


@dataclass
class StageView(Activity):
    """One stage of a run."""

    name: str = ""
    kind: str = "train"  # train, process, sweep, gate, register
    passed: bool | None = None  # what a gate said
    when: str = ""  # a gate's condition
    trials: dict[int, TrialView] = field(default_factory=dict)  # a sweep's, by number
    count: int = 0  # of trials that a sweep has, with those that have not begun; 0 while unknown
    best: int | None = None  # the trial that won

    @property
    def package(self) -> str:
        """The ARN of the model package that a registration made."""
        return self.outputs.get("package", "") if self.kind == "register" else ""

    @property
    def verdict(self) -> str:
        """What a gate compared and said: `0.9833 >= 0.9: go on`."""
        if self.passed is None or self.status == "skipped":
            return ""
        word = "go on" if self.passed else "stop"
        if not self.when:
            return f"{word}, not asked for" if self.passed else f"{word}, as a gate before it said"
        return f"{compared(self.when, self.metrics)}: {word}"

    @property
    def metric(self) -> str:
        """The name of the metric by which a sweep's trials are compared, as far as the numbers tell."""
        best = self.trials[self.best].value if self.best is not None else None
        names = [name for name, value in self.metrics.items() if value == best]
        return names[0] if len(names) == 1 else "value"

    def ranking(self) -> list[TrialView]:
        """A sweep's trials from the best one on; those without a value, in their order, last."""
        trials = [trial for _, trial in sorted(self.trials.items())]
        values = [trial.value for trial in trials if trial.value is not None]
        upwards = bool(values) and self.best is not None and self.trials[self.best].value == min(values)
        sign = 1 if upwards else -1
        return sorted(trials, key=lambda t: (t.value is None, sign * (t.value or 0.0), t.number))

    def trial(self, number: int) -> TrialView:
        """The trial of that number, made when it is first heard of."""
        return self.trials.setdefault(number, TrialView(number=number))

    def left(self, result: Mapping[str, Any]) -> None:
        tried = "trials" in result
        super().left({**result, "ledger": []} if tried else result)
        self.passed, self.when = result.get("passed"), result.get("when", "")
        if tried:
            self._tried(result)

    def ended(self, status: str) -> None:
        failing = [trial for trial in self.trials.values() if trial.phase in FAILED_PHASES]
        for trial in self.trials.values():
            trial.ended(status if trial in failing or not failing else "stopped")
        super().ended(status)

    def entries(self) -> list[Entry]:
        """Its attempts, those of its trials included."""
        tried = [entry for _, trial in sorted(self.trials.items()) for entry in trial.attempts]
        return self.attempts + tried

    def _tried(self, result: Mapping[str, Any]) -> None:
        """Where the histories of trials that are executions of their own were not read, the sweep's result is
        all that is known of them."""
        self.best = result["best"]["trial"]
        for line in result["trials"]:
            trial = self.trial(line["trial"])
            trial.parameters, trial.value = line["parameters"], line.get("value")
            failed = line.get("failed", "")
            trial.reused = line.get("reused", "")
            # It may be cut there, and known in full.
            trial.why = trial.why if failed and trial.why.startswith(failed) else failed
            trial.status = "failed" if failed else "reused" if trial.reused else "done"
        ledger = entries_in(result["ledger"])
        for trial in self.trials.values():
            trial.handed_over([entry for entry in ledger if entry.trial == trial.number])


def entries_in(ledger: Iterable[Mapping[str, Any]]) -> list[Entry]:
    """The lines of a ledger as the machine assigned it. Raises EntryError."""
    return [Entry.from_json(line) for line in ledger]


def compared(when: str, metrics: Mapping[str, Any]) -> str:
    """A gate's condition with the numbers in the places of the metrics."""

    numbers = itertools.count()

    def shown(match: re.Match[str]) -> str:
        value = metrics.get(f"{match[1]}.{match[2]}", metrics.get(f"m{next(numbers)}"))
        return match[0] if value is None else f"{value:.4g}"

    return METRIC.sub(shown, when)


def stages_in(definition: Mapping[str, Any]) -> dict[str, str]:
    """Stage -> kind, in order, as the machine's text shows them: by the states that only that kind has."""
    found: dict[str, str] = {}
    for name, state in definition["States"].items():
        stage, _, phrase = name.partition(": ")
        kind = _KINDS.get(str(state.get("Resource", "")).rpartition(":")[2]) or _PHRASES.get(phrase)
        if kind:
            found.setdefault(stage, kind)
        for branch in state.get("Branches", []):
            for inner, its in stages_in(branch).items():
                found.setdefault(inner, its)
    return found


# A sweep begins with a state of its own; the jobs of its trials stand inside a Map, which is not looked into.
_KINDS = {
    "createTrainingJob.sync": "train",
    "createProcessingJob.sync": "process",
    "createModelPackage": "register",
}
_PHRASES = {TRY_ALL: "sweep", IS_IT_MET: "gate"}
