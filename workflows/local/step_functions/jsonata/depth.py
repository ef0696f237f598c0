"""How deep an evaluation is, as Step Functions counts it: refused beyond 100.

The reference has one counter, up at each node's entry and down at its exit. It evaluates the items of an
array and the values of an object side by side: they count together, as far as they meet in time. Here
they are evaluated one after the other. So the cheap count is a bound from below (levels) and one from
above (as if all parts met at their deepest); only where the limit lies between them, `exact` lays the
parts side by side in time, a step for each time that the reference lets the others go on.
"""

from __future__ import annotations

from itertools import zip_longest
from typing import Any

MAX_DEPTH = 100
MAX_STEPS = 500_000
"""In place of AWS's seconds, so that a run repeats."""


class BoundError(Exception):
    """An expression ran too deep or too long."""


TOO_DEEP = (
    "Stack overflow error: Check for non-terminating recursive function. "
    "Consider rewriting as tail-recursive."
)


class UnclearError(Exception):
    """The bounds do not say whether it is too deep: `exact` does."""


class _Open:
    """A node that is being evaluated."""

    __slots__ = ("aside", "floor", "level", "members", "ticks", "together", "top")

    def __init__(self, level: int, floor: int, together: bool, aside: frozenset[int]) -> None:
        self.level = level
        self.floor = floor
        """What its next part stands on, at most."""
        self.top = floor
        """How far down it and its parts came, at most."""
        self.together = together
        self.aside = aside
        """Parts that are evaluated before the others: the keys of an object."""
        self.ticks = [1]
        """How deep it was, parts and all, from one step in time to the next; only where it is exact."""
        self.members: list[list[int]] = []


class Depth:
    """Counts the nodes of one evaluation, as the library enters and leaves them."""

    def __init__(self) -> None:
        self.begin()

    def begin(self, *, exact: bool = False) -> None:
        """Another evaluation."""
        self._exact = exact
        self._open = [_Open(0, 0, False, frozenset())]
        self._steps = 0

    @property
    def deepest(self) -> int:
        """Of the evaluation so far: at most, unless it is exact."""
        return max(self._open[0].ticks) - 1 if self._exact else self._open[0].top

    def entered(self, node: Any, _input: Any, _frame: Any) -> None:
        """Raises BoundError, or UnclearError."""
        around = self._open[-1]
        level = around.level + 1
        self._steps += 1
        if level > MAX_DEPTH:
            raise BoundError(f"{TOO_DEEP} Depth={level} max={MAX_DEPTH}")
        if self._steps > MAX_STEPS:
            raise BoundError("Expression evaluation timeout: Check for infinite loop")
        if around.floor >= MAX_DEPTH and not self._exact:
            raise UnclearError
        together = node.type == "unary" and str(node.value) in "[{"
        keys = getattr(node, "lhs_object", None) if together else None
        aside = frozenset(id(key) for key, _ in keys or ())
        self._open.append(_Open(level, around.floor + 1, together, aside))

    def left(self, node: Any, _input: Any, _frame: Any, _result: Any) -> None:
        """The node is done; what stands beside it comes on top of it."""
        done, around = self._open.pop(), self._open[-1]
        beside = around.together and id(node) not in around.aside
        around.top = max(around.top, done.top)
        if beside:
            around.floor = max(around.floor, done.top)
        if self._exact:
            self._lay(done, around, beside)

    def _lay(self, done: _Open, around: _Open, beside: bool) -> None:
        """Its steps in time, after those before it or beside them."""
        if done.members:
            done.ticks += [1 + sum(meet) for meet in zip_longest(*done.members, fillvalue=0)]
        whole = done.ticks if len(done.ticks) == 1 else [*done.ticks, 1]
        if done.level + max(whole) - 1 > MAX_DEPTH:
            raise BoundError(f"{TOO_DEEP} Depth={done.level + max(whole) - 1} max={MAX_DEPTH}")
        whole = [*whole, 0, 0]  # its exit, and the way back
        if beside:
            around.members.append(whole)
        else:
            around.ticks += [1 + each for each in whole]
