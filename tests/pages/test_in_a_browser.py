"""The pages in headless Chromium: no errors, no requests, readable on a phone and on a desk."""

import os
import shutil

import pytest

from tests.planning.test_plan import planned  # noqa: F401 - the fixture
from tests.unit.test_receipt_page import PRICES, view  # noqa: F401
from workflows.ledger.receipt_page import as_html as receipt_page
from workflows.planning.page import as_html as plan_page

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
QUIET = ("--disable-gpu", "--disable-background-networking", "--disable-sync", "--no-first-run")

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here: apt-get install chromium")


@pytest.fixture(scope="module")
def browser():
    playwright = pytest.importorskip("playwright.sync_api")
    # Chromium refuses its sandbox to root, who runs it in containers.
    sandbox = () if os.geteuid() else ("--no-sandbox",)
    with playwright.sync_playwright() as started:
        found = started.chromium.launch(executable_path=CHROMIUM, args=[*QUIET, *sandbox])
        yield found
        found.close()


@pytest.fixture(params=["receipt", "plan"])
def page_text(request):
    if request.param == "plan":
        return plan_page(request.getfixturevalue("planned"))
    return receipt_page(request.getfixturevalue("view"), PRICES, {"pretrain": "0123456789abcdef" * 4})


@pytest.mark.parametrize("width", [390, 1280])
def test_a_page_opens_without_errors_or_requests_and_fits_its_screen(browser, page_text, width, tmp_path):
    path = tmp_path / "page.html"
    path.write_text(page_text, encoding="utf-8")
    said, asked = [], []
    page = browser.new_page(viewport={"width": width, "height": 800})
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("request", lambda request: asked.append(request.url))

    page.goto(path.as_uri())

    assert said == []
    assert asked == [path.as_uri()]
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    # Nothing but tables, which scroll in their own boxes, and pictures is wider than it may be.
    assert page.evaluate(CLIPPED) == []
    assert (
        page.evaluate(
            "Math.min(...[...document.querySelectorAll('p, li, td, h1')].map(SIZE))".replace("SIZE", SIZE)
        )
        >= 12
    )
    page.close()


SIZE = "e => parseFloat(getComputedStyle(e).fontSize)"
CLIPPED = """
[...document.querySelectorAll('h1, h2, p, li, .card, .lane-name')]
  .filter(e => e.scrollWidth > e.clientWidth + 1 || e.getBoundingClientRect().right > innerWidth + 1)
  .map(e => e.textContent.trim().slice(0, 60))
"""


def test_the_bars_of_the_receipt_are_drawn_with_their_colours(browser, view, tmp_path):  # noqa: F811
    path = tmp_path / "page.html"
    path.write_text(receipt_page(view, PRICES, {}), encoding="utf-8")
    page = browser.new_page(viewport={"width": 390, "height": 800})
    page.goto(path.as_uri())

    drawn = page.evaluate(
        "[...document.querySelectorAll('.bar')].map(e => "
        "[e.className, e.getBoundingClientRect().width > 0, getComputedStyle(e).backgroundColor])"
    )

    colours = {name: colour for name, there, colour in drawn if there}
    assert set(colours) == {"bar spot", "bar on-demand", "bar queued"}
    assert len(set(colours.values())) == 3
    page.close()
