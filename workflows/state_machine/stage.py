"""The sub-graph of one stage.

    on spot -> is it whole -> done --------------+
       |            |                            v
       +-> why did it end -> how far did it get -> what follows from it -> write down -> measure -> what next
                                                                                                       |
                                                     the next stage
                                                     back off -> on spot | on demand
                                                     was it done before ... (`earlier_runs.py`)
                                                     skipped
                                                     failed, redrive to go on

An undisturbed stage takes six transitions; from a lost attempt's job to the next one's it takes eight. An
attempt that is not to start (`holds.py`) goes the way of one that was refused.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from workflows.jobs.checkpoints import checkpoint_bucket, checkpoint_key
from workflows.jobs.jsonata_text import fields, jsonata
from workflows.jobs.kinds import job_of
from workflows.jobs.site import Materials, Site
from workflows.jobs.variables import mark_key, settings
from workflows.ledger.vocabulary import FAILED, ON_DEMAND, ON_SPOT, WHAT_NEXT, title, variable
from workflows.policy.decisions import Next
from workflows.specification.pipeline import Pipeline
from workflows.specification.stages import JobStage
from workflows.state_machine import expressions as x
from workflows.state_machine import language as asl
from workflows.state_machine import verdict
from workflows.state_machine.attempt_record import ONWARD, record_states
from workflows.state_machine.earlier_runs import look_up_states
from workflows.state_machine.holds import Scope, hold, money, slack, unless_held
from workflows.state_machine.retries import busy, create_busy, retry
from workflows.state_machine.tasks import sdk_task
from workflows.state_machine.writer_lock import lock_states

LOOK_AGAIN_SECONDS = 60
PHRASES = {"spot": ON_SPOT, "on-demand": ON_DEMAND}  # market -> the state that runs a job there
NOTHING: dict[str, Any] = {"outputs": {}, "metrics": {}, "ledger": []}  # what a stage without a job leaves
SKIPPED = "not asked for, or a gate before it said stop"


@dataclass(frozen=True)
class Place:
    """Where a stage stands: its pipeline, site and materials, its scope, and the gates before it."""

    pipeline: Pipeline
    site: Site
    materials: Materials
    scope: Scope
    gates: tuple[tuple[str, str], ...] = ()  # (name, variable that holds its result)
    number: int = 0  # of the scope: it tells the variables of one from those of others


@dataclass
class States:
    """A stage's states, linked among themselves."""

    before: dict[str, Any]  # variables that whoever leads to `entry` assigns
    entry: Any
    exits: list[Any] = field(default_factory=list)  # the states that lead on


def job_states(stage: JobStage, place: Place) -> States:
    """The states of a stage that runs one job after the other."""
    return StageStates(stage, place).states


