"""Resume points: where a branch stands, as JSON, and how a new one goes on from there."""

from __future__ import annotations

from typing import Any

from workflows.local.step_functions.branch import Branch
from workflows.local.step_functions.jsonata.json_values import prepare


def snapshot(branch: Branch) -> dict[str, Any]:
    """Return where a branch stands: enough to go on from after a restart."""
    if branch.done:
        return {"done": True, "output": branch.output, "item": branch.item}
    return {
        "state": branch.at,
        "input": branch.input,
        "variables": branch.variables,
        "entered_id": branch.entered_id,
        "item": branch.item,
        "map_run": branch.map_run and branch.map_run.arn,
        "children": branch.children and [snapshot(child) for child in branch.children],
    }


def restore(branch: Branch, frontier: dict[str, Any], last_event: int) -> None:
    """Take up a resume point; `last_event` is the event that the next one follows."""
    branch.last_event = last_event
    branch.item = frontier["item"]
    if frontier.get("done"):
        branch.done, branch.output = True, frontier["output"]
        return
    if frontier["input"] is not branch.input:
        branch.use_input_text(None)  # that of the start
    branch.at, branch.input = frontier["state"], frontier["input"]
    branch.map_run = next((r for r in branch.execution.map_runs if r.arn == frontier.get("map_run")), None)
    branch.variables = frontier["variables"]
    branch.seen.update({name: prepare(value) for name, value in branch.variables.items()})
    branch.entered_id = frontier["entered_id"]
    branch.resuming = True
    if frontier["children"] is not None:
        branch.children = _children(branch, frontier["children"])


def _children(branch: Branch, frontiers: list[dict[str, Any]]) -> list[Branch]:
    """Make the children of a resume point; those that are done keep their output."""
    state = branch.program.states[branch.at]
    children = []
    for place, frontier in enumerate(frontiers):
        program = state.branches[0 if state.type == "Map" else place]
        child = branch.child(program, None, item=None)
        restore(child, frontier, branch.last_event)
        children.append(child)
    return children
