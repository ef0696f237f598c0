"""Deploys an installation: the shared stack, then what machines name, then each pipeline's stack.

relay (bucket) -> code and inputs -> relay-NAME (machines), each: change set, question, events, outputs
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from stacks.deployment.changes import Change, added, of_data
from stacks.deployment.dialogue import Dialogue, counted
from stacks.deployment.errors import DeploymentError
from stacks.deployment.place import Site
from stacks.deployment.stack import Pause, Proposal, Stack
from stacks.deployment.status import EMPTY, FRESH, GONE, NONE, WELL, check_deployable, told
from stacks.names import SHARED

OF_PIPELINE = "Relay: the pipeline "  # how the description of a pipeline's stack begins
API_OUTPUT = "StartedByApiEndpoint"  # CDK's own output of an API begins so

Template = Mapping[str, Any]


@dataclass(frozen=True)
class Options:
    """`dry_run`: show and change nothing, in an account without any of it, too. `let_data_go`: also what
    leaves a bucket or a table behind."""

    dry_run: bool = False
    let_data_go: bool = False


@dataclass
class Deployed:
    """What became of a stack: unchanged, shown, declined, created or updated."""

    stack: str
    outcome: str
    changes: Sequence[Change] = ()
    outputs: Mapping[str, str] = field(default_factory=dict)


def deploy(
    site: Site,
    templates: Mapping[str, Template],
    upload: Callable[[], None],
    dialogue: Dialogue,
    options: Options,
    pause: Pause,
) -> list[Deployed]:
    """Deploys the stacks in order, until one is declined. Raises DeploymentError when one fails."""
    done: list[Deployed] = []
    ordered = sorted(templates, key=lambda name: (name != SHARED, name))
    for name in ordered:
        if name != SHARED and not options.dry_run and len(done) == 1:
            upload()
        done.append(_one(site, name, templates[name], dialogue, options, pause))
        if done[-1].outcome == "declined":
            break
    return done


def _one(
    site: Site, name: str, template: Template, dialogue: Dialogue, options: Options, pause: Pause
) -> Deployed:
    stack = Stack(site.client("cloudformation"), name, pause)
    status = stack.status
    check_deployable(name, status, site.region)
    if options.dry_run and status in {*FRESH, EMPTY}:
        # Even a change set would make a stack, and a large template needs the bucket that is not there yet.
        changes = added(template)
        dialogue.show(name, NONE, changes)
        return Deployed(name, "shown", changes)
    if status == EMPTY:
        dialogue.say(f"{name}: its first deployment failed; the empty stack that it left is removed first")
        _remove_empty(stack, dialogue, site.region)
        stack, status = Stack(site.client("cloudformation"), name, pause), NONE
    dialogue.say(f"{name}: asking CloudFormation what would change ...")
    proposal = stack.propose(template, site.settings.tags, site.put_template)
    if proposal is None:
        dialogue.say(f"{name}: nothing to change")
        return Deployed(name, "unchanged", (), stack.outputs())
    dialogue.show(name, status, proposal.changes)
    if not _agreed(site, stack, proposal, dialogue, options):
        stack.drop()
        return Deployed(name, "shown" if options.dry_run else "declined", proposal.changes)
    stack.execute(proposal)
    failed = dialogue.follow(stack.follow())
    _check_end(stack, [f"{each.logical_id}: {each.reason}" for each in failed], dialogue, site.region)
    if name == SHARED:
        stack.protect()
    outcome = "created" if status in FRESH else "updated"
    return Deployed(name, outcome, proposal.changes, stack.outputs())


def _agreed(site: Site, stack: Stack, proposal: Proposal, dialogue: Dialogue, options: Options) -> bool:
    """Whether the change set is to be carried out; it is dropped where nobody can say so."""
    try:
        if not options.let_data_go:
            _refuse_loss(stack.name, proposal.changes)
        where = f"{site.account}/{site.region}"
        return not options.dry_run and dialogue.agree(f"Deploy {stack.name} to {where}?")
    except BaseException:
        stack.drop()
        raise


def _refuse_loss(name: str, changes: Sequence[Change]) -> None:
    found = of_data(changes)
    if found:
        lines = [f"  {each.kind} {each.physical_id or each.logical_id} {each.remark}" for each in found]
        raise DeploymentError(
            f"{name} is not deployed, because it would part from data:\n"
            + "\n".join(lines)
            + "\nTake back the setting that does so (bucket, table, kms_key, region), or say --let-data-go"
        )


def _check_end(stack: Stack, reasons: Sequence[str], dialogue: Dialogue, region: str) -> None:
    status = stack.status
    if status in WELL:
        return
    lines = "".join(f"\n  {reason}" for reason in reasons) or "\n  no reason was given: see its events"
    if status == EMPTY:
        _remove_empty(stack, dialogue, region)
    if status in {EMPTY, NONE}:
        raise DeploymentError(
            f"{stack.name} could not be deployed:{lines}\nNothing of it is left: mend that and deploy again."
        )
    after = told(stack.name, status, region)
    raise DeploymentError(
        f"{stack.name} could not be deployed and is {status}:{lines}"
        + (f"\nNow: {after}" if after else "\nWhat was there before is there again.")
    )


def _remove_empty(stack: Stack, dialogue: Dialogue, region: str) -> None:
    """Removes a stack without resources. Raises DeploymentError where it stays, with what to do."""
    stack.delete()
    dialogue.follow(stack.follow())
    status = stack.status
    if status not in {NONE, GONE}:
        raise DeploymentError(f"the stack {stack.name} is {status}: {told(stack.name, status, region)}")


def left_over(site: Site, names: Sequence[str]) -> Iterator[str]:
    """Pipelines that are deployed, and no longer (or not yet) among the stacks of these names."""
    for stack in pipeline_stacks(site):
        if stack["StackName"] not in names:
            yield str(stack["Description"]).removeprefix(OF_PIPELINE)


def pipeline_stacks(site: Site) -> Iterator[Mapping[str, Any]]:
    """Each stack of a pipeline in the region, as CloudFormation describes it."""
    for page in site.client("cloudformation").get_paginator("describe_stacks").paginate():
        for stack in page["Stacks"]:
            own = str(stack.get("Description", "")).startswith(OF_PIPELINE)
            if own and stack["StackName"].startswith(f"{SHARED}-"):
                yield stack


def how_to_start(deployed: Sequence[Deployed]) -> Iterator[str]:
    """What a person does next."""
    for each in deployed:
        start = each.outputs.get("Start")
        if start:
            command = f"aws stepfunctions start-execution --state-machine-arn {start} --input '{{}}'"
            yield f"{each.stack} starts with: {command}"
        for key, url in each.outputs.items():
            if key.startswith(API_OUTPUT):
                yield f"{each.stack} answers signed requests at: {url}runs"


def summary(deployed: Sequence[Deployed]) -> str:
    """One line for each stack."""
    lines = [f"{each.stack}: {each.outcome}, {counted(len(each.changes), 'change')}" for each in deployed]
    return "\n".join(lines)
