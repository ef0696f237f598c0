"""The pictures of a plan, as SVG texts."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib
from markupsafe import Markup
from matplotlib.figure import Figure

from workflows.planning.answers import Plan
from workflows.planning.plan import Summary

SIZE = (5.2, 3.3)  # inches: as wide as a phone shows it, so that its letters stay as large as the text's
SPOT, ON_DEMAND, WAITING, GOOD, BAD = "#2f7ed8", "#e08a1e", "#c9d1d9", "#1b7f4d", "#b3261e"
PHASES = {
    "waiting": WAITING,
    "launching": "#8fa3b5",
    "loading": "#6b7f90",
    "spot": SPOT,
    "on-demand": ON_DEMAND,
    "uploading": "#444f5a",
}

_CAPTIONS = {"deadline": "What time is worth: the cost where the deadline alone decides, not a count."}


@dataclass(frozen=True)
class Plot:
    """A picture and what it says."""

    svg: Markup
    caption: str


def plots_of(plan: Plan) -> list[Plot]:
    """Runs, where their time goes, and what each setting does."""
    found = [_runs(plan), _time(plan)]
    found += [_setting(what, rows) for what, rows in plan.sensitivity.items() if len(rows) > 1]
    return found


def _runs(plan: Plan) -> Plot:
    figure, axes = _figure()
    colours = {plan.as_written.name: SPOT, plan.recommended.name: GOOD}
    for name, colour in colours.items():
        runs = [run for run in plan.figures.get(name, ()) if run.done]
        axes.scatter(
            [run.seconds / 3600 for run in runs],
            [run.usd for run in runs],
            s=14,
            alpha=0.6,
            color=colour,
            linewidths=0,
            label=name,
        )
    if plan.on_demand:
        axes.scatter(
            [plan.on_demand.hours_mean],
            [plan.on_demand.usd_mean],
            marker="*",
            s=130,
            color=ON_DEMAND,
            label="on-demand",
        )
    if plan.deadline_hours is not None:
        axes.axvline(plan.deadline_hours, color=BAD, linestyle="--", linewidth=1, label="deadline")
    axes.set_xlabel("finish, hours after the start")
    axes.set_ylabel("USD")
    axes.set_ylim(bottom=0)
    axes.legend(frameon=False, fontsize=9)
    return Plot(_svg(figure), "Each point is one run: lower is cheaper, further left is sooner.")


def _time(plan: Plan) -> Plot:
    figure, axes = _figure()
    rows: list[Summary] = [plan.as_written]
    if plan.recommended.name != plan.as_written.name:
        rows.append(plan.recommended)
    if plan.on_demand:
        rows.append(plan.on_demand)
    names = [row.name for row in rows]
    begin = [0.0] * len(rows)
    for phase, colour in PHASES.items():
        hours = [row.phase_hours[phase] for row in rows]
        axes.barh(names, hours, left=begin, color=colour, label=phase, height=0.55)
        begin = [left + more for left, more in zip(begin, hours, strict=True)]
    axes.invert_yaxis()
    axes.set_xlabel("hours of jobs, mean of the runs")
    axes.legend(frameon=False, fontsize=8.5, ncols=3, loc="upper center", bbox_to_anchor=(0.45, -0.2))
    return Plot(_svg(figure), "Where the time goes. Waiting for capacity and launching cost nothing.")


def _setting(what: str, rows: Sequence[Summary]) -> Plot:
    figure, axes = _figure()
    names = [
        row.name.removeprefix("budget ").removeprefix("patience ").removeprefix("deadline ") for row in rows
    ]
    places = range(len(rows))
    axes.bar(places, [row.usd_mean for row in rows], color=SPOT, width=0.6)
    axes.plot(places, [row.usd_p95 for row in rows], "_", color="#1c2530", markersize=14, label="P95")
    for place, row in zip(places, rows, strict=True):
        if row.late:
            axes.annotate(
                f"{row.late:.0%}\nlate",
                (place, row.usd_mean),
                ha="center",
                va="bottom",
                fontsize=8,
                color=BAD,
            )
    axes.set_xticks(
        list(places),
        names,
        rotation=25 if max(map(len, names)) > 6 else 0,
        ha="right" if max(map(len, names)) > 6 else "center",
    )
    axes.set_ylabel("USD, mean")
    axes.set_xlabel(what)
    axes.set_ylim(top=1.2 * max(row.usd_p95 for row in rows))
    axes.legend(frameon=False, fontsize=9, loc="upper right")
    return Plot(
        _svg(figure), _CAPTIONS.get(what, f"What the run costs at another {what}; all else as written.")
    )


def _figure() -> tuple[Figure, Any]:
    figure = Figure(figsize=SIZE, layout="constrained")
    axes = figure.add_subplot()
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="both", alpha=0.25)
    axes.set_axisbelow(True)
    return figure, axes


def _svg(figure: Figure) -> Markup:
    """Writes the SVG without a date and with ids of its own, so that the same plan gives the same text."""
    written = io.StringIO()
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "relay", "font.size": 10}):
        figure.savefig(written, format="svg", metadata={"Date": None, "Creator": None})
    text = written.getvalue()
    return Markup(text[text.index("<svg") :])
