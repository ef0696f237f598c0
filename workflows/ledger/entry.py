"""The line of the ledger: what is known of one attempt, with the unit, the size and the name of each field.

    the machine's JSONata            state_machine/verdict.py    completed against `columns`
    a trial's line that sums up      state_machine/trial_result.py   leaves out what says False in `summed`
    the item of the table            attempts.py                 every column, read back by its kind
    the metrics                      state_machine/attempt_record.py   the columns that name one
    the receipt, the JSON documents  receipt.py                  by `Entry`'s attributes and `document`
    the bytes of a run's results     state_machine/worst_case.py     the sum of `longest`

A field is added here, and the compiler refuses to compile until the machine fills it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, Field, dataclass, field, fields
from datetime import UTC, datetime
from enum import StrEnum
from functools import cache
from typing import Any, Literal

from workflows.errors import RelayError

Kind = Literal["text", "whole", "number", "moment"]
_COLUMN = "column"  # the key of a dataclass field's metadata


class EntryError(RelayError):
    """What was to be a line of the ledger is none."""


class Metric(StrEnum):
    """The metrics of an attempt in CloudWatch: those of a field are named by it, in camel case."""

    INTERRUPTIONS = "Interruptions"
    QUEUED = "QueuedSeconds"
    COST = "CostUSD"
    SAVED = "SavedUSD"  # on_demand_usd - usd
    NO_PROGRESS = "NoProgress"  # the attempt moved nothing on
    ON_DEMAND = "OnDemandAttempts"
    DEADLINE_PRESSED = "DeadlinePressed"


@dataclass(frozen=True)
class Column:
    """What a field of the line is, wherever it is written."""

    kind: Kind
    says: str
    longest: int  # bytes of its JSON value in a line of an attempt that was lost, quotes included
    unit: str = ""  # seconds, US dollars, steps; empty for names and counts
    of: Literal["every attempt", "a trial", "a sum"] = "every attempt"
    summed: bool = True  # kept in the line that stands for a trial's attempts
    metric: Metric | None = None  # that it feeds
    document: str = ""  # its key in the JSON documents, where that is older than the field's name

    def read(self, value: Any) -> Any:
        """The value of the line's JSON, or the text of an item of the table. Raises ValueError, TypeError."""
        if self.kind == "moment":
            return datetime.fromisoformat(value)
        if isinstance(value, str) and self.kind != "text":
            return int(float(value)) if self.kind == "whole" else float(value)
        return value


def _column(kind: Kind, says: str, longest: int, *, default: Any = MISSING, **more: Any) -> Any:
    metadata = {_COLUMN: Column(kind, says, longest, **more)}
    return field(metadata=metadata) if default is MISSING else field(default=default, metadata=metadata)


