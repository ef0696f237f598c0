"""Removes pipelines, and on demand the shared stack; never what was computed.

runs in progress? -> stop them, and their jobs -> what goes, what stays -> the name, typed -> events
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from stacks.deployment.deploy import OF_PIPELINE, pipeline_stacks
from stacks.deployment.dialogue import Dialogue, counted
from stacks.deployment.errors import DeploymentError
from stacks.deployment.place import Site
from stacks.deployment.stack import Pause, Stack
from stacks.deployment.status import GONE, NONE, busy, told
from stacks.names import SHARED, stack_name
from workflows.errors import unknown
from workflows.jobs.job_names import job_prefix
from workflows.jobs.job_types import JOB_TYPES

WHY = "The pipeline is removed: relay destroy"


@dataclass(frozen=True)
class Removed:
    """A stack, and whether it was removed or declined."""

    stack: str
    outcome: str


def chosen(site: Site, pipeline: str | None, *, everything: bool) -> list[str]:
    """The pipelines to remove. Raises DeploymentError for one that is not deployed."""
    deployed = sorted(str(s["Description"]).removeprefix(OF_PIPELINE) for s in pipeline_stacks(site))
    if pipeline is None:
        return deployed
    if everything and deployed != [pipeline]:
        raise DeploymentError(
            "--all removes the stack `relay`, which every pipeline writes to: leave out PIPELINE, and all "
            f"are removed ({', '.join(deployed) or 'none is deployed'})"
        )
    if pipeline not in deployed:
        raise DeploymentError(f"{unknown('deployed pipeline', pipeline, deployed)} ({site.region})")
    return [pipeline]


def destroy(
    site: Site, pipelines: Sequence[str], dialogue: Dialogue, pause: Pause, *, stop: bool, everything: bool
) -> list[Removed]:
    """Removes pipelines one after the other, until one is declined. `stop`: runs in progress, too."""
    shared = Stack(site.client("cloudformation"), SHARED, pause)
    if everything:
        _check_unprotected(shared, site.region)
    for name in pipelines:
        if not stop:
            _refuse_running(site, name)
    done: list[Removed] = []
    for name in pipelines:
        done.append(_remove_pipeline(site, name, dialogue, pause))
        if done[-1].outcome == "declined":
            return done
    if everything and shared.status != NONE:
        _show(dialogue, shared)
        for line in _what_stays(site):
            dialogue.say(line)
        done.append(_remove(shared, SHARED, dialogue, site.region))
    return done


def _remove_pipeline(site: Site, name: str, dialogue: Dialogue, pause: Pause) -> Removed:
    stack = Stack(site.client("cloudformation"), stack_name(name), pause)
    if busy(stack.status):
        raise DeploymentError(f"the stack {stack.name} is {stack.status}: wait for its end and try again")
    _show(dialogue, stack)
    dialogue.say(
        f"With its machine the histories of the runs of {name} go. What they made stays in s3://{site.bucket}/"
        f"{name}/, their attempts in the table {site.settings.table_name}."
    )
    running = _running(site, name)
    if running:
        dialogue.say(f"{counted(len(running), 'run')} will be stopped: {', '.join(running)}", "red")
    if not dialogue.typed(name, f"Remove the pipeline {name} from {site.account}/{site.region}"):
        return Removed(stack.name, "declined")
    _stop_runs(site, name)
    removed = _carry_out(stack, dialogue, site.region)
    dialogue.say(f"To delete what its runs made, too: aws s3 rm s3://{site.bucket}/{name}/ --recursive")
    return removed


def _remove(stack: Stack, word: str, dialogue: Dialogue, region: str) -> Removed:
    if not dialogue.typed(word, f"Remove the stack {stack.name}"):
        return Removed(stack.name, "declined")
    return _carry_out(stack, dialogue, region)


def _carry_out(stack: Stack, dialogue: Dialogue, region: str) -> Removed:
    stack.delete()
    failed = dialogue.follow(stack.follow())
    status = stack.status
    if status not in {NONE, GONE}:
        lines = "".join(f"\n  {each.logical_id}: {each.reason}" for each in failed)
        raise DeploymentError(
            f"{stack.name} is {status}:{lines}\n{told(stack.name, status, region)}".rstrip()
        )
    return Removed(stack.name, "removed")


def _show(dialogue: Dialogue, stack: Stack) -> None:
    found = stack.resources()
    kinds: dict[str, int] = {}
    for kind, _ in found:
        kinds[kind.removeprefix("AWS::")] = kinds.get(kind.removeprefix("AWS::"), 0) + 1
    dialogue.say(f"{stack.name}: {counted(len(found), 'resource')}")
    for kind, number in sorted(kinds.items()):
        dialogue.say(f"  {number:3}  {kind}")


def _what_stays(site: Site) -> Iterator[str]:
    """The bucket and the table, with how to be rid of them, too."""
    table = site.settings.table_name
    yield f"The bucket {site.bucket} and the table {table} stay, and cost what lies in them."
    yield (
        "To delete them, too: empty the bucket, its old versions with it (the console: Empty), then "
        f"aws s3api delete-bucket --bucket {site.bucket}"
    )
    yield (
        f"aws dynamodb update-table --table-name {table} --no-deletion-protection-enabled; then "
        f"aws dynamodb delete-table --table-name {table}"
    )


def _check_unprotected(stack: Stack, region: str) -> None:
    if stack.described().get("EnableTerminationProtection"):
        raise DeploymentError(
            f"the stack {stack.name} is protected, and nothing was removed: first aws cloudformation "
            f"update-termination-protection --no-enable-termination-protection --stack-name {stack.name} "
            f"--region {region}"
        )


# ------------------------------------------------------------------------------------------------ runs
def _refuse_running(site: Site, pipeline: str) -> None:
    running = _running(site, pipeline)
    if running:
        raise DeploymentError(
            f"{pipeline} is at work, and nothing was removed: {', '.join(running)}. Wait for the end, or say "
            "--stop: their jobs are stopped, and their checkpoints stay"
        )


def _running(site: Site, pipeline: str) -> list[str]:
    pages = site.client("stepfunctions").get_paginator("list_executions")
    machine = _arn(site, "stateMachine", pipeline)
    try:
        return [
            str(each["name"])
            for page in pages.paginate(stateMachineArn=machine, statusFilter="RUNNING")
            for each in page["executions"]
        ]
    except site.client("stepfunctions").exceptions.StateMachineDoesNotExist:
        return []


def _stop_runs(site: Site, pipeline: str) -> None:
    """The runs, then their jobs: Step Functions stops those with the machine's role, which is about to go,
    and a job that nobody stops is paid for until its time limit."""
    states = site.client("stepfunctions")
    for name in _running(site, pipeline):
        states.stop_execution(executionArn=f"{_arn(site, 'execution', pipeline)}:{name}", cause=WHY)
    sagemaker, prefix = site.client("sagemaker"), job_prefix(pipeline)
    for its in JOB_TYPES:
        for page in its.pages(sagemaker, NameContains=prefix, StatusEquals="InProgress"):
            for job in page[its.summaries]:
                if job[its.name].startswith(prefix):
                    its.call(sagemaker, "stop", **{its.name: job[its.name]})


def _arn(site: Site, kind: str, name: str) -> str:
    return f"arn:{site.settings.partition}:states:{site.region}:{site.account}:{kind}:{name}"
