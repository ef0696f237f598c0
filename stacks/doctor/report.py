"""The findings as tables for people, as a document, and as a file that can be attached to an issue."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.table import Table
from rich.text import Text

from stacks.doctor.findings import FAIL, OK, UNKNOWN, WARN, Finding
from stacks.doctor.machines import Row

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


def states_table(rows: Iterable[Row]) -> Table:
    """A row for each state that AWS was asked about, with what a local run did and what AWS answers."""
    table = Table(title="TestState: each state as AWS runs it")
    for column in ("", "machine", "state", "local run", "AWS"):
        table.add_column(column, overflow="fold")
    for each in rows:
        told = each.told if not each.differs else "\n".join((each.told, *each.differs))
        verdict = Text(each.verdict, style=COLOURS[each.verdict])
        table.add_row(verdict, Text(each.machine), Text(each.state), Text(each.ours), Text(told))
    return table


def document(findings: Sequence[Finding], rows: Sequence[Row]) -> dict[str, Any]:
    """Everything that was found; of a state the request only where the answer differs."""
    verdicts = [*(each.verdict for each in findings), *(each.verdict for each in rows)]
    states = [{**asdict(each), "request": each.request if each.differs else {}} for each in rows]
    return {"ok": FAIL not in verdicts, "findings": [asdict(each) for each in findings], "states": states}


def write_report(path: Path, told: Mapping[str, Any], account: str) -> None:
    """The document in a file, without the number of the account."""
    path.write_text(json.dumps(told, indent=2).replace(account, "0" * len(account)) + "\n", "utf-8")
