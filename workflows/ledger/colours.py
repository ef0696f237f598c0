"""The colour of each outcome, in the terminal and on pages (`pages/page.css` has the shades)."""

from __future__ import annotations

from workflows.policy.outcomes import CAPACITY_GONE, Outcome

COLOURS: dict[str, str] = {
    **dict.fromkeys((Outcome.COMPLETED,), "green"),
    # lost through capacity, which the policy is there for
    **dict.fromkeys(CAPACITY_GONE, "yellow"),
    # nothing is wrong: the work goes on
    **dict.fromkeys((Outcome.SLICE_OVER, Outcome.STILL_RUNNING, Outcome.NOT_STARTED), "cyan"),
    **dict.fromkeys((Outcome.USER_ERROR, Outcome.BAD_REQUEST), "red"),
    # seldom: a person or AWS
    **dict.fromkeys((Outcome.STOPPED, Outcome.STOPPED_WITH_RUN, Outcome.UNFINISHED), "magenta"),
    **dict.fromkeys((Outcome.PLATFORM_FAULT, Outcome.THROTTLED, Outcome.QUOTA, Outcome.UNKNOWN), "magenta"),
}
"""Outcome -> the name of its colour; every outcome has one."""
