"""A plugin for pytest: a test that passes without having checked anything fails.

What counts is an `assert` that held, a `pytest.raises` that caught its exception or a `pytest.warns` that saw
its warning, while the test function itself runs. What a fixture asserts before or after does not count: it
says nothing about this test. Assertions in other modules of `tests` count, because `conftest.py` has them
rewritten.
"""

from __future__ import annotations

from collections.abc import Callable, Generator

import pytest
from _pytest.assertion import util

MARKER = "checks_nothing"
"""`@pytest.mark.checks_nothing("reason")`: for a test that is right to pass without an assertion."""

BLOCKS = (pytest.RaisesExc, pytest.RaisesGroup, type(pytest.warns(UserWarning, match="any")))
"""What `pytest.raises` and `pytest.warns` return."""

_checked = pytest.StashKey[bool]()


def pytest_assertion_pass(item: pytest.Item) -> None:
    """Notes that an `assert` held, and asks to hear of no other in this test.

    Pytest writes an explanation for each assertion that it reports: with all of them,
    `tests/unit/test_rules.py` takes seven times as long (93 s of processor time, not 14). It sets the hook
    anew for each test.
    """
    _note(item)
    if item.stash.get(_checked, False):
        util._assertion_pass = None


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, None, None]:
    """Notes what the test function checks; one that ends well and has checked nothing fails here."""
    item.stash[_checked] = False
    with pytest.MonkeyPatch.context() as patch:
        for block in BLOCKS:
            patch.setattr(block, "__exit__", _noted(block.__exit__, item))
        yield
    reason = _reason(item)
    if not item.stash[_checked] and reason is None:
        pytest.fail(
            "this test has passed without one `assert`, `pytest.raises` or `pytest.warns`: let it check what "
            f'it promises, or say why it cannot with @pytest.mark.{MARKER}("reason")',
            pytrace=False,
        )
    if item.stash[_checked] and reason is not None:
        pytest.fail(f"this test checks something: take its mark `{MARKER}` away", pytrace=False)


def _note(item: pytest.Item) -> None:
    """The test has checked something; what a fixture checks before it finds no such note to make."""
    if _checked in item.stash:
        item.stash[_checked] = True


def _noted(leave: Callable[..., bool | None], item: pytest.Item) -> Callable[..., bool | None]:
    """The `__exit__` of a block that expects an exception or a warning, which notes that it got it."""

    def leave_and_note(self: object, *details: object) -> bool | None:
        swallowed = leave(self, *details)
        # Another exception than was expected passes through: nothing was checked then.
        if details[0] is None or swallowed:
            _note(item)
        return swallowed

    return leave_and_note


def _reason(item: pytest.Item) -> str | None:
    marker = item.get_closest_marker(MARKER)
    if marker is None:
        return None
    if len(marker.args) != 1 or not isinstance(marker.args[0], str) or not marker.args[0].strip():
        pytest.fail(f'`{MARKER}` needs a reason: @pytest.mark.{MARKER}("reason")', pytrace=False)
    return marker.args[0]
