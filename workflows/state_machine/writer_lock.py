"""One writer per checkpoint prefix, where a pipeline names a prefix that outlives its runs.

A run's own prefix has one writer by its name alone. A prefix that the pipeline names (`checkpoint.s3_uri`)
may be wanted by two runs at once, so whoever is to write takes a lock first: an object beside the prefix,
written on the condition that there is none, that names the execution.

    take the checkpoints -> where to run
            |
            +-> who has them -> does that run go on -> do its jobs run -> are they free -> take them over
                     ^                                                         |   |
                     +---------- wait for its jobs to end <--------------------+   +-> failed

A holder that has ended, however it ended, and whose jobs have ended, too, is taken over from (`lock.py`).
"""

from __future__ import annotations

from typing import Any

from workflows.jobs.checkpoints import checkpoint_bucket, checkpoint_folder
from workflows.jobs.jsonata_text import jsonata, or_else
from workflows.jobs.site import Site
from workflows.ledger.vocabulary import title, variable
from workflows.specification.stages import JobStage
from workflows.state_machine import expressions as x
from workflows.state_machine import language as asl
from workflows.state_machine.lock import Lock
from workflows.state_machine.retries import busy
from workflows.state_machine.tasks import sdk_task

SUFFIX = ".writer.json"  # beside the prefix, not in it: what is in it is copied into every job
WAIT_SECONDS = 60
MOST_TRIES = 5  # to take over from a holder that has ended
_TAKEN = "the checkpoints are being written by another run: "


def lock_states(stage: JobStage, site: Site, *, onward: Any, failed: Any) -> Any:
    """The first state of taking the lock; `onward` follows when it is held, `failed` when it is not."""
    return _Lock(stage, site, onward, failed).take()


class _Lock:
    def __init__(self, stage: JobStage, site: Site, onward: Any, failed: Any) -> None:
        self.stage, self.site, self.onward, self.failed = stage, site, onward, failed
        self.own = variable(stage.name)
        place = {
            "Bucket": checkpoint_bucket(stage, site),
            "Key": jsonata(f'{checkpoint_folder(stage)} & "{SUFFIX}"'),
        }
        body = '{"execution": $states.context.Execution.Id, "run": $run.id, "tag": $run.tag}'
        self.lock = Lock(site, place, body, f"${self.own}", self._kept, self._title)

    def take(self) -> Any:
        take = self.lock.take("take the checkpoints")
        who = self._who()
        take.add_catch(asl.Catch(error_equals=["States.ALL"], next_step=who, output={}))
        take.next(self.onward)
        return take

    def _who(self) -> Any:
        who = self.lock.who("who has them")
        who.add_catch(self._fail("they cannot be taken, nor can be seen who has them: "))
        jobs = self._jobs()
        goes_on = self.lock.goes_on("does that run go on", gone=jobs)
        goes_on.add_catch(self._fail("it cannot be seen whether the run that has them goes on: "))
        who.next(goes_on)
        goes_on.next(jobs)
        jobs.next(self._free(who))
        return who

    def _jobs(self) -> Any:
        running = (
            '$count($states.result.TrainingJobSummaries[TrainingJobStatus in ["InProgress", "Stopping"]])'
        )
        state = sdk_task(
            self._title("do its jobs run"),
            self.site,
            "sagemaker:listTrainingJobs",
            {
                "NameContains": jsonata(f"${self.own}.holder.tag"),
                "SortBy": "CreationTime",
                "SortOrder": "Descending",
                "MaxResults": 100,
            },
            assign=self._kept(f'{{"jobs": {running}}}'),
        )
        state.add_retry(busy("sagemaker:listTrainingJobs"))
        return state

    def _free(self, who: Any) -> Any:
        own = f"${self.own}"
        wait = asl.Wait(self._title("wait for its jobs to end"), seconds=WAIT_SECONDS)
        wait.next(who)
        over = self.lock.take_over("take them over", lost=who)
        over.next(self.onward)
        words = f'"{self.stage.name}: {_TAKEN}" & {own}.holder.run & ". Redrive this one when it has ended"'
        taken = f'{{"message": {words}}}'
        refuse = asl.Pass(self._title("taken by another run"), assign=self._kept(taken), output={})
        refuse.next(self.failed)
        choice = asl.Choice(self._title("are they free"), output={})
        choice.when(self.lock.mine, self.onward)
        choice.when(f"{own}.goes_on or {own}.tries > {MOST_TRIES}", refuse)
        choice.when(f"{own}.jobs > 0", wait)
        return choice.otherwise(over)

    # ------------------------------------------------------------------------------------------------ parts
    def _kept(self, part: str) -> dict[str, str]:
        return {self.own: jsonata(x.merged(self.stage.name, part))}

    def _fail(self, words: str) -> Any:
        cause = or_else("$states.errorOutput.Cause", "$states.errorOutput.Error")
        said = f'{{"message": "{self.stage.name}: the checkpoints: {words}" & $substring({cause}, 0, 500)}}'
        return asl.Catch(
            error_equals=["States.ALL"], next_step=self.failed, assign=self._kept(said), output={}
        )

    def _title(self, phrase: str) -> str:
        return title(self.stage.name, phrase)
