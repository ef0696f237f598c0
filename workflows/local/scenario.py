"""Scenario files: what spot capacity does while a pipeline runs.

    spot:
      pretrain: [{interrupt: 40%}, {interrupt: 70%, back: 30s}, available]
      finetune: [{interrupt: 90s}, none, {error: CapacityError}]
      tune: [none]                        each trial of a sweep goes through the list alone
      tune/3: [{interrupt: 50%}]          but for this one
    on_demand:
      finetune: [{error: CapacityError}]

or `random: {up: 2h, down: 20m}`, or `trace: {file: zone.json, need: 1}`. Beside either of them, readings of
what AWS does not say of a job's checkpoints (AWS.md 4.5, 4.12):

    last_upload: lost     sent before a stopped job is shown as Stopped; lost: never; late: after it
    restored: sent        kept: what was restored is sent when it changes; sent: again at the start
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    model_validator,
)

from workflows.errors import RelayError
from workflows.specification.durations import parse_duration

BUILTIN = Path(__file__).with_name("scenarios")

_PERCENT = re.compile(r"(\d+(?:\.\d+)?)\s*%")


class ScenarioError(RelayError):
    """A scenario that cannot be used; says where, what was found and what is allowed."""


def seconds(value: object) -> float:
    """Returns `"30s"`, `"45m"` or `"1h30m"` in seconds; a bare number is seconds."""
    if isinstance(value, int | float) and not isinstance(value, bool) and value >= 0:
        return float(value)
    try:
        return parse_duration(value).total_seconds()
    except ValueError as error:
        raise ValueError(f"allowed: {error}") from None


def _moment(value: object) -> tuple[str, float]:
    """Reads `40%` of the stage's work, or `30s` of this attempt's training."""
    percent = _PERCENT.fullmatch(str(value).strip())
    if percent:
        if float(percent[1]) > 100:
            raise ValueError("allowed: 0% to 100%")
        return ("fraction", float(percent[1]) / 100)
    try:
        return ("seconds", seconds(value))
    except ValueError:
        raise ValueError(
            'allowed: a share of the stage\'s work such as "40%", or a time such as "30s"'
        ) from None


def _moments(value: object) -> tuple[tuple[str, float], ...]:
    return tuple(_moment(each) for each in (value if isinstance(value, list) else [value]))


Duration = Annotated[float, BeforeValidator(seconds)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Entry(_Part):
    """What happens to one attempt: `available`, `none`, or a mapping of these members."""

    capacity: Literal["available", "none"] = "available"
    wait: Duration = 0.0
    interrupt: Annotated[tuple[Any, ...], BeforeValidator(_moments)] = ()
    back: Duration | None = None
    notice: Duration = 0.0
    error: Literal["CapacityError"] | None = None

    @model_validator(mode="before")
    @classmethod
    def _word(cls, value: object) -> object:
        if value is None:  # YAML reads a bare `none` as text, but `null` and `~` as this
            return {"capacity": "none"}
        if isinstance(value, str):
            if value in ("available", "none"):
                return {"capacity": value}
            near = difflib.get_close_matches(value, ["available", "none"], n=1)
            hint = f"; did you mean {near[0]}?" if near else ""
            raise ValueError(f"allowed: available, none, or a mapping like {{interrupt: 40%}}{hint}")
        return value

    @model_validator(mode="after")
    def _whole(self) -> Entry:
        if len(self.interrupt) > 1 and self.back is None:
            raise ValueError("several interruptions in one attempt need `back`: when it returns")
        return self


class Random(_Part):
    """The mean times with and without capacity, whose distribution is exponential."""

    up: Annotated[float, BeforeValidator(seconds), Field(gt=0)]
    down: Annotated[float, BeforeValidator(seconds), Field(gt=0)]
    notice: Duration = 0.0


class Trace(_Part):
    """A recorded history: its file, how many instances must be there, where in it to start."""

    file: str
    need: int = Field(default=1, ge=1)
    start: Duration = 0.0
    notice: Duration = 0.0


class Scenario(_Part):
    """One of `spot`/`on_demand` lists, `random`, or `trace`; and what becomes of checkpoints."""

    spot: dict[str, list[Entry]] = {}
    on_demand: dict[str, list[Entry]] = {}
    random: Random | None = None
    trace: Trace | None = None
    last_upload: Literal["sent", "lost", "late"] = "sent"
    restored: Literal["kept", "sent"] = "kept"

    @model_validator(mode="after")
    def _one(self) -> Scenario:
        kinds = [bool(self.spot or self.on_demand), self.random is not None, self.trace is not None]
        if sum(kinds) > 1:
            raise ValueError("allowed: one of spot and on_demand lists, random, or trace")
        return self


def find_scenario(name: str | None, *, beside: Path | None, stages: Collection[str] | None) -> Scenario:
    """The scenario that a user means by a name.

    `none`: nothing happens; a path: that file; otherwise a built-in one. Without a name, scenario.yaml in the
    folder `beside` if it is there, else none. Raises ScenarioError.
    """
    if name is None:
        usual = beside / "scenario.yaml" if beside else None
        return read_scenario(usual, stages) if usual and usual.is_file() else Scenario()
    if name == "none":
        return Scenario()
    if "/" in name or Path(name).suffix in {".yaml", ".yml"}:
        return read_scenario(Path(name), stages)
    builtin = {path.stem: path for path in sorted(BUILTIN.glob("*.yaml"))}
    if name not in builtin:
        known = ["none", *builtin]
        raise ScenarioError(
            f"--scenario: found {name!r}; allowed: {', '.join(known)}, or a YAML file{_nearest(name, known)}"
        )
    return read_scenario(builtin[name], stages)


def read_scenario(path: Path, stages: Collection[str] | None = None) -> Scenario:
    """Read a scenario file; `stages`, where given, are the only names it may use.

    A mapping says how many trials each stage has, 0 for one that is no sweep.
    """
    try:
        content = yaml.safe_load(path.read_text("utf-8"))
    except OSError as error:
        raise ScenarioError(f"{path}: cannot be read: {error.strerror}") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ScenarioError(f"{path}: not YAML: {error}") from None
    scenario = parse_scenario(content, source=str(path), stages=stages)
    if scenario.trace is None:
        return scenario
    file = path.parent / scenario.trace.file  # a relative name is relative to the scenario
    if not file.is_file():
        raise ScenarioError(f"{path}: trace.file: no file {file}")
    return scenario.model_copy(update={"trace": scenario.trace.model_copy(update={"file": str(file)})})


def parse_scenario(
    content: object, *, source: str = "scenario", stages: Collection[str] | None = None
) -> Scenario:
    """The scenario in `content`; every mistake is one line of the error."""
    try:
        scenario = Scenario.model_validate({} if content is None else content)
    except ValidationError as error:
        lines = [_line(source, dict(each)) for each in error.errors()]
        raise ScenarioError("\n".join(lines)) from None
    for market in ("spot", "on_demand"):
        for name in getattr(scenario, market):
            if problem := _unknown(name, stages):
                raise ScenarioError(f"{source}: {market}: found {problem}")
    return scenario


def _unknown(name: str, stages: Collection[str] | None) -> str | None:
    """What is wrong with the name of a stage, or of a trial like `tune/3`; None if nothing is."""
    stage, is_trial, trial = name.partition("/")
    if stages is not None and stage not in stages:
        return f"stage {stage!r}; allowed: {', '.join(sorted(stages))}{_nearest(stage, stages)}"
    if not is_trial:
        return None
    if not re.fullmatch(r"0|[1-9][0-9]*", trial):
        return f"trial {name!r}; allowed: the number of a trial, as in {stage}/0"
    if isinstance(stages, Mapping) and int(trial) >= stages[stage]:
        allowed = f"{stage}/0 to {stage}/{stages[stage] - 1}" if stages[stage] else "no trial: it is no sweep"
        return f"trial {name!r}; allowed: {allowed}"
    return None


_MEMBERS = {
    "spot": ["interrupt", "back", "wait", "notice", "error", "capacity"],
    "on_demand": ["interrupt", "back", "wait", "notice", "error", "capacity"],
    "random": list(Random.model_fields),
    "trace": list(Trace.model_fields),
}


def _line(source: str, error: dict[str, Any]) -> str:
    place = [str(part) for part in error["loc"]]
    shown = f"{source}: {'.'.join(place)}: " if place else f"{source}: "
    if error["type"] == "extra_forbidden":
        allowed = _MEMBERS.get(place[0], []) if len(place) > 1 else list(Scenario.model_fields)
        return f"{shown}found {place[-1]!r}; allowed: {', '.join(allowed)}" + _nearest(place[-1], allowed)
    reason = error["msg"].removeprefix("Value error, ")
    if error["type"] == "missing":
        return f"{shown}is missing"
    return f"{shown}found {error['input']!r}; {reason}"


def _nearest(name: str, allowed: Collection[str]) -> str:
    near = difflib.get_close_matches(name, allowed, n=1)
    return f"; did you mean {near[0]!r}?" if near else ""
