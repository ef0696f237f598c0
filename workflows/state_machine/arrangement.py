"""A graph of stages -> nested sequences and side-by-side groups, which is what Step Functions can run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from workflows.specification.pipeline import Pipeline, order


@dataclass(frozen=True)
class Steps:
    """Steps one after the other: stages' names and side-by-side groups."""

    steps: tuple[str | SideBySide, ...]

    def names(self) -> Iterator[str]:
        """The stages in it, in their order."""
        for step in self.steps:
            if isinstance(step, SideBySide):
                yield from step.names()
            else:
                yield step


@dataclass(frozen=True)
class SideBySide:
    """Sequences without an order between them."""

    branches: tuple[Steps, ...]

    def names(self) -> Iterator[str]:
        """The stages in it, in their order."""
        for branch in self.branches:
            yield from branch.names()


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
