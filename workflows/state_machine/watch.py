"""The capacity watch: a small machine that ends a spot job's waiting when its patience is over.

SageMaker itself restarts an interrupted spot job until MaxWaitTimeInSeconds, and MaxWait must not be below
MaxRuntime: it cannot say "wait 45 minutes, then give up". So EventBridge starts one watch for each event that
says that a job of the pipeline waits (`watch_pattern.py`):

    wait for capacity -> look at the job -> does it wait for capacity -> nothing to do
                           ^                  |            |
                           |                  v            +-> how far did it get -> mark the stop
                           +-- wait for the patience that is left              -> stop the job -> stopped

It keeps nothing and knows no stage: what it needs stands in the job's own Environment. Most waits are over
long before the patience is, so it lets that pass first, as far as the tags in the event tell it, and then
looks once. The first wait decides nothing: an event without those tags, or of another shape, has it look at
once, and so has a job that has used up its interruptions or runs against a deadline.

Events come twice, late or never, so:

- twice (and each wait after an interruption says so twice, Interrupted and Starting): each watch looks for
  itself; both would leave the same mark, and the second stop is refused.
- late: the time counts from the job's own transitions, not from the event.
- never: MaxWait (limit + patience) ends the waiting.

**The mark** tells the pipeline's machine that the watch stopped the job, not a person. It is written before
the stop, because the pipeline's machine looks for it as soon as the job has ended. It is an object of its own
and no field in progress.json: the checkpoint prefix has one writer, and a script that gets capacity between
our look and our stop would overwrite it. Nobody else writes where the mark is, so:

- capacity comes between look and stop: the job is stopped all the same, on its instances, counts as
  interrupted, and the next attempt resumes from what it saved. (The mark repeats the progress at the look:
  the ledger may miss the last seconds of that attempt.)
- the job ends in another way before the stop: the stop is refused, and the mark is not looked for. It counts
  only for a job that ended because somebody asked; Completed, Failed, MaxWait, MaxRuntime stay what they are.
- a person stops the job between our look and our stop: that counts as the watch's stop, which would have come
  a moment later. What ends everything is to stop the run, not its job.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from workflows.jobs.job_names import job_prefix
from workflows.jobs.jsonata_text import fields, jsonata, millis, or_else
from workflows.jobs.site import Site
from workflows.jobs.variables import MARK
from workflows.jobs.watch_pattern import LEFT_TAG, LOOK_AFTER, WAITING
from workflows.jobs.watched import INTERRUPTIONS_LEFT, NO_DEADLINE, PATIENCE, REDONE, SLACK
from workflows.ledger.vocabulary import WATCH_REFUSED
from workflows.specification.pipeline import Pipeline
from workflows.state_machine import language as asl
from workflows.state_machine.retries import busy, retry
from workflows.state_machine.tasks import sdk_task

_JOB = "$states.input.detail.TrainingJobName"
_PASSED_ON = jsonata("$states.input")
_CAUSE = or_else("$states.errorOutput.Cause", "$states.errorOutput.Error")
_SAID = jsonata(f'{{"job": {_JOB}, "why": $look.why}}')


def watch_of(pipeline: Pipeline, site: Site) -> dict[str, Any]:
    """The definition of the capacity watch of a pipeline."""
    return compile_watch(pipeline.name, site, [stage.role for stage in pipeline.jobs if stage.role])


def compile_watch(pipeline: str, site: Site, roles: Iterable[str] = ()) -> dict[str, Any]:
    """The definition of the capacity watch of the pipeline with this name; `roles`: those that its stages
    name themselves."""
    first = asl.Wait("wait for capacity", seconds=jsonata(_FIRST))
    look = _look(_ours(pipeline, site, [site.job_role_arn, *roles]), site)
    wait = asl.Wait("wait for the patience that is left", seconds=jsonata("$look.seconds"))
    how_far, mark, stop = _how_far(site), _mark(site), _stop(site, look)
    choice = asl.Choice("does it wait for capacity")
    choice.when('$look.next = "leave"', asl.Succeed("nothing to do", output=_SAID))
    choice.when('$look.next = "wait"', wait)
    choice.when('$look.next = "stop"', how_far)
    choice.otherwise(_refused())
    first.next(look)
    look.add_catch(_catch(choice, {"look": jsonata(_NOT_SEEN)}))
    look.next(choice)
    wait.next(look)
    how_far.add_catch(_catch(mark, {"progress": {}}))
    how_far.next(mark)
    mark.next(stop)
    stop.next(asl.Succeed("stopped", output=_SAID))
    return asl.machine(first, comment=f"The capacity watch of {pipeline}, compiled by Relay")


# ------------------------------------------------------------------------------------------------ states
def _look(ours: str, site: Site) -> Any:
    """Describes the job and decides; every state passes the event on, for the next look."""
    look = {"look": jsonata(_looked(f"s3://{site.bucket}/", ours))}
    state = _task(
        "look at the job", site, "sagemaker:describeTrainingJob", {"TrainingJobName": jsonata(_JOB)}, look
    )
    state.add_retry(busy("sagemaker:describeTrainingJob"))
    state.add_retry(retry(["States.TaskFailed"], first=2, attempts=4, longest=60))
    return state


def _how_far(site: Site) -> Any:
    place = {"Bucket": jsonata("$look.bucket"), "Key": jsonata("$look.progress")}
    # A script that is not ours may have written anything there.
    found = '($found := $parse($states.result.Body); $type($found) = "object" ? $found : {})'
    state = _task("how far did it get", site, "s3:getObject", place, {"progress": jsonata(found)})
    state.add_retry(busy("s3:getObject", first=1, attempts=6))
    return state


def _mark(site: Site) -> Any:
    """No mark, no stop: if it cannot be written the watch fails, and MaxWait is what is left."""
    mark = f'$merge([$progress, {{"stopped_by_watch": {_JOB}, "because": $look.why}}])'
    # An object is written as its JSON; a string would be written with quotes around it.
    written = {"Bucket": site.bucket, "Key": jsonata("$look.mark"), "Body": jsonata(mark)}
    state = _task("mark the stop", site, "s3:putObject", written)
    state.add_retry(busy("s3:putObject", first=1))
    return state


def _stop(site: Site, look: Any) -> Any:
    """A refusal is no error yet, the job may have ended: another look tells."""
    state = _task("stop the job", site, "sagemaker:stopTrainingJob", {"TrainingJobName": jsonata(_JOB)})
    # That the job has ended comes under the same name as throttling.
    state.add_retry(busy("sagemaker:stopTrainingJob", attempts=4, longest=20))
    state.add_retry(retry(["States.TaskFailed"], first=1, attempts=2, longest=5))
    refused = jsonata(f'$merge([$states.input, {{"refused": {_CAUSE}}}])')
    state.add_catch(asl.Catch(error_equals=["States.ALL"], next_step=look, output=refused))
    return state


def _refused() -> Any:
    return asl.Fail("the watch was refused", error=WATCH_REFUSED, cause=jsonata("$look.why"))


def _task(
    title: str, site: Site, action: str, arguments: dict[str, Any], assign: dict[str, Any] | None = None
) -> Any:
    return sdk_task(title, site, action, arguments, assign=assign, output=_PASSED_ON)


def _catch(target: Any, assign: dict[str, Any]) -> Any:
    return asl.Catch(error_equals=["States.ALL"], next_step=target, assign=assign, output=_PASSED_ON)


# -------------------------------------------------------------------------------------------- the first wait
_EVENT = "$states.input"
_TAGS = f"{_EVENT}.detail.Tags"
_FIRST = (
    f"($after := {_TAGS}.`{LOOK_AFTER}`; $left := {_TAGS}.`{LEFT_TAG}`; "
    f"$changes := {_EVENT}.detail.SecondaryStatusTransitions; "
    f"$exists($after) and $exists($left) and $exists({_EVENT}.time) and "
    # Who may take more interruptions than it has had changes of any kind need not count them.
    f'($count($changes) < $number($left) or $count($changes[Status = "Interrupted"]) < $number($left)) '
    f"? $max([0, $ceil($number($after) - ($millis() - $toMillis({_EVENT}.time)) / 1000)]) : 0)"
)
"""Seconds from now to the end of the patience, which the event's own time began; 0: look at once.