class StageStates:
    """The states of one stage that runs jobs."""

    def __init__(self, stage: JobStage, place: Place, *, failed: Any = None) -> None:
        """`failed` takes the place of the state that fails the run."""
        self.stage, self.place, self.site = stage, place, place.site
        self.own = variable(stage.name)
        self.job = job_of(stage)
        self.type = self.job.type
        self.job_name = self.job.name(place.pipeline.name)
        self.hold = hold(stage, place.scope, place.gates)
        self.attempts = dict(self._attempts())
        self.done, self.skipped = self._done(), self._skipped()
        self.entry = self.attempts[stage.first_market]
        failing = failed or self._failed()
        if stage.shared_prefix:
            self.entry = lock_states(stage, self.site, onward=self._where_to_run(), failed=failing)
        if not failed:
            failing.next(self.entry)
        self.what_next = asl.Choice(self._title(WHAT_NEXT))
        self._link(failing)

    @property
    def states(self) -> States:
        """The states as a part of the machine."""
        return States({self.own: jsonata(x.fresh(self.stage))}, self.entry, [self.what_next, self.skipped])

    def _link(self, failing: Any) -> None:
        why = self._why()
        how_far = self._how_far() if self.job.resumes else None
        decide = asl.Pass(
            self._title("what follows from it"),
            assign=self._assign(verdict.decided(self.stage)),
            output={},
        )
        whole = self._is_it_whole() if self.job.resumes else self.done
        earlier = look_up_states(self.stage, self.site, found=whole, entry=self.entry)
        self._decide(why, how_far, earlier, failing)
        ended = record_states(
            self.stage, self.place.pipeline, self.site, self.place.scope.results, onward=self.what_next
        )
        self.done.next(ended)
        decide.next(ended)
        for attempt in self.attempts.values():
            attempt.next(whole)
            attempt.add_catch(self._catch(why, x.refused(self.stage.name, self.job_name)))
        if how_far:
            whole.add_catch(asl.Catch(error_equals=["States.ALL"], next_step=why))
            whole.next(self.done)
            how_far.add_catch(self._catch(decide, verdict.not_found(self.stage)))
            how_far.next(decide)
        left = money(self.stage, self.place.scope)
        gone = x.never_created(self.stage.name, self.hold, left)
        why.add_catch(self._catch(how_far or decide, self._ended(gone)))
        why.next(how_far or decide)

    # ------------------------------------------------------------------------------------- an attempt
    def _attempts(self) -> Iterator[tuple[str, Any]]:
        """(market, the state that runs a job there)."""
        left = slack(self.stage, f"${self.own}.left")
        place = self.place
        for market, request in self.job.requests(place.pipeline, self.site, place.materials, slack=left):
            yield market, self._attempt(PHRASES[market], request)

    def _attempt(self, title: str, request: dict[str, Any]) -> Any:
        status = f"$states.result.{self.type.status}"
        # A stopped job may come as an error or as a success (AWS.md 8.2): both go to the catcher.
        completed = f'{status} = "Completed" ? {{}} : $error("the job ended as " & {status})'
        name = jsonata(unless_held(self.hold, self.job_name))
        resource = f"arn:{self.site.partition}:states:::sagemaker:create{self.type.word}Job.sync"
        state = asl.Task(
            self._title(title),
            resource=resource,
            arguments={**request, self.type.name: name},
            assign=self._assign(x.merged(self.stage.name, f'{{"job": {self.job_name}}}')),
            output=jsonata(completed),
        )
        state.add_retry(create_busy(resource))
        return state

    def _is_it_whole(self) -> Any:
        """Completed is not enough: complete.json is what the script wrote when its work was done."""
        final = '{"final": $parse($states.result.Body)}'
        key = checkpoint_key(self.stage, "complete.json")
        bucket = checkpoint_bucket(self.stage, self.site)
        return self._read("is it whole", bucket, key, x.merged(self.stage.name, final))

    # -------------------------------------------------------------------------------- after an attempt
    def _why(self) -> Any:
        """Describes the job by its name: an error's Cause may be plain text, or cut.

        A job that was never created comes under the same name as throttling, so it is asked for a minute at
        most; one that was held back, and not because of a redrive, is not asked for.
        """
        end = self._assign(self._ended(fields(self.job.end())))
        return self._describe("why did it end", x.job_to_look_at(self.stage.name, self.hold), end, attempts=5)

    def _ended(self, end: str) -> str:
        return x.merged(self.stage.name, f'{{"end": {end}}}')

    def _how_far(self) -> Any:
        """Reads one object.

        Of a job that was asked to stop it is the watch's mark, which repeats progress.json: so a stop by the
        watch costs no transition more than another end. A stop by a person has no mark, and costs two.
        """
        stage, name = self.stage, self.stage.name
        marked = x.looks_for_mark(name)
        key = f"{marked} ? {mark_key(name)} : {checkpoint_key(stage, 'progress.json')}"
        shared, bucket = checkpoint_bucket(stage, self.site), self.site.bucket
        place = bucket if shared == bucket else jsonata(f'{marked} ? "{bucket}" : "{shared}"')
        return self._read("how far did it get", place, key, verdict.found(stage))

    def _decide(self, why: Any, how_far: Any, earlier: Any, failing: Any) -> None:
        """The rules of the choice; a stage that is done leaves it by its default."""
        choice = self.what_next
        own = f"${self.own}"
        if how_far:
            choice.when(f'{own}.next = "{Next.DONE}"', self.done)
            choice.when(f'{own}.next = "{verdict.READ_ON}"', how_far)
        choice.when(f'{own}.next = "{Next.LOOK_UP}"', earlier)
        choice.when(f'{own}.next = "{Next.SKIP}"', self.skipped)
        if self.entry not in self.attempts.values():
            # Between the stop of a run and its redrive another may have taken the checkpoints.
            again = f'{own}.next in ["spot", "on-demand"] and {own}.taken_up'
            choice.when(again, self.entry)
        for market, attempt in self.attempts.items():
            # A Wait has one successor, so each market has its own.
            back_off = asl.Wait(
                self._title(f"back off, then {'spot' if market == 'spot' else 'on demand'}"),
                seconds=jsonata(f"{own}.wait"),
            )
            back_off.next(attempt)
            choice.when(f'{own}.next = "{market}" and {own}.wait > 0', back_off)
            choice.when(f'{own}.next = "{market}"', attempt)
        look_again = asl.Wait(self._title("still running, look again"), seconds=LOOK_AGAIN_SECONDS)
        look_again.next(why)
        choice.when(f'{own}.next = "{Next.LOOK_AGAIN}"', look_again)
        choice.when(f'{own}.next != "{ONWARD}"', failing)

    def _where_to_run(self) -> Any:
        """Chooses the market after the lock was taken: the stage may be on its way to either."""
        choice = asl.Choice(self._title("where to run"), output={})
        markets = list(self.attempts.items())
        for market, attempt in markets[:-1]:
            choice.when(f'${self.own}.market = "{market}"', attempt)
        return choice.otherwise(markets[-1][1])

    def _failed(self) -> Any:
        """Fails the run with the reason; after a redrive the stage begins again: fresh budgets, the same
        checkpoint."""
        own = f"${self.own}"
        again = {
            **x.BEGINNING,
            "market": json.dumps(self.stage.first_market),
            "attempt": f"{own}.attempt + 1",
            "redrive": x.REDRIVES,
            "do": f"{settings(self.stage.name)}.do",
        }
        return fails_until_redriven(
            self._title(FAILED),
            self.site,
            redriven=f"{x.REDRIVES} > {own}.redrive",
            message=f"{own}.message",
            assign=self._assign(x.merged(self.stage.name, fields(again))),
        )

    def _done(self) -> Any:
        left = verdict.finished(self.job, self.site)
        onward = self._assign(x.merged(self.stage.name, f'{{"next": "{ONWARD}"}}'))
        return self._describe("done", f"${self.own}.job", {**self._leave(left), **onward})

    def _skipped(self) -> Any:
        left = f'$merge([{json.dumps(NOTHING)}, {{"skipped": ${self.own}.why}}])'
        return asl.Pass(self._title("skipped"), assign=self._leave(left), output={})

    def _leave(self, left: str) -> dict[str, str]:
        return leave(self.place.scope, self.stage.name, left)

    # --------------------------------------------------------------------------------------------- parts
    def _title(self, phrase: str) -> str:
        return title(self.stage.name, phrase)

    def _assign(self, expression: str) -> dict[str, str]:
        return {self.own: jsonata(expression)}

    def _catch(self, target: Any, expression: str) -> Any:
        return asl.Catch(
            error_equals=["States.ALL"], next_step=target, assign=self._assign(expression), output={}
        )

    def _describe(self, phrase: str, job: str, assign: dict[str, str], *, attempts: int = 8) -> Any:
        name = {self.type.name: jsonata(job)}
        action = f"sagemaker:describe{self.type.word}Job"
        state = sdk_task(self._title(phrase), self.site, action, name, assign=assign)
        state.add_retry(asl.Retry(error_equals=["States.QueryEvaluationError"], max_attempts=0))
        state.add_retry(busy(action, attempts=attempts))
        state.add_retry(retry(["States.TaskFailed"], first=1, attempts=2, longest=5))
        return state

    def _read(self, phrase: str, bucket: str, key: str, assign: str) -> Any:
        """Reads a small JSON object of the stage's; `key` and `assign` are expressions."""
        place = {"Bucket": bucket, "Key": jsonata(key)}
        kept = self._assign(assign)
        state = sdk_task(self._title(phrase), self.site, "s3:getObject", place, assign=kept)
        state.add_retry(busy("s3:getObject", first=1, attempts=6))
        return state


def leave(scope: Scope, stage: str, left: str) -> dict[str, str]:
    """What a stage hands over to those after it; `left` is an expression."""
    results = f"$merge([${scope.results}, {{{json.dumps(stage)}: {left}}}])"
    return {scope.results: jsonata(results)}


def fails_until_redriven(
    title: str, site: Site, *, redriven: str, message: str, assign: dict[str, str]
) -> Any:
    """A state that fails the run with a message, in a way that a redrive can go on from.

    A redriven Fail state fails again; a redriven Task evaluates its Arguments anew. So it fails in the
    arguments of a task, and after a redrive the same task leads on.
    """
    bucket = jsonata(f'{redriven} ? "{site.bucket}" : $error({message})')
    arguments = {"Bucket": bucket, "Prefix": jsonata("$run.prefix"), "MaxKeys": 1}
    return sdk_task(title, site, "s3:listObjectsV2", arguments, assign=assign)
