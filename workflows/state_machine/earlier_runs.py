"""Taking a finished stage from an earlier run.

    was it done before -> what did it leave -> is it still there -> (is it whole)
                                  |                    |
                                  +--------------------+--> the stage's first state

What a job computes stands in its name; so the newest completed one that did the same is found without a table
that somebody would have to keep.
"""

from __future__ import annotations

from typing import Any

from workflows.jobs.job_names import CONTENT, STAGE_ID
from workflows.jobs.requests import Site, outputs
from workflows.ledger.vocabulary import variable
from workflows.policy.outcomes import Hold
from workflows.specification.stages import JobStage, ProcessStage, SweepStage, TrainStage
from workflows.state_machine import expressions as x
from workflows.state_machine import language as asl
from workflows.state_machine.language import jsonata
from workflows.state_machine.retries import s3_busy, sagemaker_busy
from workflows.state_machine.tasks import sdk_task


def look_up_states(stage: JobStage, site: Site, *, found: Any, entry: Any) -> Any:
    """The first of the states; `found` follows when there is something to take, `entry` when there is not."""
    look, take, there = _look(stage, site), _take(stage, site), _still_there(stage, site)
    gone = x.merged(stage.name, f'{{"reused": false, "place": ${variable(stage.name)}.home}}')
    for state in (take, there):
        state.add_catch(
            asl.Catch(error_equals=["States.ALL"], next_step=entry, assign=_kept(stage, gone), output={})
        )
    look.next(take)
    take.next(there)
    there.next(found)
    return look


def _look(stage: JobStage, site: Site) -> Any:
    """The newest job that did the same; or, for what was not asked for, the newest of the stage."""
    kind, own = _kind(stage), f"${variable(stage.name)}"
    reuse = f'{own}.do = "{Hold.REUSE}"'
    # The trials of a sweep differ in their contents only.
    exact = "true" if isinstance(stage, SweepStage) else reuse
    part = f"$substring({own}.print, 0, {exact} ? {STAGE_ID + CONTENT} : {STAGE_ID})"
    first = f"$states.result.{kind}JobSummaries[0].{kind}JobName"
    # `do` is what follows when there is none, or what it left is gone.
    found = {
        "reused": f"$exists({first})",
        "job": x.or_else(first, '""'),
        "do": f'{reuse} ? "run" : "{Hold.NOT_FOUND}"',
    }
    state = sdk_task(
        f"{stage.name}: was it done before",
        site,
        f"sagemaker:list{kind}Jobs",
        {
            "NameContains": jsonata(f'"-" & {part}'),
            "StatusEquals": "Completed",
            "SortBy": "CreationTime",
            "SortOrder": "Descending",
            "MaxResults": 1,
        },
        assign=_kept(stage, x.merged(stage.name, x.fields(found))),
    )
    state.add_retry(sagemaker_busy())
    return state


def _take(stage: JobStage, site: Site) -> Any:
    own = f"${variable(stage.name)}"
    moved = x.merged(stage.name, f'{{"place": {_place(stage, site)}}}')
    state = sdk_task(
        f"{stage.name}: what did it leave",
        site,
        f"sagemaker:describe{_kind(stage)}Job",
        {f"{_kind(stage)}JobName": jsonata(f'{own}.reused = true ? {own}.job : $error("no earlier job")')},
        assign=_kept(stage, moved),
    )
    state.add_retry(sagemaker_busy())
    return state


def _still_there(stage: JobStage, site: Site) -> Any:
    """Outputs may have been deleted since; what is gone is made anew."""
    uri = next(iter(outputs(stage, site).values()), f'"s3://{site.bucket}/"')
    state = sdk_task(
        f"{stage.name}: is it still there",
        site,
        "s3:listObjectsV2",
        {
            "Bucket": site.bucket,
            "Prefix": jsonata(f"$substring({uri}, {len(f's3://{site.bucket}/')})"),
            "MaxKeys": 1,
        },
        output=jsonata('$states.result.KeyCount > 0 ? {} : $error("its output is gone")'),
    )
    state.add_retry(s3_busy())
    return state


def _place(stage: JobStage, site: Site) -> str:
    """The key prefix under which the job that was found keeps checkpoints and outputs."""
    bucket = f"s3://{site.bucket}/"
    uri, end = "$states.result.OutputDataConfig.S3OutputPath", "/output"
    if isinstance(stage, ProcessStage):
        if not stage.outputs:
            return f"${variable(stage.name)}.place"
        uri = "$states.result.ProcessingOutputConfig.Outputs[0].S3Output.S3Uri"
        end = f"/output/{stage.outputs[0]}"
    return f"$substring({uri}, {len(bucket)}, $length({uri}) - {len(bucket) + len(end)})"


def _kind(stage: JobStage) -> str:
    return "Training" if isinstance(stage, TrainStage) else "Processing"


def _kept(stage: JobStage, expression: str) -> dict[str, str]:
    return {variable(stage.name): jsonata(expression)}
