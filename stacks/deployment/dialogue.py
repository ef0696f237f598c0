"""What a person sees of a deployment, and is asked."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence

from rich.console import Console
from rich.table import Table

from stacks.deployment.changes import Change
from stacks.deployment.errors import DeploymentError
from stacks.deployment.stack import Event
from stacks.deployment.status import FRESH

COLOURS = {"Add": "green", "Import": "green", "Modify": "yellow", "Remove": "red"}
MOST_PROPERTIES = 3  # of a changed resource that are named


class Dialogue:
    """Tables, questions and progress on one console; without a terminal nothing is asked."""

    def __init__(self, console: Console, *, yes: bool) -> None:
        """Talks to the person; with `yes` every question is answered already."""
        self.console, self.yes = console, yes

    def say(self, text: str, style: str = "") -> None:
        """One line, as it is."""
        self.console.print(text, style=style or None, markup=False)

    def show(self, stack: str, status: str, changes: Sequence[Change]) -> None:
        """What would change in a stack."""
        before = "new" if status in FRESH else status
        self.say(f"{stack}: {before}, {counted(len(changes), 'resource')} to change")
        table = Table()
        for column in ("action", "resource", "type", ""):
            table.add_column(column, overflow="fold")
        for each in changes:
            table.add_row(
                _action(each), each.logical_id, each.kind.removeprefix("AWS::"), _remark(each),
                style="red" if each.goes else COLOURS.get(each.action, ""),
            )  # fmt: skip
        self.console.print(table)
        roles = sum(each.kind.startswith("AWS::IAM::") and not each.goes for each in changes)
        if roles:
            self.say(
                f"{counted(roles, 'role')} among them: to say yes is to let CloudFormation make or change "
                "them (their statements: python -m stacks PIPELINE)"
            )

    def agree(self, question: str) -> bool:
        """Raises DeploymentError where nobody can answer."""
        return self.yes or self._answer(f"{question} [y/N] ").lower() in {"y", "yes"}

    def typed(self, word: str, question: str) -> bool:
        """Whether the word was typed; as `agree`."""
        return self.yes or self._answer(f"{question}; type {word} to go on: ") == word

    def _answer(self, prompt: str) -> str:
        if not sys.stdin.isatty():
            raise DeploymentError("nobody can be asked here, this is no terminal: look, then say --yes")
        self.console.print(prompt, end="", markup=False)
        return sys.stdin.readline().strip()

    def follow(self, events: Iterable[Event]) -> list[Event]:
        """Shows events as they come; returns those that are causes of a failure."""
        failed = []
        for event in events:
            if event.failed:
                failed.append(event)
            style = "red" if "FAILED" in event.status or "ROLLBACK" in event.status else ""
            why = f": {event.reason}" if event.reason and style else ""
            self.say(f"  {event.status.lower().replace('_', ' '):28} {event.logical_id}{why}", style)
        return failed


def counted(number: int, noun: str) -> str:
    """`1 role`, `2 roles`."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _action(change: Change) -> str:
    if change.replaces:
        return "replace" if change.replacement == "True" else "replace?"
    return change.action.lower()


def _remark(change: Change) -> str:
    if change.remark:
        return change.remark
    named = change.properties[:MOST_PROPERTIES]
    more = len(change.properties) - len(named)
    return ", ".join(named) + (f" and {more} more" if more else "")
