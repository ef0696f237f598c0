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
from workflows.jobs.jsonata_text import fields, jsonata, or_else
from workflows.jobs.kinds import job_of
from workflows.jobs.site import Site
from workflows.ledger.vocabulary import title, variable
from workflows.policy.outcomes import Hold
from workflows.specification.stages import JobStage
from workflows.state_machine import expressions as x
from workflows.state_machine import language as asl
from workflows.state_machine.retries import busy
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
    job = job_of(stage)
    type_, own = job.type, job.own
    reuse = f'{own}.do = "{Hold.REUSE}"'
    # The trials of a sweep differ in their contents only.
    exact = "true" if job.differs_by_content else reuse
    part = f"$substring({own}.print, 0, {exact} ? {STAGE_ID + CONTENT} : {STAGE_ID})"
    first = f"$states.result.{type_.summaries}[0].{type_.name}"
    # `do` is what follows when there is none, or what it left is gone.
    found = {
        "reused": f"$exists({first})",
        "job": or_else(first, '""'),
        "do": f'{reuse} ? "run" : "{Hold.NOT_FOUND}"',
    }
    state = sdk_task(
        title(stage.name, "was it done before"),
        site,
        f"sagemaker:list{type_.word}Jobs",
        {
            "NameContains": jsonata(f'"-" & {part}'),
            "StatusEquals": "Completed",
            "SortBy": "CreationTime",
            "SortOrder": "Descending",
            "MaxResults": 1,
        },
        assign=_kept(stage, x.merged(stage.name, fields(found))),
    )
    state.add_retry(busy(f"sagemaker:list{type_.word}Jobs"))
    return state


def _take(stage: JobStage, site: Site) -> Any:
    job = job_of(stage)
    own = job.own
    moved = x.merged(stage.name, f'{{"place": {job.found_place(site)}}}')
    state = sdk_task(
        title(stage.name, "what did it leave"),
        site,
        f"sagemaker:describe{job.type.word}Job",
        {job.type.name: jsonata(f'{own}.reused = true ? {own}.job : $error("no earlier job")')},
        assign=_kept(stage, moved),
    )
    state.add_retry(busy(f"sagemaker:describe{job.type.word}Job"))
    return state


def _still_there(stage: JobStage, site: Site) -> Any:
    """Outputs may have been deleted since; what is gone is made anew."""
    uri = next(iter(job_of(stage).outputs(site).values()), f'"s3://{site.bucket}/"')
    state = sdk_task(
        title(stage.name, "is it still there"),
        site,
        "s3:listObjectsV2",
        {
            "Bucket": site.bucket,
            "Prefix": jsonata(f"$substring({uri}, {len(f's3://{site.bucket}/')})"),
            "MaxKeys": 1,
        },
        output=jsonata('$states.result.KeyCount > 0 ? {} : $error("its output is gone")'),
    )
    state.add_retry(busy("s3:listObjectsV2", first=1))
    return state


def _kept(stage: JobStage, expression: str) -> dict[str, str]:
    return {variable(stage.name): jsonata(expression)}
