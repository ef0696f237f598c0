"""Self-contained HTML pages: one file, no script, no outside request; readable on a phone and on paper."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape
from markupsafe import Markup

FOLDER = Path(__file__).parent


def page(name: str, **values: Any) -> str:
    """The page of that template (`plan.html`); all texts in `values` are escaped, `Markup` is not."""
    environment = Environment(
        loader=FileSystemLoader(FOLDER),
        autoescape=select_autoescape(["html"]),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    style = Markup((FOLDER / "page.css").read_text("utf-8"))
    return environment.get_template(name).render(style=style, **values)
