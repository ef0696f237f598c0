"""The facts that a decision depends on, and the counters of a stage among them.

Each counter is defined once, with the conditions under which it rises and goes back to zero. The machine
carries them as data and brings its counters up to date after each attempt (`tally_jsonata`).
"""

from __future__ import annotations

from dataclasses import dataclass

from workflows.policy.outcomes import Outcome
from workflows.policy.rules import NEVER, Condition, Data, Fact, groups_data

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
MOVED = PROGRESSED.holds()
WITH_RUN = OUTCOME.is_(Outcome.STOPPED_WITH_RUN, Outcome.NOT_STARTED)
RETRIED_EXIT = OUTCOME.is_(Outcome.USER_ERROR) & EXIT_LISTED.holds()
WAITED = OUTCOME.is_(Outcome.THROTTLED, Outcome.QUOTA) | (~ON_SPOT & OUTCOME.is_(Outcome.NO_CAPACITY))


# ------------------------------------------------------------------------------------------------- tally
@dataclass(frozen=True)
class Count:
    """One counter and how it moves after an attempt: it goes back to zero or stays, and then rises by one.

    A counter with `floor` rises by the number of interruptions seen inside the job instead, and by one at
    least when the condition `floor` holds: a job that SageMaker restarted three times before it was lost
    counts three interruptions, not four; a job that never got capacity counts one.
    """

    name: str
    raise_when: Condition
    reset_when: Condition = NEVER
    floor: Condition | None = None

    def data(self) -> Data:
        """Returns the counter as the machine carries it."""
        found = {"name": self.name, "up": groups_data(self.raise_when.alternatives())}
        if self.reset_when is not NEVER:
            found["zero"] = groups_data(self.reset_when.alternatives())
        if self.floor is not None:
            found["floor"] = groups_data(self.floor.alternatives())
        return found


TALLY = (
    Count("interruptions", ON_SPOT, floor=LOST),
    Count("stalled", TRAINED.holds() & ~MOVED & ~WITH_RUN, MOVED),
    Count("faults", OUTCOME.is_(Outcome.PLATFORM_FAULT), MOVED),
    Count("unknowns", OUTCOME.is_(Outcome.UNKNOWN)),
    Count("exits", RETRIED_EXIT, MOVED),
    Count("waits", WAITED, ~WAITED),
    Count("backoffs", ~MOVED & ~WITH_RUN, MOVED),
)
COUNTERS = tuple(count.name for count in TALLY)


def tally_data() -> Data:
    """Returns the counters as the machine carries them."""
    return [count.data() for count in TALLY]


def tally_jsonata(table: str) -> str:
    """Returns an expression over `$f` for the counters after an attempt; `rules.FUNCTIONS` stand before it.

    `table` is the expression of `tally_data()` in the machine.
    """
    amount = "$exists($c.floor) ? $max([$f.seen, $met($c.floor, $f) ? 1 : 0]) : 1"
    start = "$exists($c.zero) and $met($c.zero, $f) ? 0 : $lookup($f, $c.name)"
    value = f"({start}) + ($met($c.up, $f) ? ({amount}) : 0)"
    return f"$merge($map({table}, function($c) {{ {{$c.name: {value}}} }}))"
