"""The sub-graph of one stage.

    on spot -> is it whole -> done
       |            |
       +-> why did it end -> how far did it get -> what next -> back off -> on spot | on demand
                                                      |
                                                      +-> failed, redrive to go on

An undisturbed stage takes three transitions; from a lost attempt's job to the next one's it takes five.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from workflows.decisions import Next
from workflows.pipeline import Pipeline, ProcessStage, TrainStage
from workflows.state_machine import expressions as x
from workflows.state_machine import language as asl
from workflows.state_machine.language import jsonata
from workflows.state_machine.retries import CREATE_BUSY, S3_BUSY, SAGEMAKER_BUSY, retry
from workflows.training_job import (
    Materials,
    Site,
    checkpoint_key,
    job_name,
    mark_key,
    outputs,
    processing_request,
    training_request,
    variable,
)

LOOK_AGAIN_SECONDS = 60


class StageStates:
    """The states of one stage, linked; `entry` is the first one, `done` the last one."""

    def __init__(
        self,
        pipeline: Pipeline,
        stage: TrainStage | ProcessStage,
        site: Site,
        materials: Materials,
        results: str,
    ) -> None:
        """`results` names the variable that holds what the finished stages of this scope left."""
        self.pipeline, self.stage, self.site, self.materials = pipeline, stage, site, materials
        self.results = results
        self.job_name = job_name(pipeline.name, stage.name)
        self.own = variable(stage.name)
        self.training = isinstance(stage, TrainStage)
        self.attempts = dict(self._attempts())
        self.entry = self.attempts[x.first_market(stage)]
        self.done = self._done()
        self._link()

    def _link(self) -> None:
        why = self._why()
        how_far = self._how_far(self.stage) if isinstance(self.stage, TrainStage) else None
        what_next = self._what_next(why, how_far)
        whole = self._is_it_whole() if self.training else self.done
        for attempt in self.attempts.values():
            attempt.next(whole)
            attempt.add_catch(self._catch(why, x.refused(self.stage.name, self.job_name)))
        if how_far and isinstance(self.stage, TrainStage):
            whole.add_catch(asl.Catch(error_equals=["States.ALL"], next_step=why))
            whole.next(self.done)
            how_far.add_catch(self._catch(what_next, x.not_found(self.stage)))
            how_far.next(what_next)
        gone = x.never_created(self.stage.name)
        why.add_catch(self._catch(how_far or what_next, self._ended(gone)))
        why.next(how_far or what_next)

    # ------------------------------------------------------------------------------------- an attempt
    def _attempts(self) -> Iterator[tuple[str, Any]]:
        """(market, the state that runs a job there)."""
        stage = self.stage
        if isinstance(stage, ProcessStage):
            request = processing_request(self.pipeline, stage, self.site, self.materials)
            yield "on-demand", self._attempt("on demand", "createProcessingJob", request)
            return
        for market, title, wanted in (
            ("spot", "on spot", x.first_market(stage) == "spot"),
            ("on-demand", "on demand", stage.on_demand.enabled),
        ):
            if wanted:
                spot = market == "spot"
                request = training_request(self.pipeline, stage, self.site, self.materials, spot=spot)
                yield market, self._attempt(title, "createTrainingJob", request)

    def _attempt(self, title: str, operation: str, request: dict[str, Any]) -> Any:
        status = f"$states.result.{'Training' if self.training else 'Processing'}JobStatus"
        # A stopped job may come as an error or as a success, AWS does not say: both go to the catcher.
        completed = f'{status} = "Completed" ? {{}} : $error("the job ended as " & {status})'
        state = asl.Task(
            self._title(title),
            resource=self._arn(f"sagemaker:{operation}.sync"),
            arguments=request,
            assign=self._assign(x.merged(self.stage.name, f'{{"job": {self.job_name}}}')),
            output=jsonata(completed),
        )
        state.add_retry(retry(CREATE_BUSY, first=5, attempts=4, longest=120))
        return state

    def _is_it_whole(self) -> Any:
        """Completed is not enough: complete.json is what the script wrote when its work was done."""
        final = '{"final": $parse($states.result.Body)}'
        key = checkpoint_key(self.stage.name, "complete.json")
        return self._read("is it whole", key, x.merged(self.stage.name, final))

    # -------------------------------------------------------------------------------- after an attempt
    def _why(self) -> Any:
        """Describes the job by its name: an error's Cause may be plain text, or cut."""
        end = x.training_end() if self.training else x.processing_end()
        return self._describe("why did it end", self._assign(self._ended(end)))

    def _ended(self, end: str) -> str:
        """A processing job reports no progress and nobody watches it: the decision falls at once."""
        if isinstance(self.stage, ProcessStage):
            return x.decided(self.stage, "{}", end)
        return x.merged(self.stage.name, f'{{"end": {end}}}')

    def _how_far(self, stage: TrainStage) -> Any:
        """Reads one object, and then decides.

        Of a job that was asked to stop it is the watch's mark, which repeats progress.json: so a stop by the
        watch costs no transition more than another end. A stop by a person has no mark, and costs two.
        """
        name = stage.name
        key = f"{x.looks_for_mark(name)} ? {mark_key(name)} : {checkpoint_key(name, 'progress.json')}"
        found = x.decided(stage, "$parse($states.result.Body)")
        return self._read("how far did it get", key, found)

    def _what_next(self, why: Any, how_far: Any) -> Any:
        choice = asl.Choice(self._title("what next"))
        own = f"${self.own}"
        if how_far:
            choice.when(f'{own}.next = "{Next.DONE}"', self.done)
            choice.when(f'{own}.next = "{x.READ_ON}"', how_far)
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
        return choice.otherwise(self._failed())

    def _failed(self) -> Any:
        """Fails the run with the reason, in a way that a redrive can go on from.

        A redriven Fail state fails again; a redriven Task evaluates its Arguments anew. So the stage fails in
        the arguments of a task, and after a redrive the same task lets the stage begin again: fresh
        budgets, the same checkpoint.
        """
        own = f"${self.own}"
        redriven = f"$states.context.Execution.RedriveCount > {own}.redrive"
        start = {**x.fresh(self.stage)}
        kept = ("attempt", "ledger", "step")
        again = json.dumps({key: value for key, value in start.items() if key not in kept})
        state = asl.Task(
            self._title("failed, redrive to go on"),
            resource=self._arn("aws-sdk:s3:listObjectsV2"),
            arguments={
                "Bucket": jsonata(f'{redriven} ? "{self.site.bucket}" : $error({own}.message)'),
                "Prefix": jsonata("$run.prefix"),
                "MaxKeys": 1,
            },
            assign=self._assign(x.merged(self.stage.name, again, f'{{"attempt": {own}.attempt + 1}}')),
            output={},
        )
        state.next(self.entry)
        return state

    def _done(self) -> Any:
        figures = x.training_figures() if self.training else x.processing_figures()
        left = x.finished(self.stage, figures, outputs(self.stage, self.site))
        results = f"$merge([${self.results}, {{{json.dumps(self.stage.name)}: {left}}}])"
        return self._describe("done", {self.results: jsonata(results)})

    # --------------------------------------------------------------------------------------------- parts
    def _title(self, phrase: str) -> str:
        return f"{self.stage.name}: {phrase}"

    def _arn(self, service: str) -> str:
        return f"arn:{self.site.partition}:states:::{service}"

    def _assign(self, expression: str) -> dict[str, str]:
        return {self.own: jsonata(expression)}

    def _catch(self, target: Any, expression: str) -> Any:
        return asl.Catch(
            error_equals=["States.ALL"], next_step=target, assign=self._assign(expression), output={}
        )

    def _describe(self, phrase: str, assign: dict[str, str]) -> Any:
        kind = "Training" if self.training else "Processing"
        state = asl.Task(
            self._title(phrase),
            resource=self._arn(f"aws-sdk:sagemaker:describe{kind}Job"),
            arguments={f"{kind}JobName": jsonata(f"${self.own}.job")},
            assign=assign,
            output={},
        )
        state.add_retry(retry(SAGEMAKER_BUSY, first=2, attempts=8, longest=60))
        state.add_retry(retry(["States.TaskFailed"], first=1, attempts=2, longest=5))
        return state

    def _read(self, phrase: str, key: str, assign: str) -> Any:
        """Reads a small JSON object of the stage's; `key` and `assign` are expressions."""
        state = asl.Task(
            self._title(phrase),
            resource=self._arn("aws-sdk:s3:getObject"),
            arguments={
                "Bucket": self.site.bucket,
                "Key": jsonata(key),
            },
            assign=self._assign(assign),
            output={},
        )
        state.add_retry(retry(S3_BUSY, first=1, attempts=4, longest=20))
        return state
