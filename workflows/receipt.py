"""What a run cost, attempt by attempt, and why each decision was taken: ledger -> JSON and text."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from workflows.ledger import Entry, RunView, StageView
from workflows.prices import PriceBook

COLOURS = {
    "completed": "green",
    "interrupted": "yellow",
    "no capacity": "yellow",
    "slice over": "cyan",
    "user error": "red",
    "bad request": "red",
}


LONGEST_ASIDE = 60  # characters of a message that fit before the decision
DISCOUNTED = 0.9  # billable below this share of the trained seconds holds the spot discount


@dataclass(frozen=True)
class Line:
    """One attempt with its money. Seconds are machine time; costs are US dollars, None for unknown prices."""

    entry: Entry
    cost: float | None
    undisturbed: float | None  # the same useful work on on-demand
    steps_redone: int

    @property
    def instances(self) -> int:
        """Instances of the attempt; AWS bills each."""
        return int(self.entry["instance_count"])

    @property
    def billed(self) -> float:
        """Billed seconds of one instance; the trained ones where AWS reported none."""
        return _billed(self.entry)


def lines(stage: StageView, prices: PriceBook) -> Iterator[Line]:
    """The stage's attempts with their money."""
    for position, entry in enumerate(stage.attempts):
        kept = _kept(entry, stage.attempts[position + 1 :])
        # What reached S3 last is not always progress.json: the next attempt may know of more.
        entry = {**entry, "reached_step": max(entry["reached_step"], kept)}
        if not entry["trained_seconds"]:
            entry["resumed_step"] = kept
        kind, count = entry["instance_type"], entry["instance_count"]
        done = entry["reached_step"] - entry["resumed_step"]
        useful = (kept - entry["resumed_step"]) / done if done > 0 else float(entry["decision"] == "done")
        yield Line(
            entry,
            prices.cost(kind, count, _priced_as(entry), _billed(entry)),
            prices.cost(kind, count, "on-demand", entry["trained_seconds"] * min(1.0, max(0.0, useful))),
            entry["reached_step"] - kept,
        )


def _billed(entry: Entry) -> float:
    billed = entry["billed_seconds"]
    return float(entry["trained_seconds"] if billed is None else billed)


def _kept(entry: Entry, later: Sequence[Entry]) -> int:
    """The step from which the work went on: what the next attempt that ran resumed from."""
    if entry["outcome"] == "completed":
        return int(entry["reached_step"])
    ran = (int(other["resumed_step"]) for other in later if other["trained_seconds"])
    return next(ran, int(entry["saved_step"]))


def _priced_as(entry: Entry) -> str:
    """The market whose price the billed seconds are to be multiplied with.

    AWS prints the savings of a spot job as 1 - billable / training seconds, so billable seconds hold the
    discount already; its API reference calls them wall-clock time. Either way: seconds well below the trained
    ones are priced as on-demand, others as spot.
    """
    billed = entry["billed_seconds"]
    discounted = billed is not None and billed < DISCOUNTED * entry["trained_seconds"]
    return "on-demand" if discounted else str(entry["market"])


def as_json(view: RunView, prices: PriceBook, digests: Mapping[str, str]) -> dict[str, Any]:
    """The run as one document. `digests`: stage -> SHA-256 of the contents of its model."""
    everything = [line for stage in view.stages.values() for line in lines(stage, prices)]
    return {
        "run": view.run,
        "pipeline": view.pipeline,
        "status": view.status,
        "error": view.error,
        "cause": view.cause,
        "stages": [
            {
                "name": stage.name,
                "kind": stage.kind,
                "status": stage.status,
                "model_sha256": digests.get(stage.name),
                "attempts": [_attempt(line) for line in lines(stage, prices)],
            }
            for stage in view.stages.values()
        ],
        "totals": totals(everything),
        "prices": {"date": prices.date, "region": prices.region, "spot_share": prices.spot_share},
    }


def totals(everything: list[Line]) -> dict[str, Any]:
    """Sums over attempts; a sum with an unknown price in it is None."""
    cost, undisturbed = _sum(line.cost for line in everything), _sum(line.undisturbed for line in everything)
    saved = 1 - cost / undisturbed if cost is not None and undisturbed else None
    return {
        "attempts": len(everything),
        "interruptions": sum(line.entry["interruptions"] for line in everything),
        "seconds_trained": sum(
            line.entry["trained_seconds"] * line.entry["instance_count"] for line in everything
        ),
        "seconds_billed": sum(line.billed * line.entry["instance_count"] for line in everything),
        "steps_redone": sum(line.steps_redone for line in everything),
        "cost_usd": cost,
        "on_demand_cost_usd": undisturbed,
        "saved_percent": None if saved is None else round(100 * saved, 1),
    }


def _sum(values: Iterator[float | None]) -> float | None:
    known = list(values)
    return None if None in known else sum(value for value in known if value is not None)


