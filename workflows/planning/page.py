"""A plan as one HTML file."""

from __future__ import annotations

import yaml

from workflows.ledger.pages.render import page
from workflows.planning.answers import Plan
from workflows.planning.plan_text import VERDICTS, hours, usd
from workflows.planning.plots import plots_of


def as_html(plan: Plan) -> str:
    """The whole page: verdict, figures, plots, tables, assumptions."""
    changed = plan.recommended.name != plan.as_written.name
    rows = [
        plan.as_written,
        *([plan.recommended] if changed else []),
        *([plan.on_demand] if plan.on_demand else []),
    ]
    said = yaml.safe_dump(dict(plan.advice.run_input), sort_keys=False, width=60) if changed else ""
    return page(
        "plan.html",
        plan=plan,
        verdict=VERDICTS[plan.advice.suitable],
        rows=rows,
        said=said,
        plots=plots_of(plan),
        tables=[(f"If the {what} were different", found) for what, found in plan.sensitivity.items()],
        usd=usd,
        hours=hours,
        share=lambda value: f"{value:.0%}",
    )
