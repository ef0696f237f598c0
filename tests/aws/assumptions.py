"""What Relay assumes of AWS without being certain, each with the module that holds it."""

from __future__ import annotations

from dataclasses import dataclass

import pytest


@dataclass(frozen=True)
class Assumption:
    """`otherwise`: what follows where it is wrong."""

    text: str
    held_in: str
    otherwise: str


HARMLESS = "The machine works under either reading; only the local world shows the other one first."

KNOWN = {
    "stopped-job": Assumption(
        "a job that is stopped makes its `.sync` task fail with States.TaskFailed",
        "workflows/local/sagemaker, and both ways out in workflows/state_machine/stage.py",
        HARMLESS,
    ),
    "billable-seconds": Assumption(
        "a finished spot job has BillableTimeInSeconds, and with the discount: less than it has trained",
        "workflows/state_machine/verdict.py (billed seconds), workflows/ledger/receipt.py",
        "Costs of attempts are estimated from the wrong seconds: reckon with spot_share in both places.",
    ),
    "pending-with-spot": Assumption(
        "CreateTrainingJob refuses MaxPendingTimeInSeconds together with spot, so Relay never sends it",
        "workflows/jobs/training.py (stopping condition)",
        "MaxPendingTimeInSeconds could bound the wait for capacity beside the capacity watch.",
    ),
    "list-bucket": Assumption(
        "the job role lists with a condition on s3:prefix; channels and checkpoints arrive all the same",
        "stacks/job_grants.py (ListOwnBucket)",
        "SageMaker lists with another prefix: widen the condition to the one that CloudTrail shows.",
    ),
    "list-tags": Assumption(
        "AddTags and ListTags on the pipeline's job names are all that `.sync` needs beside the job calls",
        "stacks/grants.py (TrainingJobs, ProcessingJobs)",
        "Add what the message names, on the narrowest resource that works.",
    ),
    "model-package": Assumption(
        "CreateModelPackage is authorized on the group and on model-package/GROUP/*",
        "stacks/grants.py (RegisterModels)",
        "Add the resource that the message names.",
    ),
    "child-events": Assumption(
        "status events of a Distributed Map's children carry another stateMachineArn than the machine's own",
        "stacks/notifications.py (the pattern of RunMessages)",
        "Each failed trial is told as a failed run: match detail.executionArn by its prefix, too.",
    ),
    "alias-target": Assumption(
        "EventBridge starts a state machine by its alias, and IAM lets it by states:StateMachineQualifier",
        "stacks/watch_rule.py, stacks/grants.py (OF_LIVE)",
        "The capacity watch never starts: name the machine itself as the target, without the condition.",
    ),
    "alias-metrics": Assumption(
        "a run that was started by the alias counts in the metrics of its machine's ARN alone",
        "stacks/alarms.py, stacks/dashboard.py (StateMachineArn)",
        "Alarms of runs stay silent and their graphs empty: add the dimension Alias to both.",
    ),
    "event-tags": Assumption(
        "the event of a job that waits carries the job's tags, as an object of their names",
        "workflows/state_machine/watch.py (the first wait), workflows/local/sagemaker/state_change.py",
        "Each watch looks at its job at once, and again when the patience is over: two transitions more.",
    ),
    "event-starting": Assumption(
        "a job that has not trained yet says Starting or Pending in an event while it waits",
        "workflows/jobs/watch_pattern.py (WAITING), workflows/local/sagemaker/state_change.py",
        "A job's first wait wakes no watch and lasts until MaxWait: match what its events say.",
    ),
    "api-source-account": Assumption(
        "API Gateway assumes a role whose trust has aws:SourceAccount, IfExists",
        "stacks/access.py (_told)",
        "The API answers 500 to everything: leave the condition out for API Gateway.",
    ),
    "selection-pattern": Assumption(
        "integration responses are chosen by status: 200 by a pattern of its own, 4xx as a refusal",
        "stacks/api.py (_integration)",
        "Make the response of success the default one.",
    ),
    "empty-body": Assumption(
        "a POST with an empty body passes the validator and starts a run",
        "stacks/api.py (Checked), stacks/mappings/start.vtl",
        "Callers have to send {}: say so in the API's description, or drop `required` from the model.",
    ),
    "kms-grants": Assumption(
        "a job role with kms:CreateGrant and kms:DescribeKey may encrypt its instances' volumes",
        "stacks/job_grants.py (EncryptVolumes)",
        "Add the action that FailureReason names.",
    ),
    "agent-deletes": Assumption(
        "a checkpoint that the library prunes is deleted in S3 too, with the job role's DeleteObject",
        "stacks/job_grants.py (PruneCheckpoints), workflows/local/sagemaker/sync.py",
        "Pruned checkpoints stay in S3 and are restored at each start: prune on resume, and drop the grant.",
    ),
    "redrive-old-version": Assumption(
        "a run that failed can be redriven after its machine was updated, and keeps its old definition",
        "stacks/machines.py (versions are retained), workflows/runs/executions.py (resume)",
        "Say at `relay resume` that a deployment since then changes what is run.",
    ),
    "evaluation-by-name": Assumption(
        "an expression that fails in a task's Arguments is caught as States.QueryEvaluationError",
        "workflows/state_machine/holds.py, workflows/state_machine/expressions.py",
        "A held attempt ends the run: the question has to move into a state of its own before the task.",
    ),
    "task-failed-matches-evaluation": Assumption(
        "States.TaskFailed stands for a failed expression, too",
        "workflows/local/step_functions/retry.py",
        HARMLESS,
    ),
    "evaluation-not-retried": Assumption(
        "a Retry for States.QueryEvaluationError with no attempts keeps one for States.TaskFailed from "
        "retrying a failed expression",
        "workflows/state_machine/retries.py",
        "Holds are retried as if AWS were busy: some seconds and transitions are lost at each.",
    ),
    "definitions": Assumption(
        "CreateStateMachine takes both machines as they are, also ContainerEntrypoint in `.sync`",
        "workflows/jobs/training.py, stacks/doctor/machines.py (validate)",
        "Nothing can be deployed: the diagnostics say which field the integration does not know.",
    ),
    "states": Assumption(
        "each state does on AWS what it does in a local run: the same status, next state, output, variables",
        "workflows/local/step_functions/state_tests.py, stacks/doctor/machines.py (judge)",
        "The local interpreter is wrong about AWS where it is said: mend it there, and what was built on it.",
    ),
    "multi-instance": Assumption(
        "an interruption of one instance restarts the whole job: all train again from the checkpoint",
        "workflows/local/sagemaker/job_life.py, workflows/checkpointing/ranks.py",
        "The surviving instances keep files newer than the restored checkpoint: clear the folder at start.",
    ),
}


def settle(name: str, holds: bool, seen: object) -> None:
    """Fails with everything that is needed to put it right where the assumption does not hold."""
    if not holds:
        known = KNOWN[name]
        pytest.fail(
            f"WRONG ASSUMPTION `{name}`: {known.text}.\n  Seen: {seen}\n  Held in: {known.held_in}\n"
            f"  So: {known.otherwise}",
            pytrace=False,
        )
