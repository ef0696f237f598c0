"""The rules that others use, and ours, as the yardstick of `replay.py` sees them.

All share: a working spot instance is never left, and whoever is idle when the time left falls below what
on-demand needs goes on-demand to the end (the safety net, `Situation.must_run`).
"""

from __future__ import annotations

from workflows.planning.study.replay import Mode, Rule, Situation


def spot_only(seen: Situation) -> Mode:
    """Waits for spot capacity for as long as it takes, and misses deadlines."""
    return Mode.SPOT if seen.spot else Mode.IDLE


def greedy(seen: Situation) -> Mode:
    """Spot while there is some; else waits until the safety net; on-demand is for good.

    The class of Relay's machine without a retry budget: waiting is a pending spot job, which costs nothing.
    """
    if seen.mode is Mode.ON_DEMAND:
        return Mode.ON_DEMAND
    if seen.mode is Mode.SPOT:
        return Mode.SPOT
    if seen.must_run():
        return Mode.ON_DEMAND
    return Mode.SPOT if seen.spot else Mode.IDLE


def budget(most: int) -> Rule:
    """Spot until so many interruptions, then on-demand; the rule of most schedulers."""

    def rule(seen: Situation) -> Mode:
        if seen.mode is Mode.IDLE and seen.interruptions >= most:
            return Mode.ON_DEMAND
        return greedy(seen)

    return rule


def uniform_progress(seen: Situation) -> Mode:
    """Keeps to the straight line from nothing at the start to everything at the deadline.

    Wu et al., "Can't Be Late", NSDI'24: behind the line and without spot, on-demand; back to spot when it is
    there and the line of two changeovers later is reached.
    """
    if seen.mode is Mode.SPOT:
        return Mode.SPOT
    if seen.must_run():
        return Mode.ON_DEMAND
    done = seen.task.work - seen.left
    if seen.mode is Mode.ON_DEMAND:
        ahead = done >= _line(seen, seen.now + 2 * seen.task.changeover)
        return Mode.SPOT if seen.spot and ahead else Mode.ON_DEMAND
    if seen.spot:
        return Mode.SPOT
    return Mode.ON_DEMAND if done < _line(seen, seen.now) else Mode.IDLE


def _line(seen: Situation, when: float) -> float:
    return when * seen.task.work / seen.task.deadline


RULES: dict[str, Rule] = {
    "spot only": spot_only,
    "budget 1": budget(1),
    "budget 3": budget(3),
    "budget 10": budget(10),
    "greedy": greedy,
    "uniform progress": uniform_progress,
}
