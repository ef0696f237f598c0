"""Stages -> one state machine: sequence and Parallel, the run's variables, the run's output."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from workflows import decisions
from workflows.pipeline import Pipeline, order
from workflows.state_machine import expressions as x
from workflows.state_machine import language as asl
from workflows.state_machine.language import jsonata
from workflows.state_machine.stage import StageStates
from workflows.training_job import Materials, Site, variable

LONGEST_STATE_NAME = 80


def compile_pipeline(pipeline: Pipeline, site: Site, materials: Mapping[str, Materials]) -> dict[str, Any]:
    """The definition of the pipeline's state machine.

    `materials`: for each stage its image URIs, code prefix and uploaded inputs. Pure: the same input gives
    the same text, in every world.
    """
    return asl.machine(
        _Compiler(pipeline, site, materials).whole(),
        comment=pipeline.description or f"{pipeline.name}, compiled by Relay",
    )


@dataclass(frozen=True)
class Steps:
    """Steps one after the other: stages' names and side-by-side groups."""

    steps: tuple[str | SideBySide, ...]


@dataclass(frozen=True)
class SideBySide:
    """Sequences without an order between them."""

    branches: tuple[Steps, ...]


def arrange(pipeline: Pipeline) -> Steps:
    """The stages as nested sequences and side-by-side groups that keep every need."""
    names = order(pipeline)
    needs = {name: set(pipeline.needs(pipeline.stage(name))) for name in names}
    return _arrange(names, needs)


def _arrange(names: list[str], needs: Mapping[str, set[str]]) -> Steps:
    if len(names) <= 1:
        return Steps(tuple(names))
    groups = _connected(names, needs)
    if len(groups) > 1:
        return Steps((SideBySide(tuple(_arrange(group, needs) for group in groups)),))
    inside = set(names)
    first = [name for name in names if not needs[name] & inside]
    last = [name for name in names if not any(name in needs[other] for other in names)]
    cut = set(last) if len(last) == 1 and len(first) > 1 else inside - set(first)
    before = [name for name in names if name not in cut]
    after = [name for name in names if name in cut]
    return Steps(_arrange(before, needs).steps + _arrange(after, needs).steps)


def _connected(names: list[str], needs: Mapping[str, set[str]]) -> list[list[str]]:
    """The names in groups that no need ties together, in their order."""
    group = {name: {name} for name in names}
    for name in names:
        for need in needs[name] & set(names):
            joined = group[name] | group[need]
            for member in joined:
                group[member] = joined
    unique = dict.fromkeys(frozenset(members) for members in (group[name] for name in names))
    return [[name for name in names if name in members] for members in unique]


class _Compiler:
    """Walks the arrangement once; a scope is the machine itself or one branch of a Parallel."""

    def __init__(self, pipeline: Pipeline, site: Site, materials: Mapping[str, Materials]) -> None:
        self.pipeline, self.site, self.materials = pipeline, site, materials
        self.scopes = 0

    def whole(self) -> Any:
        """The first state of the machine, everything linked behind it."""
        steps = arrange(self.pipeline)
        fixed = {"run": jsonata(_run(self.pipeline.name)), "policy": decisions.policy_data()}
        start = asl.Pass("start", assign=fixed | self._variables(steps, "done"), output={})
        end = asl.Succeed("run: done", output={"run": jsonata("$run.id"), "stages": jsonata("$done")})
        self._link(steps, "done", {}, start).next(end)
        return start

    def _variables(self, steps: Steps, results: str) -> dict[str, Any]:
        """What a scope assigns first: its results, and a variable for each stage that runs in it."""
        names = [step for step in steps.steps if isinstance(step, str)]
        return {results: {}, **{variable(n): x.fresh(self.pipeline.stage(n)) for n in names}}

    def _link(self, steps: Steps, results: str, known: Mapping[str, str], last: Any) -> Any:
        """Appends the steps to `last`. `known`: finished stage -> variable of an enclosing scope."""
        known = dict(known)
        for step in steps.steps:
            if isinstance(step, SideBySide):
                parallel = self._parallel(step, results, known)
                last.next(parallel)
                last = parallel
                known |= dict.fromkeys(_names(step), results)
            else:
                materials = replace(self.materials[step], results=known)
                states = StageStates(self.pipeline, self.pipeline.stage(step), self.site, materials, results)
                last.next(states.entry)
                last = states.done
                known[step] = results
        return last

    def _parallel(self, side: SideBySide, results: str, known: Mapping[str, str]) -> Any:
        """Branches may read outer variables but not assign them, so each has its own results to hand over."""
        joined = f"$merge($append([${results}], $states.result))"
        parallel = asl.Parallel(
            _title("side by side: ", _names(side)), assign={results: jsonata(joined)}, output={}
        )
        for branch in side.branches:
            self.scopes += 1
            own = f"done_{self.scopes}"
            names = list(_names(SideBySide((branch,))))
            start = asl.Pass(_title("branch: ", names), assign=self._variables(branch, own), output={})
            end = asl.Pass(_title("branch done: ", names), output=jsonata(f"${own}"))
            self._link(branch, own, known, start).next(end)
            parallel.add_branch(start)
        return parallel


def _names(side: SideBySide) -> Iterable[str]:
    for branch in side.branches:
        for step in branch.steps:
            if isinstance(step, SideBySide):
                yield from _names(step)
            else:
                yield step


def _title(phrase: str, names: Iterable[str]) -> str:
    text = phrase + ", ".join(names)
    return text if len(text) <= LONGEST_STATE_NAME else text[: LONGEST_STATE_NAME - 4] + " ..."


def _run(pipeline: str) -> str:
    """The variable `$run`: id (safe in keys and tags), key prefix, and the tag of the job names.

    Execution names are free again after 90 days, and a run must never find the checkpoints of an older one:
    so the date is part of the prefix, and the start time part of the tag.
    """
    return (
        "($execution := $states.context.Execution; $name := $execution.Name; "
        "$id := $contains($name, /^[A-Za-z0-9_-][A-Za-z0-9._-]*$/) ? $name : "
        '$replace($name, /[^A-Za-z0-9_-]/, "-") & "-" & $substring($hash($name, "SHA-256"), 0, 8); '
        f'{{"id": $id, "prefix": "{pipeline}/runs/" & $substring($execution.StartTime, 0, 10) & "-" & $id, '
        '"tag": $substring($hash($execution.Id & $execution.StartTime, "SHA-256"), 0, 10)})'
    )