def _attempt(line: Line) -> dict[str, Any]:
    entry = line.entry
    return {
        "attempt": entry["attempt"],
        "job": entry["job"],
        "market": entry["market"],
        "rung": {
            "market": entry["market"],
            "instance_type": entry["instance_type"],
            "instance_count": entry["instance_count"],
        },
        "outcome": entry["outcome"],
        "decision": entry["decision"],
        "reason": entry["why"],
        "message": entry["message"],
        "resumed_step": entry["resumed_step"],
        "reached_step": entry["reached_step"],
        "saved_step": entry["saved_step"],
        "steps_redone": line.steps_redone,
        "seconds_trained": entry["trained_seconds"],
        "seconds_billed": entry["billed_seconds"],
        "interruptions": entry["interruptions"],
        "cost_usd": line.cost,
        "on_demand_cost_usd": line.undisturbed,
    }


# ------------------------------------------------------------------------------------------------- text
def as_text(view: RunView, prices: PriceBook, digests: Mapping[str, str]) -> RenderableType:
    """The receipt for a terminal."""
    parts: list[RenderableType] = []
    everything: list[Line] = []
    for stage in view.stages.values():
        stage_lines = list(lines(stage, prices))
        everything += stage_lines
        digest = digests.get(stage.name)
        head = Text.assemble((stage.name, "bold"), f"  {stage.status}")
        if digest:
            head.append(f"  model sha256 {digest[:16]}…", "dim")
        parts.append(head)
        if stage_lines:
            parts.append(_table(stage_lines))
        parts += [_decision(line) for line in stage_lines if line.entry["decision"] != "done"]
        parts.append(Text(""))
    parts.append(_bottom_line(totals(everything), prices))
    return Group(*parts)


def _table(stage_lines: list[Line]) -> Table:
    """One row for an attempt."""
    table = Table(box=None, pad_edge=False, padding=(0, 1), header_style="dim")
    table.add_column("  #", no_wrap=True)
    for title in ("ran on", "ended", "steps"):
        table.add_column(title, no_wrap=True)
    for title in ("billed", "cost"):
        table.add_column(title, justify="right", no_wrap=True)
    for line in stage_lines:
        entry = line.entry
        count = f"{entry['instance_count']} x " if entry["instance_count"] > 1 else ""
        table.add_row(
            f"  {entry['attempt']}",
            f"{entry['market']} {count}{entry['instance_type']}",
            _ended(entry),
            _steps(line),
            f"{line.billed:.0f} s",
            _money(line.cost),
        )
    return table


def _ended(entry: Entry) -> Text:
    text = Text(entry["outcome"], COLOURS.get(entry["outcome"], "magenta"))
    if entry["interruptions"] and entry["outcome"] == "completed":
        text.append(f", interrupted {entry['interruptions']}x", "yellow")  # SageMaker restarted it itself
    return text


def _decision(line: Line) -> Text:
    entry = line.entry
    message = entry["message"]
    if entry["decision"] == "fail":
        text = Text(f"  after {entry['attempt']}: {entry['why']}", "dim")
        return text.append(f"\n  it said: {message}", "red") if message else text
    said = f"{message}; " if message and len(message) <= LONGEST_ASIDE else ""
    return Text(f"  after {entry['attempt']}: {said}{entry['why']}", "dim")


def _steps(line: Line) -> str:
    entry = line.entry
    if entry["reached_step"] == entry["resumed_step"]:
        return "-" if not entry["resumed_step"] else f"still at {entry['resumed_step']}"
    redone = f" ({line.steps_redone} to redo)" if line.steps_redone else ""
    return f"{entry['resumed_step']} → {entry['reached_step']}{redone}"


def _money(dollars: float | None) -> str:
    if dollars is None:
        return "?"
    decimals = 2 if dollars >= 1 or dollars == 0 else 4 if dollars >= 0.01 else 6
    return f"${dollars:,.{decimals}f}"


def _bottom_line(sums: Mapping[str, Any], prices: PriceBook) -> Text:
    text = Text.assemble(
        ("Total ", "bold"),
        f"{sums['attempts']} attempts, {sums['seconds_billed']:.0f} s billed, ",
        f"{sums['steps_redone']} steps redone: ",
        (_money(sums["cost_usd"]), "bold"),
    )
    if sums["saved_percent"] is not None:
        text.append(f", on-demand without interruptions {_money(sums['on_demand_cost_usd'])}")
        verb, colour = ("saved", "green") if sums["saved_percent"] >= 0 else ("lost", "red")
        text.append(f", {verb} {abs(sums['saved_percent']):.0f} %", colour)
    text.append(
        f"\nEstimated: {prices.region} prices of {prices.date}, spot at {prices.spot_share:.0%}.", "dim"
    )
    return text
