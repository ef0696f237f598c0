"""A plan as people read it in a terminal."""

from __future__ import annotations

from collections.abc import Iterable

import yaml
from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from workflows.planning.answers import Plan
from workflows.planning.plan import Summary

VERDICTS = {
    True: "spot is suitable",
    False: "spot is not worth it",
    None: "spot cannot be weighed against on-demand",
}


def as_text(plan: Plan) -> RenderableType:
    """Cost and finish, the advice, what each setting does, and what all of it rests on."""
    parts: list[RenderableType] = [_result(plan), Text()]
    parts += [*_advice(plan), Text()]
    for what, found in plan.sensitivity.items():
        parts += [
            _table(
                f"If the {what} were different",
                found,
                deadline=plan.deadline_hours is not None or what == "deadline",
            ),
            Text(),
        ]
    if plan.comparison:
        parts += [_comparison(plan), Text()]
    parts.append(_assumptions(plan))
    return Group(*parts)


def _result(plan: Plan) -> Table:
    rows = [plan.as_written, *([plan.on_demand] if plan.on_demand else [])]
    if plan.recommended.name != plan.as_written.name:
        rows.append(plan.recommended)
    by = f", to be done in {hours(plan.deadline_hours)}" if plan.deadline_hours is not None else ""
    title = f"{plan.pipeline}: {plan.as_written.runs} runs on {plan.histories}{by}"
    return _table(title, rows, deadline=plan.deadline_hours is not None)


def _table(title: str, rows: Iterable[Summary], *, deadline: bool) -> Table:
    table = _bare(title)
    table.add_column("")
    for name in ("cost P50", "P95", "finish P50", "P95"):
        table.add_column(name, justify="right")
    if deadline:
        table.add_column("late", justify="right")
    for name in ("attempts", "interruptions", "work lost"):
        table.add_column(name, justify="right")
    for row in rows:
        late = [f"{row.late:.0%}" if row.late is not None else "-"] if deadline else []
        fails = f" ({1 - row.finished:.0%} fail)" if row.finished < 1 else ""
        table.add_row(
            row.name + fails,
            usd(row.usd_p50),
            usd(row.usd_p95),
            hours(row.hours_p50),
            hours(row.hours_p95),
            *late,
            f"{row.attempts:.1f}",
            f"{row.interruptions:.1f}",
            hours(row.redone_hours),
        )
    return table


def _advice(plan: Plan) -> list[RenderableType]:
    advice = plan.advice
    colour = {True: "green", False: "red", None: "default"}[advice.suitable]
    verdict = Text(VERDICTS[advice.suitable].capitalize() + ".", f"bold {colour}")
    lines: list[RenderableType] = [verdict, *(Text(f"  - {reason}") for reason in advice.reasons)]
    if plan.recommended.name != plan.as_written.name:
        lines.append(Text("  Say it at the start (--input), or write it into the pipeline:"))
        said = yaml.safe_dump(dict(advice.run_input), sort_keys=False, default_flow_style=None, width=90)
        lines += [Text(f"    {line}") for line in said.splitlines()]
    return lines


def _comparison(plan: Plan) -> Table:
    table = _bare("Rules on the same capacity")
    table.add_column("rule")
    table.add_column("judged in")
    table.add_column("cost ÷ on-demand", justify="right")
    table.add_column("late", justify="right")
    for row in plan.comparison:
        table.add_row(row.rule, row.where, f"{row.of_on_demand:.2f}", f"{row.late:.0%}")
    return table


def _assumptions(plan: Plan) -> Table:
    table = _bare("What this rests on")
    for name in ("stage", "", "taken as", "from"):
        table.add_column(name)
    for each in plan.assumptions:
        table.add_row(each.stage or "every stage", each.what, each.value, each.source)
    for kind, share in plan.availability.items():
        table.add_row("on spot", kind, f"{share:.0%} of the time", plan.histories)
    return table


def _bare(title: str) -> Table:
    return Table(title=title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, pad_edge=False)


def usd(value: float) -> str:
    """Dollars, with as many digits as a small sum needs."""
    return f"${value:,.2f}" if value >= 1 else f"${value:.4f}"


def hours(value: float) -> str:
    """Hours as people say them."""
    if value < 1 / 60:
        return f"{value * 3600:.0f} s"
    return f"{value * 60:.0f} min" if value < 2 else f"{value:.1f} h"
