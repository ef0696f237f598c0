"""What can go wrong while something is deployed or removed."""

from __future__ import annotations

from workflows.errors import RelayError


class DeploymentError(RelayError):
    """CloudFormation refused, failed, or was left in a state that needs a person."""

    exit_code = 1
