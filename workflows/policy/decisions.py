"""What the machine does after an attempt: one ordered rule table that is rendered into the machine.

    spot (interrupted) -> spot, next rung (no capacity) -> ... retry budget used up -> on demand -> done

The policy counts, and with a deadline it looks at the clock. After an attempt the machine brings the stage's
counters up to date (`tally.py`), and then the table decides from them and from the facts of the attempt:
outcome, held, market, reported, progressed, trained, seen, exit_listed, late, and the stage's limits
retry_budget, no_progress_limit and on_demand_enabled.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Literal

from workflows.policy.outcomes import HELD, OUTCOMES, Hold, Outcome
from workflows.policy.rules import ALWAYS, Condition, Data, Rule, RuleTable
from workflows.policy.tally import (
    EXITS,
    FAULTS,
    INTERRUPTIONS,
    LATE,
    LOST,
    MOVED,
    NO_PROGRESS_LIMIT,
    ON_DEMAND_ENABLED,
    ON_SPOT,
    OUTCOME,
    REPORTED,
    RETRIED_EXIT,
    RETRY_BUDGET,
    STALLED,
    TRAINED,
    UNKNOWNS,
    WAITED,
    WAITS,
    tally_data,
)

FAULT_BUDGET = 2  # platform faults in a row without progress; the third fails the stage
UNKNOWN_BUDGET = 1  # "unknown: resume once on the same rung, then fail"
EXIT_BUDGET = 3  # exits in a row with a code of `retry_on_exit_codes`; the fourth without progress fails
WAIT_BUDGET = 8  # throttled or quota-full create calls in a row, each after the Retry of the state


class Next(StrEnum):
    """A branch that the machine takes after an attempt."""

    SPOT = "spot"
    ON_DEMAND = "on-demand"
    LOOK_AGAIN = "look again"
    LOOK_UP = "look up"
    SKIP = "skip"
    DONE = "done"
    FAIL = "fail"


Rung = Literal["same", "next", "first"]
Pause = Literal["none", "back off"]

# ---------------------------------------------------------------------------------------------- decision
HERE = "here"  # stands for the market of the attempt: the same again


def _then(next_: str, why: str, *, rung: Rung = "same", pause: Pause = "none") -> dict[str, str]:
    return {"next": next_, "rung": rung, "pause": pause, "why": why}


_STAYS_FULL = WAITS.at_least(WAIT_BUDGET + 1)
_NO_PROGRESS = STALLED.at_least(NO_PROGRESS_LIMIT) & TRAINED.holds() & ~MOVED
_BUDGET_GONE = ON_SPOT & INTERRUPTIONS.at_least(RETRY_BUDGET)
_FALLBACK = ON_SPOT & ON_DEMAND_ENABLED.holds()
_SPENT = "retry budget used up ({interruptions} of {retry_budget} interruptions)"
_STUCK = "{stalled} attempts in a row left the checkpoint where it was"


def _held(reason: Hold) -> Condition:
    return OUTCOME.is_(Outcome.NOT_STARTED) & HELD.is_(reason)


_HELD = (
    Rule(
        _held(Hold.REUSE),
        _then(Next.LOOK_UP, "an earlier run may have done the same: look for it"),
    ),
    Rule(
        _held(Hold.FIND),
        _then(Next.LOOK_UP, "not asked for: its results are taken from the newest run that has them"),
    ),
    Rule(
        _held(Hold.NOT_FOUND),
        _then(
            Next.FAIL,
            "not asked for, but needed, and no earlier run has its results: leave out `from` or `only`",
        ),
    ),
    Rule(_held(Hold.NOT_ASKED), _then(Next.SKIP, "not asked for, and nothing asked for needs it")),
    Rule(_held(Hold.GATE), _then(Next.SKIP, "a gate before it said stop")),
    Rule(
        _held(Hold.MONEY),
        _then(
            Next.FAIL,
            "the spending limit: {money}. Start a new run with a higher `budget_usd` (and `reuse`), "
            "or lower `limit`",
        ),
    ),
    Rule(
        _held(Hold.NO_BUDGET) & _FALLBACK,
        _then(Next.ON_DEMAND, "a retry budget of 0: on-demand", rung="first"),
    ),
)
_ENDS = (
    Rule(
        OUTCOME.is_(Outcome.STILL_RUNNING),
        _then(Next.LOOK_AGAIN, "the job still runs: look again in a minute"),
    ),
    Rule(OUTCOME.is_(Outcome.COMPLETED), _then(Next.DONE, "the work is complete")),
    Rule(
        OUTCOME.is_(Outcome.UNFINISHED) & ~REPORTED.holds(),
        _then(Next.DONE, "the job completed; its script reports no progress of its own"),
    ),
    Rule(
        RETRIED_EXIT & ~EXITS.at_least(EXIT_BUDGET + 1),
        _then(
            HERE,
            f"an exit code of `retry_on_exit_codes`, {{exits}} of {EXIT_BUDGET}: once more",
            pause="back off",
        ),
    ),
    Rule(
        OUTCOME.is_(Outcome.USER_ERROR),
        _then(Next.FAIL, "the script failed: mend it; another attempt would fail as well"),
    ),
    Rule(
        OUTCOME.is_(Outcome.BAD_REQUEST),
        _then(Next.FAIL, "SageMaker refused the job or its data: the message says what to change"),
    ),
    # A processing job has no secondary status: one that ran into its limit looks like one that was stopped.
    Rule(
        OUTCOME.is_(Outcome.STOPPED),
        _then(Next.FAIL, "somebody stopped the job (a processing job: or it ran into its `limit`)"),
    ),
    Rule(
        OUTCOME.is_(Outcome.SLICE_OVER) & ~MOVED,
        _then(Next.FAIL, "the time limit passed without a new checkpoint: raise `limit`"),
    ),
)
_EXHAUSTED = (
    Rule(
        OUTCOME.is_(Outcome.PLATFORM_FAULT) & FAULTS.at_least(FAULT_BUDGET + 1),
        _then(
            Next.FAIL,
            "{faults} platform faults in a row without progress; "
            "a checkpoint prefix of hundreds of GB also causes them",
        ),
    ),
    Rule(
        OUTCOME.is_(Outcome.UNKNOWN) & UNKNOWNS.at_least(UNKNOWN_BUDGET + 1),
        _then(Next.FAIL, "ended for an unknown reason again"),
    ),
)
_CLOCK = (
    # With a deadline the counts are a ceiling and the clock decides, whatever ended the attempt.
    Rule(
        LATE.holds() & _FALLBACK,
        _then(
            Next.ON_DEMAND,
            "the deadline: no time is left for another wait for spot capacity: on-demand",
            rung="first",
        ),
    ),
    Rule(
        OUTCOME.is_(Outcome.STOPPED_WITH_RUN),
        _then(HERE, "the run was stopped while it ran, and redriven: go on from the checkpoint"),
    ),
    Rule(OUTCOME.is_(Outcome.NOT_STARTED), _then(HERE, "it had not begun: begin")),
)
_WAITS = (
    Rule(
        OUTCOME.is_(Outcome.THROTTLED) & _STAYS_FULL,
        _then(Next.FAIL, "still throttled after {waits} pauses: ask for a higher API rate"),
    ),
    Rule(
        OUTCOME.is_(Outcome.THROTTLED),
        _then(HERE, "throttled: the same again after a pause", pause="back off"),
    ),
    Rule(
        OUTCOME.is_(Outcome.QUOTA) & _STAYS_FULL & _FALLBACK,
        _then(Next.ON_DEMAND, "the spot quota stays full after {waits} pauses", rung="first"),
    ),
    Rule(
        WAITED & _STAYS_FULL,
        _then(Next.FAIL, "no quota or no capacity after {waits} pauses, and no other place to run"),
    ),
    Rule(
        OUTCOME.is_(Outcome.QUOTA),
        _then(HERE, "the quota of this rung is in use: the next rung", rung="next", pause="back off"),
    ),
    Rule(
        WAITED,
        _then(HERE, "no on-demand capacity: the next rung", rung="next", pause="back off"),
    ),
)
_FAULTS = (
    Rule(
        OUTCOME.is_(Outcome.PLATFORM_FAULT),
        _then(HERE, "a fault of the platform: the same rung again", pause="back off"),
    ),
    Rule(
        OUTCOME.is_(Outcome.UNKNOWN),
        _then(HERE, "unknown reason: the same rung once more", pause="back off"),
    ),
)
_LOSSES = (
    Rule(
        _BUDGET_GONE & _FALLBACK,
        _then(Next.ON_DEMAND, f"{_SPENT}: on-demand", rung="first"),
    ),
    Rule(_BUDGET_GONE, _then(Next.FAIL, f"{_SPENT}, and on-demand is not enabled")),
    Rule(
        _NO_PROGRESS & _FALLBACK,
        _then(Next.ON_DEMAND, f"{_STUCK}: on-demand", rung="first"),
    ),
    Rule(_NO_PROGRESS, _then(Next.FAIL, f"{_STUCK}: the checkpoints come too late or never")),
    Rule(
        OUTCOME.is_(Outcome.SLICE_OVER),
        _then(HERE, "the time limit passed with progress: go on from the checkpoint"),
    ),
    Rule(
        ON_SPOT & LOST,
        _then(
            Next.SPOT,
            "interruption {interruptions} of {retry_budget}: resume on spot, next rung",
            rung="next",
            pause="back off",
        ),
    ),
    Rule(
        OUTCOME.is_(Outcome.UNFINISHED),
        _then(HERE, "exit code 0, but complete.json is missing: resume", pause="back off"),
    ),
    Rule(ALWAYS, _then(Next.FAIL, "an end that the policy does not know")),
)
TABLE = RuleTable(
    _HELD + _ENDS + _EXHAUSTED + _CLOCK + _WAITS + _FAULTS + _LOSSES,
    key=OUTCOME,
    values=tuple(outcome.value for outcome in Outcome),
)


def decision_jsonata() -> str:
    """Returns an expression over `$f` for the decision; the machine's variable `$policy` holds the table."""
    next_ = f'$answer.next = "{HERE}" ? $f.market : $answer.next'
    return (
        f"($answer := {TABLE.jsonata('$policy.decisions')}; "
        f'{{"next": {next_}, "rung": $answer.rung, "pause": $answer.pause, '
        f'"why": {TABLE.fill_jsonata("$answer.why")}}})'
    )


def policy_data() -> Data:
    """Returns the contents of the machine's variable `$policy`, which every stage asks."""
    return {
        "outcomes": OUTCOMES.data(),
        "counters": tally_data(),
        "decisions": TABLE.data(),
        "reserve": [{"work": work, "changeovers": changeovers} for work, changeovers in RESERVE],
    }


# ------------------------------------------------------------------------------------------ the deadline
# (seconds of work left, changeovers): from so much work left on, a stage keeps the time of so many
# changeovers in reserve; when less time is left it goes on demand for good. Two are the safety net: one to
# find that spot does not last, one for on-demand. A better rule of this kind needs another table and nothing
# else: the machine carries it as data, the planner asks `reserve`.
RESERVE: tuple[tuple[float, float], ...] = ((0, 2),)


def reserve(work_left: float) -> float:
    """Returns how many changeovers are kept in reserve with `work_left` seconds of work left."""
    return [changeovers for work, changeovers in RESERVE if work <= work_left][-1]


def reserve_jsonata(work_left: str) -> str:
    """Returns an expression for the same; `work_left` is the expression of the work left."""
    return f"$policy.reserve[work <= {work_left}][-1].changeovers"
