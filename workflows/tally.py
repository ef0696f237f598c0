"""What a stage has been through, in numbers: the facts that a decision is asked with, and how they count.

After an attempt `tally` brings the stage's counters up to date; each counter is defined once, with the rule
by which it rises and goes back to zero, and rendered into the machine.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from workflows.outcomes import Outcome
from workflows.rules import Condition, Fact, Facts

# ------------------------------------------------------------------------------------------------- facts
OUTCOME = Fact("outcome")
MARKET = Fact("market")  # where the attempt ran: "spot" or "on-demand"
REPORTED = Fact("reported")  # the script wrote progress.json
PROGRESSED = Fact("progressed")  # a newer checkpoint than before the attempt
TRAINED = Fact("trained")  # the attempt got instances
# "seen": interruptions inside the job (SecondaryStatusTransitions), an amount and never a condition
INTERRUPTIONS = Fact("interruptions")
STALLED = Fact("stalled")  # attempts in a row that trained and moved the checkpoint nowhere
FAULTS = Fact("faults")  # platform faults in a row without progress
UNKNOWNS = Fact("unknowns")
WAITS = Fact("waits")  # refusals in a row that only time cures: throttling, quota, on-demand capacity
EXITS = Fact("exits")  # exits in a row with a code that is to be tried again
EXIT_LISTED = Fact("exit_listed")  # the script ended with a code of `retry_on_exit_codes`
LATE = Fact("late")  # the time left falls below what on-demand would need
RETRY_BUDGET = Fact("retry_budget")
NO_PROGRESS_LIMIT = Fact("no_progress_limit")
ON_DEMAND_ENABLED = Fact("on_demand_enabled")

ON_SPOT = MARKET.is_("spot")
LOST = OUTCOME.is_(Outcome.INTERRUPTED, Outcome.NO_CAPACITY)
WAITED = OUTCOME.is_(Outcome.THROTTLED, Outcome.QUOTA) | (~ON_SPOT & OUTCOME.is_(Outcome.NO_CAPACITY))


# ------------------------------------------------------------------------------------------------- tally
@dataclass(frozen=True)
class Amount:
    """By how much a counter rises, with its JSONata text."""

    of: Callable[[Facts], int]
    jsonata: str


_ONE = Amount(lambda f: 1, "1")
# A job that SageMaker restarted three times before it was lost has taken three interruptions, not four;
# one that never got capacity has taken one.
_INTERRUPTIONS = Amount(
    lambda f: max(int(f["seen"]), 1 if LOST.holds(f) else 0),
    f"$max([$f.seen, {LOST.jsonata} ? 1 : 0])",
)


@dataclass(frozen=True)
class Count:
    """How one counter moves after an attempt: back to zero or kept, then raised by an amount."""

    name: str
    raise_when: Condition
    reset_when: Condition | None = None
    amount: Amount = _ONE

    def after(self, facts: Facts) -> int:
        """The counter's new value; `facts` holds its old one."""
        start = 0 if self.reset_when and self.reset_when.holds(facts) else int(facts[self.name])
        return start + (self.amount.of(facts) if self.raise_when.holds(facts) else 0)

    def jsonata(self) -> str:
        """The same as an expression over the old facts `$f`."""
        old = f"$f.{self.name}"
        start = f"({self.reset_when.jsonata} ? 0 : {old})" if self.reset_when else old
        return f"{start} + ({self.raise_when.jsonata} ? {self.amount.jsonata} : 0)"


MOVED = PROGRESSED.holds()
WITH_RUN = OUTCOME.is_(Outcome.STOPPED_WITH_RUN, Outcome.NOT_STARTED)
RETRIED_EXIT = OUTCOME.is_(Outcome.USER_ERROR) & EXIT_LISTED.holds()

TALLY = (
    Count("interruptions", ON_SPOT, amount=_INTERRUPTIONS),
    Count("stalled", TRAINED.holds() & ~MOVED & ~WITH_RUN, MOVED),
    Count("faults", OUTCOME.is_(Outcome.PLATFORM_FAULT), MOVED),
    Count("unknowns", OUTCOME.is_(Outcome.UNKNOWN)),
    Count("exits", RETRIED_EXIT, MOVED),
    Count("waits", WAITED, ~WAITED),
    Count("backoffs", ~MOVED & ~WITH_RUN, MOVED),
)
COUNTERS = tuple(count.name for count in TALLY)


def tally(facts: Facts) -> dict[str, int]:
    """The counters after an attempt, from its facts and the counters before it."""
    return {count.name: count.after(facts) for count in TALLY}


def tally_jsonata() -> str:
    """The same as one expression over `$f`."""
    return "{" + ", ".join(f'"{count.name}": {count.jsonata()}' for count in TALLY) + "}"
