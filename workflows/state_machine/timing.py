"""How long what follows a stage takes, and the whole run: for the deadline.

The arrangement of the stages is known, but not which of them a run will be asked for; so this is text for the
start expression, which knows (`$need(stage)`: seconds on on-demand, 0 for what is not wanted).
"""

from __future__ import annotations

import json

from workflows.state_machine.arrangement import SideBySide, Steps


def bindings(steps: Steps) -> tuple[str, str]:
    """(assignments, object): `$after_none` is the length of the whole run; stage -> seconds after its end."""
    lines: list[str] = []
    tails: dict[str, str] = {}
    numbers = iter(range(1_000_000))

    def bind(text: str) -> str:
        name = f"$after_{next(numbers)}"
        lines.append(f"{name} := {text}; ")
        return name

    def walk(steps: Steps, after: str) -> str:
        """The variable that holds the seconds from the beginning of the steps to the end of the run."""
        for step in reversed(steps.steps):
            if isinstance(step, SideBySide):
                branches = [walk(branch, after) for branch in step.branches]
                after = bind(f"$max([{', '.join(branches)}])")
            else:
                tails[step] = after
                after = bind(f"{after} + $need({json.dumps(step)})")
        return after

    lines.append("$after_last := 0; ")
    lines.append(f"$after_none := {walk(steps, '$after_last')}; ")
    # `walk` has appended its lines before the last one was made.
    text = "{" + ", ".join(f"{json.dumps(name)}: {tail}" for name, tail in tails.items()) + "}"
    return "".join(lines), text
