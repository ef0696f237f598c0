"""One run at a time of those that a schedule starts, and one for each time that it names.

EventBridge Scheduler delivers at least once and does not look for a run in progress. So a run whose input
says for when it was `scheduled` first takes the pipeline's schedule, an object that names run and time:

    take the schedule -> has the schedule -> the first stage
            |
            +-> who has the schedule -> does its run go on -> is the schedule free -> take it over
                                                                   |
                                                                   +-> dropped: a duplicate, or an overlap

A run that says nothing of a schedule takes none of these states: `can it start` leads past them.
"""

from __future__ import annotations

import json
from typing import Any

from workflows.jobs.jsonata_text import fields, jsonata
from workflows.jobs.site import Site
from workflows.ledger.vocabulary import CANNOT_TAKE
from workflows.specification.run_input import DROPPED
from workflows.state_machine import language as asl
from workflows.state_machine.lock import Lock

MOST_TRIES = 3  # to take it over: another was faster, then what it wrote is seen
ASKED = "$exists($run.scheduled)"


def schedule_key(pipeline: str) -> str:
    """The lock's key; not under `runs/`, where objects expire."""
    return f"{pipeline}/schedule.json"


def schedule_states(pipeline: str, site: Site) -> tuple[Any, Any]:
    """(the first of the states, the one that leads on when this run has the schedule)."""
    body = fields(
        {"execution": "$states.context.Execution.Id", "run": "$run.id", "scheduled": "$run.scheduled"}
    )
    place = {"Bucket": site.bucket, "Key": schedule_key(pipeline)}
    lock = Lock(site, place, body, "$schedule", _kept, "run: {}".format)
    held = asl.Pass("run: has the schedule", output={})
    take, who = lock.take("take the schedule"), lock.who("who has the schedule")
    nobody = {"schedule": {"tries": 0}}
    take.add_catch(asl.Catch(error_equals=["States.ALL"], next_step=who, assign=nobody, output={}))
    take.next(held)
    free = _free(lock, who, held)
    # Neither catches: when S3 or Step Functions cannot be asked, the run fails, and a redrive asks again.
    goes_on = lock.goes_on("does its run go on", gone=free)
    who.next(goes_on)
    goes_on.next(free)
    return take, held


def _free(lock: Lock, who: Any, held: Any) -> Any:
    over = lock.take_over("take the schedule over", lost=who)
    over.next(held)
    holder = f"{lock.own}.holder"
    # A later one, too: what comes late is not made up for.
    duplicate = f"$toMillis({holder}.scheduled) >= $toMillis($run.scheduled)"
    why = (
        f'{duplicate} ? "the run " & {holder}.run & " was started for " & {holder}.scheduled '
        f': "the run " & {holder}.run & ", started for " & {holder}.scheduled & ", still goes on"'
    )
    dropped = asl.Succeed("run: dropped", output={"run": jsonata("$run.id"), DROPPED: jsonata(why)})
    words = json.dumps(f"{MOST_TRIES} times the schedule of the run ")
    stuck = asl.Fail(
        "run: the schedule cannot be taken over",
        error=CANNOT_TAKE,
        cause=jsonata(f'{words} & {holder}.run & ", which has ended, could not be taken over"'),
    )
    choice = asl.Choice("run: is the schedule free", output={})
    choice.when(lock.mine, held)
    choice.when(f"{duplicate} or {lock.own}.goes_on", dropped)
    choice.when(f"{lock.own}.tries >= {MOST_TRIES}", stuck)
    return choice.otherwise(over)


def _kept(part: str) -> dict[str, str]:
    return {"schedule": jsonata(f"$merge([$schedule, {part}])")}