_NAME = 42  # bytes of a stage's name (40 characters, `specification/stages.py`) with its quotes
_JOB = 65  # of a job's name (63 characters, CreateTrainingJob API reference)
_STEP, _SECONDS, _DOLLARS, _COUNT = 7, 6, 9, 2  # digits: ten million steps, 11 days, $99.999999, 99
_MOMENT = 22  # "2026-11-25T20:09:27Z"


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One attempt and what was decided after it; the fields are in the order in which the machine writes."""

    stage: str = _column("text", "the stage", _NAME)
    attempt: int = _column("whole", "its number, from 1 on", _COUNT, default=0)
    job: str = _column("text", "the job's name", _JOB)
    market: str = _column("text", "spot or on-demand", 11)
    instance_type: str = _column("text", "the type that it got", 18)
    instance_count: int = _column("whole", "instances; AWS bills each", _COUNT)
    outcome: str = _column("text", "why it ended (`Outcome`)", 22)
    message: str = _column("text", "what AWS or the script said of the end", 60, default="")
    created: datetime | None = _column("moment", "when the job was made", _MOMENT, summed=False, default=None)  # noqa: RUF009
    ended: datetime | None = _column("moment", "when it ended", _MOMENT, summed=False, default=None)  # noqa: RUF009
    queued_seconds: float | None = _column(
        "number",
        "without instances: for capacity and their launch",
        _SECONDS,
        unit="seconds",
        summed=False,
        metric=Metric.QUEUED,
        document="seconds_queued",
        default=None,
    )
    trained_seconds: float = _column(
        "number", "on the instances", _SECONDS, unit="seconds", document="seconds_trained"
    )
    billed_seconds: float | None = _column(
        "number",
        "that AWS bills for each instance; null where AWS did not say",
        _SECONDS,
        unit="seconds",
        document="seconds_billed",
        default=None,
    )
    usd: float | None = _column(
        "number",
        "what it cost; left out where the price is not known",
        _DOLLARS,
        unit="US dollars",
        metric=Metric.COST,
        default=None,
    )
    on_demand_usd: float | None = _column(
        "number",
        "the work that was kept, on on-demand without interruptions",
        _DOLLARS,
        unit="US dollars",
        summed=False,
        default=None,
    )
    interruptions: int = _column("whole", "inside the job", _COUNT, metric=Metric.INTERRUPTIONS)
    resumed_step: int = _column("whole", "from which it went on", _STEP, unit="steps", default=0)
    reached_step: int = _column("whole", "that it did last", _STEP, unit="steps", default=0)
    saved_step: int = _column("whole", "of its newest checkpoint", _STEP, unit="steps", default=0)
    trial: int | None = _column("whole", "of a sweep", 3, of="a trial", default=None)
    decision: str = _column("text", "what came next (`Next`)", 11)
    why: str = _column("text", "the reason of the decision", 72, document="reason")
    wait_seconds: float = _column("number", "of pause before the next attempt", 5, unit="seconds", default=0)
    attempts: int = _column("whole", "how many attempts the line stands for", _COUNT, of="a sum", default=1)

    @classmethod
    def from_json(cls, line: Mapping[str, Any]) -> Entry:
        """The line as the machine assigned it; fields of a newer machine are left out. Raises EntryError."""
        return cls(**read_fields(line, f"the ledger's line of the job `{line.get('job', '?')}`"))

    @property
    def order(self) -> tuple[int, int]:
        """(redrive, attempt), by which the attempts of a stage are in order."""
        return attempt_of(self.job)

    @property
    def billed(self) -> float:
        """Billed seconds of one instance; the trained ones where AWS reported none."""
        return self.trained_seconds if self.billed_seconds is None else self.billed_seconds

    @property
    def period(self) -> tuple[datetime, datetime]:
        """From the job's creation to its end; only where `timed`. Raises EntryError."""
        if self.created is None or self.ended is None:
            raise EntryError(f"the ledger has no times of the job `{self.job}`: ask `timed` first")
        return self.created, self.ended

    @property
    def timed(self) -> bool:
        """Whether its times are known: a line that stands for several has none."""
        return self.created is not None and self.ended is not None

    @property
    def moved(self) -> bool:
        """Whether it did steps."""
        return self.reached_step > self.resumed_step

    @property
    def place(self) -> str:
        """Where it ran, for people: `spot 2 x ml.g5.xlarge`."""
        return f"{self.market} {self.instances}"

    @property
    def instances(self) -> str:
        """On what it ran, for people: `2 x ml.g5.xlarge`, `ml.m5.xlarge`."""
        count = f"{self.instance_count} x " if self.instance_count > 1 else ""
        return f"{count}{self.instance_type}"


@cache
def columns() -> Mapping[str, Column]:
    """Name -> what it is, in the order of the line."""
    return {each.name: each.metadata[_COLUMN] for each in fields(Entry)}


def names_in_a_row(*, trial: bool) -> set[str]:
    """The fields that the machine writes for each attempt; `trial`: for one of a sweep's."""
    kept = {"every attempt", "a trial"} if trial else {"every attempt"}
    return {name for name, column in columns().items() if column.of in kept}


def measured() -> dict[Metric, str]:
    """Metric -> the field that it is measured by, in the order in which they are sent."""
    fed = {column.metric: name for name, column in columns().items() if column.metric}
    return {metric: fed[metric] for metric in Metric if metric in fed}


def document_key(name: str) -> str:
    """The field's key in the JSON documents."""
    return columns()[name].document or name


def bytes_of_a_row() -> int:
    """The longest line that a lost attempt leaves: its fields as compact JSON, `"name":value,`."""
    row = names_in_a_row(trial=False)
    return 2 + sum(len(f'"{name}":,') + column.longest for name, column in columns().items() if name in row)


def read_fields(values: Mapping[str, Any], what: str) -> dict[str, Any]:
    """The fields that `values` gives, typed; null counts as not given. Raises EntryError, which names
    `what`."""
    given = {name: values[name] for name in columns() if values.get(name) is not None}
    missing = [each.name for each in fields(Entry) if _required(each) and each.name not in given]
    if missing:
        raise EntryError(f"{what} has no {', '.join(missing)}: it was not written by Relay")
    try:
        return {name: columns()[name].read(value) for name, value in given.items()}
    except (TypeError, ValueError) as error:
        raise EntryError(f"{what} was not written by Relay: {error}") from None


def _required(of_it: Field[Any]) -> bool:
    return of_it.default is MISSING


def attempt_of(job: str) -> tuple[int, int]:
    """(redrive, attempt) from the end of a job's name, by which the attempts of a stage are in order."""
    *_, redrive, attempt = job.split("-")
    return int(redrive), int(attempt)


def moment_text(moment: datetime | None) -> str | None:
    """A moment as the machine writes it, to the second: `2026-11-25T20:09:27Z`."""
    return f"{moment.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}" if moment else None