To the second, as that time is: a look that comes a moment too early waits for the rest of it.
"""


# ------------------------------------------------------------------------------------------ the decision
# A job that is gone needs no watch; anything else that keeps us from looking is to be seen.
_NOT_SEEN = f'{{"next": $contains({_CAUSE}, "not found") ? "leave" : "fail", "why": {_CAUSE}}}'


def _ours(pipeline: str, site: Site, roles: Iterable[str]) -> str:
    """Whether `$job` is a spot job that the pipeline's machine made: by its name, its role and where it
    writes. By its tag IAM knows it (`stacks/grants.py`): who has not ours cannot be stopped."""
    runs, prefix = f"s3://{site.bucket}/{pipeline}/runs/", job_prefix(pipeline)
    return (
        f"$job.EnableManagedSpotTraining = true and $exists($job.Environment.{PATIENCE}) "
        f'and $substring($job.TrainingJobName, 0, {len(prefix)}) = "{prefix}" '
        f"and $job.RoleArn in {json.dumps(list(dict.fromkeys(roles)))} "
        f'and $substring($place, 0, {len(runs)}) = "{runs}"'
    )


def _looked(bucket: str, ours: str) -> str:
    """The variable `$look`: what to do, why, how long to wait, and the keys of the mark and of the progress.

    Whatever AWS left out counts for leaving the job alone.
    """
    left_alone = [
        (f"$not({ours})", _says("leave", '"no spot job of this pipeline"')),
        ('$job.TrainingJobStatus != "InProgress"', _says("leave", '"the job is " & $job.TrainingJobStatus')),
        (
            f"$not($job.SecondaryStatus in {json.dumps(WAITING)})",
            _says("leave", '"the job has capacity: " & $job.SecondaryStatus'),
        ),
    ]
    place = or_else("$job.OutputDataConfig.S3OutputPath", '""')
    found = _first_that_holds(left_alone, _waits(bucket))
    return f"($job := $states.result; $place := {place}; {found})"


def _waits(bucket: str) -> str:
    """What to do with a job of ours that has no instances."""
    names = {
        "waiting": json.dumps(WAITING),
        "changes": "$job.SecondaryStatusTransitions",
        "seen": '$count($changes[Status = "Interrupted"])',
        **_times(),
        "left": or_else(f"$job.Environment.{INTERRUPTIONS_LEFT}", "$seen + 1"),
        # Without checkpoints there is no progress either, and the read that fails says so.
        "checkpoints": f'$substringAfter({or_else("$job.CheckpointConfig.S3Uri", "$place")}, "s3://")',
        # s3://BUCKET/PIPELINE/runs/RUN/STAGE/output
        "base": f"$substring($place, {len(bucket)}, $length($place) - {len(bucket) + len('/output')})",
    }
    bound = " ".join(f"${name} := {text};" for name, text in names.items())
    rest = fields(
        {
            "seconds": "$max([1, $ceil($min([$patience - $waited, $slack - $lost]))])",
            "mark": f'$base & "/output/" & $job.TrainingJobName & "/{MARK}"',
            "bucket": '$substringBefore($checkpoints, "/")',
            "progress": '$substringAfter($checkpoints, "/") & "progress.json"',
        }
    )
    return f"({bound} $merge([{_answer()}, {rest}]))"


def _times() -> dict[str, str]:
    """When the present wait began, and how long it and the patience are.

    It began with the first of those transitions up to now that are all without instances: Interrupted and the
    Starting after it are one wait. If the list lags behind, the last change counts: nothing stops too early.
    """
    first = '$began = "" ? $change.StartTime : $began'
    began = (
        f'$reduce($changes, function($began, $change) {{ $change.Status in $waiting ? ({first}) : "" }}, "")'
    )
    return {
        "began": began,
        "since": '$exists($began) and $began != "" ? $began : $job.LastModifiedTime',
        "waited": f"($millis() - {millis('$since')}) / 1000",
        "patience": f"$number({or_else(f'$job.Environment.{PATIENCE}', '0')})",
        **_clock(),
    }


def _clock() -> dict[str, str]:
    """What the deadline leaves: `$slack`, the seconds that the job may spend without getting on with its
    work, and `$lost`, how many it has spent.

    Lost is all that was not training, and for each interruption the work that may have to be redone: what the
    job says of its checkpoints bounds it. Without a deadline the patience alone counts.
    """
    slack = f"$job.Environment.{SLACK}"
    known = f'$exists({slack}) and {slack} != "{NO_DEADLINE}"'
    training = '$changes[Status = "Training" and $exists(EndTime)]'
    trained = f"$sum([0, {training}.({millis('EndTime')} - {millis('StartTime')})]) / 1000"
    redone = f"$seen * $number({or_else(f'$job.Environment.{REDONE}', '0')})"
    return {
        "slack": f"{known} ? $number({slack}) : $patience + $waited + 1",
        "lost": f"{known} ? ($millis() - {millis('$job.CreationTime')}) / 1000 - {trained} + {redone} : 0",
    }


def _answer() -> str:
    spent = '"interrupted " & $seen & " times, and the retry budget allowed " & $left'
    over = '"no capacity for " & $floor($waited) & " s, with a patience of " & $patience & " s"'
    short = '"waited " & $floor($waited) & " s for capacity; the deadline leaves no time to wait longer"'
    answers = [
        ("$exists($states.input.refused)", _says("fail", '"the stop was refused: " & $states.input.refused')),
        ("$seen >= $number($left)", _says("stop", spent)),
        ("$waited >= $patience", _says("stop", over)),
        ("$lost >= $slack", _says("stop", short)),
    ]
    return _first_that_holds(answers, _says("wait", '"no capacity yet"'))


def _says(next_: str, why: str) -> str:
    return f'{{"next": "{next_}", "why": {why}}}'


def _first_that_holds(answers: list[tuple[str, str]], otherwise: str) -> str:
    """The answer of the first condition that holds."""
    return "".join(f"{condition} ? {answer} : " for condition, answer in answers) + otherwise
