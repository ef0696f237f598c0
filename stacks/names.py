"""Names that are known without CDK: of the stacks, and of the topic."""

from __future__ import annotations

SHARED = "relay"
TOPIC = "relay-notifications"


def stack_name(pipeline: str) -> str:
    """The name of a pipeline's stack."""
    return f"{SHARED}-{pipeline}"
