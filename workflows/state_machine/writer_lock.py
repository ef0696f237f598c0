"""One writer per checkpoint prefix, where a pipeline names a prefix that outlives its runs.

A run's own prefix has one writer by its name alone. A prefix that the pipeline names (`checkpoint.s3_uri`)
may be wanted by two runs at once, so whoever is to write takes a lock first: an object beside the prefix,
written on the condition that there is none, that names the execution.

    take the checkpoints -> where to run
            |
            +-> who has them -> does that run go on -> do its jobs run -> are they free -> take them over
                     ^                                                         |   |
                     +---------- wait for its jobs to end <--------------------+   +-> failed

Nobody has to give it back: a holder that has ended, however it ended, and whose jobs have ended, too, is
taken over from, on the condition that the lock is still the one that was looked at.
"""

from __future__ import annotations

from typing import Any

from workflows.stages import TrainStage
from workflows.state_machine import expressions as x
from workflows.state_machine import language as asl
from workflows.state_machine.language import jsonata
from workflows.state_machine.retries import retry, s3_busy, sagemaker_busy
from workflows.state_machine.tasks import sdk_task
from workflows.training_job import Site, checkpoint_bucket, checkpoint_folder, variable

SUFFIX = ".writer.json"  # beside the prefix, not in it: what is in it is copied into every job
WAIT_SECONDS = 60
MOST_TRIES = 5  # to take over from a holder that has ended
_TAKEN = "the checkpoints are being written by another run: "


def lock_states(stage: TrainStage, site: Site, *, onward: Any, failed: Any) -> Any:
    """The first state of taking the lock; `onward` follows when it is held, `failed` when it is not."""
    return _Lock(stage, site, onward, failed).take()


class _Lock:
    def __init__(self, stage: TrainStage, site: Site, onward: Any, failed: Any) -> None:
        self.stage, self.site, self.onward, self.failed = stage, site, onward, failed
        self.own = variable(stage.name)
        self.place = {
            "Bucket": checkpoint_bucket(stage, site),
            "Key": jsonata(f'{checkpoint_folder(stage)} & "{SUFFIX}"'),
        }

    def take(self) -> Any:
        take = self._write("take the checkpoints", {"IfNoneMatch": "*"})
        who = self._who()
        take.add_catch(asl.Catch(error_equals=["States.ALL"], next_step=who, output={}))
        take.next(self.onward)
        return take

    def _who(self) -> Any:
        own = f"${self.own}"
        who = self._task("who has them", "s3:getObject", self.place, self._kept(_HOLDER))
        who.add_retry(s3_busy())
        who.add_catch(self._fail("they cannot be taken, nor can be seen who has them: "))
        goes_on = self._task(
            "does that run go on",
            "sfn:describeExecution",
            {"ExecutionArn": jsonata(f"{own}.holder.execution")},
            self._kept('{"goes_on": $states.result.Status = "RUNNING"}'),
        )
        jobs = self._jobs()
        # An execution of more than 90 days ago is known no more.
        gone = asl.Catch(
            error_equals=["Sfn.ExecutionDoesNotExistException"],
            next_step=jobs,
            assign=self._kept('{"goes_on": false}'),
            output={},
        )
        goes_on.add_catch(gone)
        goes_on.add_catch(self._fail("it cannot be seen whether the run that has them goes on: "))
        who.next(goes_on)
        goes_on.next(jobs)
        jobs.next(self._free(who))
        return who

    def _jobs(self) -> Any:
        running = (
            '$count($states.result.TrainingJobSummaries[TrainingJobStatus in ["InProgress", "Stopping"]])'
        )
        state = self._task(
            "do its jobs run",
            "sagemaker:listTrainingJobs",
            {
                "NameContains": jsonata(f"${self.own}.holder.tag"),
                "SortBy": "CreationTime",
                "SortOrder": "Descending",
                "MaxResults": 100,
            },
            self._kept(f'{{"jobs": {running}}}'),
        )
        state.add_retry(sagemaker_busy())
        return state

    def _free(self, who: Any) -> Any:
        own = f"${self.own}"
        mine = f"{own}.holder.execution = $states.context.Execution.Id"
        wait = asl.Wait(self._title("wait for its jobs to end"), seconds=WAIT_SECONDS)
        wait.next(who)
        over = self._write("take them over", {"IfMatch": jsonata(f"{own}.holder.etag")})
        # Another was faster, or they may not be written: a few looks tell which.
        again = self._kept(f'{{"tries": {x.or_else(f"{own}.tries", "0")} + 1}}')
        over.add_catch(asl.Catch(error_equals=["States.ALL"], next_step=who, assign=again, output={}))
        over.next(self.onward)
        words = f'"{self.stage.name}: {_TAKEN}" & {own}.holder.run & ". Redrive this one when it has ended"'
        taken = f'{{"message": {words}}}'
        refuse = asl.Pass(self._title("taken by another run"), assign=self._kept(taken), output={})
        refuse.next(self.failed)
        choice = asl.Choice(self._title("are they free"), output={})
        choice.when(mine, self.onward)
        choice.when(f"{own}.goes_on or {own}.tries > {MOST_TRIES}", refuse)
        choice.when(f"{own}.jobs > 0", wait)
        return choice.otherwise(over)

    # ------------------------------------------------------------------------------------------------ parts
    def _write(self, phrase: str, condition: dict[str, Any]) -> Any:
        body = '{"execution": $states.context.Execution.Id, "run": $run.id, "tag": $run.tag}'
        state = self._task(phrase, "s3:putObject", {**self.place, **condition, "Body": jsonata(body)})
        # S3 answers a conditional write that met another with a conflict: then it is looked at.
        busy = ["S3.SdkClientException", "S3.SlowDownException"]
        state.add_retry(retry(busy, first=1, attempts=4, longest=20))
        return state

    def _task(
        self, phrase: str, action: str, arguments: dict[str, Any], assign: dict[str, Any] | None = None
    ) -> Any:
        return sdk_task(self._title(phrase), self.site, action, arguments, assign=assign)

    def _kept(self, part: str) -> dict[str, str]:
        return {self.own: jsonata(x.merged(self.stage.name, part))}

    def _fail(self, words: str) -> Any:
        cause = x.or_else("$states.errorOutput.Cause", "$states.errorOutput.Error")
        said = f'{{"message": "{self.stage.name}: the checkpoints: {words}" & $substring({cause}, 0, 500)}}'
        return asl.Catch(
            error_equals=["States.ALL"], next_step=self.failed, assign=self._kept(said), output={}
        )

    def _title(self, phrase: str) -> str:
        return f"{self.stage.name}: {phrase}"


_HOLDER = '{"holder": $merge([$parse($states.result.Body), {"etag": $states.result.ETag}])}'
