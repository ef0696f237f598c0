"""How long what follows a stage takes, and the whole run: for the deadline.

The arrangement of the stages is known, but not which of them a run will be asked for; so this is data for the
start expression, which knows (`$need(stage)`: seconds on on-demand, 0 for what is not wanted) and adds up.
"""

from __future__ import annotations

from typing import Any

from workflows.state_machine.arrangement import SideBySide, Steps

AFTER = (
    "$reduce($written.plan, function($known, $p) { ("
    "$behind := $max($append([0], $map($p.of, function($of) { $lookup($known, $of) }))); "
    "$seconds_ := $behind + $need($p.stage); "
    "$merge([$known, {$p.at: $seconds_}])) }, {})"
)
"""Place -> the seconds from there to the end of the run, places from the last one backwards."""


def timing(steps: Steps) -> dict[str, Any]:
    """What `AFTER` reads.

    `plan`: places, from the end of the run to its beginning; each begins with its stage (or with none), and
    `of` are those that follow. `tails`: stage -> the place after it; `whole`: the first place.
    """
    plan: list[dict[str, Any]] = []
    tails: dict[str, str] = {}

    def place(of: list[str], stage: str | None = None) -> str:
        at = str(len(plan))
        plan.append({"at": at, "of": of, **({} if stage is None else {"stage": stage})})
        return at

    def walk(steps: Steps, after: str) -> str:
        """The place at the beginning of the steps."""
        for step in reversed(steps.steps):
            if isinstance(step, SideBySide):
                after = place([walk(branch, after) for branch in step.branches])
            else:
                tails[step] = after
                after = place([after], step)
        return after

    whole = walk(steps, place([]))
    return {"plan": plan, "tails": tails, "whole": whole}
