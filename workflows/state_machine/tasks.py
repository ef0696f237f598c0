"""Tasks that call an AWS API directly: `aws-sdk` integrations, in one spelling."""

from __future__ import annotations

from typing import Any

from workflows.jobs.site import Site
from workflows.state_machine import language as asl


def sdk_task(
    title: str,
    site: Site,
    action: str,
    arguments: dict[str, Any],
    *,
    assign: dict[str, Any] | None = None,
    output: Any = None,
) -> Any:
    """A task for an API action such as `s3:getObject`; what it answers is only assigned, unless `output` says
    more."""
    more = {"assign": assign} if assign else {}
    resource = f"arn:{site.partition}:states:::aws-sdk:{action}"
    return asl.Task(
        title, resource=resource, arguments=arguments, output={} if output is None else output, **more
    )
