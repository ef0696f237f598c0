"""The findings as a table for people."""

from __future__ import annotations

from collections.abc import Iterable

from rich.table import Table
from rich.text import Text

from stacks.doctor.findings import FAIL, OK, UNKNOWN, WARN, Finding

COLOURS = {OK: "green", WARN: "yellow", FAIL: "bold red", UNKNOWN: "magenta"}


def as_table(findings: Iterable[Finding]) -> Table:
    """A row for each; what AWS says is shown as it is, never as markup."""
    table = Table()
    for column in ("", "what", "seen", "to do"):
        table.add_column(column, overflow="fold")
    for each in findings:
        verdict = Text(each.verdict, style=COLOURS[each.verdict])
        table.add_row(verdict, Text(each.subject), Text(each.seen), Text(each.to_do))
    return table
