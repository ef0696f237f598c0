"""The statistics for a terminal of 80 columns; every number stands beside the count that it rests on."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from workflows.ledger.receipt_text import counted, money, span
from workflows.ledger.statistics import OfType, Rate, Spread, Statistics

FEW = 10  # cases below which a number is said to rest on few
BAR = 30  # characters of the longest bar


def as_text(found: Statistics) -> RenderableType:
    """The statistics as tables."""
    parts: list[RenderableType] = [_head(found)]
    if found.by_type:
        parts += [Text("\nOn spot", "bold"), _types(found.by_type)]
    if len(found.by_hour) > 1:
        parts += [Text("\nInterruptions by hour of the day (UTC)", "bold"), _hours(found.by_hour)]
    if found.changeover.count:
        words = f"From an attempt's end to the next one's new work: {_spread(found.changeover)}"
        parts.append(Text(f"\n{words}"))
    if found.speeds:
        parts += [Text("\nSpeed", "bold"), _speeds(found)]
    return Group(*parts)


def _head(found: Statistics) -> Text:
    ends = ", ".join(f"{count} {outcome}" for outcome, count in found.outcomes.items())
    lines = [
        f"{counted(found.attempts, 'attempt')} in {counted(found.runs, 'run')}: {ends}",
        f"{found.completed} of {counted(found.places, 'stage')} (and trials) completed",
    ]
    if found.usd is not None and found.on_demand_usd is not None:
        lines.append(_money(found.usd, found.on_demand_usd))
    else:
        lines.append("the price of some attempts is not known, and so neither are cost and savings")
    if found.attempts < FEW:
        lines.append(f"fewer than {FEW} attempts: what follows is an anecdote, not a rate")
    return Text("\n".join(lines))


def _money(usd: float, on_demand: float) -> str:
    text = f"{money(usd)} spent; on-demand without interruptions {money(on_demand)}"
    return f"{text}, saved {100 * (1 - usd / on_demand):.0f} %" if on_demand else text


def _types(types: tuple[OfType, ...]) -> Table:
    table = _table(
        "instance type", "attempts", "no capacity", "interruptions", "a spot hour", "until instances"
    )
    for each in types:
        table.add_row(
            each.instance_type,
            str(each.attempts),
            str(each.without_capacity),
            f"{each.rate.interruptions:g} in {each.rate.spot_hours:.2g} h",
            _rate(each.rate),
            _spread(each.queued),
        )
    return table


def _hours(hours: tuple[tuple[int, Rate], ...]) -> Table:
    table = _table("hour", "spot hours", "a spot hour", "")
    most = max((rate.per_hour or 0.0 for _, rate in hours), default=0.0)
    for hour, rate in hours:
        bar = "▇" * round(BAR * (rate.per_hour or 0.0) / most) if most else ""
        table.add_row(f"{hour:02d}", f"{rate.spot_hours:.2g}", _rate(rate), bar)
    return table


def _speeds(found: Statistics) -> Table:
    table = _table("stage", "on", "attempts", "steps a second")
    for each in found.speeds:
        place = (
            f"{each.instance_count} × {each.instance_type}" if each.instance_count > 1 else each.instance_type
        )
        table.add_row(each.stage, place, str(each.attempts), f"{each.steps_per_second:.4g}")
    return table


def _table(*columns: str) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    for column in columns:
        table.add_column(column)
    return table


def _rate(rate: Rate) -> str:
    """Two digits count: `0.013`, `6.5`, `900`."""
    if rate.per_hour is None:
        return "-"
    return f"{rate.per_hour:.2g}" if rate.per_hour < 10 else f"{float(f'{rate.per_hour:.2g}'):,.0f}"


def _spread(spread: Spread) -> str:
    """`median 5 min, 95 % within 20 min (12)`"""
    return ", ".join(_parts(spread)) + f" ({spread.count})"


def _parts(spread: Spread) -> Iterator[str]:
    if spread.median is None or spread.p95 is None:
        yield "-"
        return
    yield f"median {span(spread.median)}"
    if spread.count >= FEW:
        yield f"95 % within {span(spread.p95)}"
