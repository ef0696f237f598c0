"""The one base of every error that Relay raises for its user, and the words for a name that is none."""

from __future__ import annotations

import difflib
from collections.abc import Collection


class RelayError(Exception):
    """Says what was seen, what is allowed and what to do; printed without a traceback.

    `exit_code` is the status with which the `relay` command ends: 2 for bad input (the default),
    1 for a run that failed or a service that refused.
    """

    exit_code = 2


def unknown(what: str, found: str, allowed: Collection[str]) -> str:
    """What to say of a name that does not exist: what may stand there, and the nearest of it."""
    return f"unknown {what} `{found}`; allowed: {', '.join(allowed) or 'none'}{hint(found, allowed)}"


def hint(found: str, allowed: Collection[str]) -> str:
    """The nearest of the names that may stand there, as a question; nothing, if none is near."""
    near = difflib.get_close_matches(found, allowed, 1, cutoff=0.5)
    return f"; did you mean `{near[0]}`?" if near else ""
