"""What people are told: one topic for an installation, and a line for each run that ends badly.

Step Functions -> EventBridge rule -> one readable line --+
CloudWatch alarm -----------------------------------------+-> topic -> e-mail
"""

from __future__ import annotations

from typing import Any

from aws_cdk import aws_events as events
from constructs import Construct

LONGEST_DELIVERY_SECONDS = 4 * 3600
CONSOLES = {
    "aws": "console.aws.amazon.com",
    "aws-cn": "console.amazonaws.cn",
    "aws-us-gov": "console.amazonaws-us-gov.com",
}

# Status -> what happened, and what to do. A redrive is possible for 14 days.
LINES = {
    "FAILED": "failed. Why: relay explain {run}. "
    "Mend it and go on from its checkpoints within 14 days: relay resume {run}.",
    "TIMED_OUT": "ran out of time. Why: relay explain {run}. "
    "Go on from its checkpoints within 14 days: relay resume {run}.",
    "ABORTED": "was stopped. Where it was: relay explain {run}. "
    "Go on from its checkpoints within 14 days: relay resume {run}.",
    "SUCCEEDED": "is done. What it cost: relay receipt {run}.",
}


class RunMessages(Construct):
    """A rule for each way in which a run may end that people want to hear of."""

    def __init__(
        self,
        scope: Construct,
        id_: str,
        *,
        pipeline: str,
        machine_arn: str,
        topic_arn: str,
        region: str,
        partition: str,
        success: bool,
    ) -> None:
        """Makes the rules. `success`: whether runs that went well are told, too."""
        super().__init__(scope, id_)
        for status, line in LINES.items():
            if status == "SUCCEEDED" and not success:
                continue
            words = status.lower().replace("_", "-")
            events.CfnRule(
                self,
                words.title().replace("-", ""),
                name=f"{pipeline}-run-{words}",
                description=f"Tells of runs of the pipeline {pipeline} that end {status}",
                event_pattern=_pattern(machine_arn, status),
                state="ENABLED",
                targets=[
                    events.CfnRule.TargetProperty(
                        id="people",
                        arn=topic_arn,
                        input_transformer=_transformer(pipeline, line, region, partition),
                        retry_policy=events.CfnRule.RetryPolicyProperty(
                            maximum_event_age_in_seconds=LONGEST_DELIVERY_SECONDS
                        ),
                    )
                ],
            )


def _pattern(machine_arn: str, status: str) -> dict[str, Any]:
    """The trials of a large sweep are executions of another ARN: what they end with is the run's matter."""
    return {
        "source": ["aws.states"],
        "detail-type": ["Step Functions Execution Status Change"],
        "detail": {"stateMachineArn": [machine_arn], "status": [status]},
    }


def _transformer(pipeline: str, line: str, region: str, partition: str) -> Any:
    """Of the event only what cannot break the line: names of executions hold neither quotes nor newlines; the
    cause may hold anything, and is left to `relay explain`."""
    console = f"https://{region}.{CONSOLES[partition]}/states/home?region={region}#/v2/executions/details"
    text = f"Relay: the run <run> of {pipeline} {line.format(run='<run>')} {console}/<arn>"
    return events.CfnRule.InputTransformerProperty(
        input_paths_map={"run": "$.detail.name", "arn": "$.detail.executionArn"},
        input_template=f'"{text}"',
    )
