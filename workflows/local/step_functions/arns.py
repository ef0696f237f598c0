"""Checks names and ARNs, and refuses them with AWS's errors."""

from __future__ import annotations

import re
from functools import lru_cache

from workflows.local.service_errors import ServiceError

ARN = re.compile(r"arn:aws[a-z-]*:states:[a-z0-9-]+:\d{12}:(?P<kind>[A-Za-z]+):(?P<rest>.+)")
# DescribeExecution's list of what a name must not hold: blanks, brackets, wildcards, specials.
NAME = re.compile(r"[^\s<>{}\[\]?*\"#%\\^|~`$&,;:/\x00-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]{1,80}")


@lru_cache(maxsize=256)  # a world has few machines, and each is named with every execution
def parse_arn(text: str, kind: str) -> str:
    """Return the part of an ARN after its kind; raises InvalidArn."""
    found = ARN.fullmatch(text)
    if found is None:
        raise ServiceError("InvalidArn", f"Invalid Arn: 'Invalid ARN prefix: {text}'")
    if found["kind"] != kind:
        message = f"Invalid Arn: 'Resource type not valid in this context: {found['kind']}'"
        raise ServiceError("InvalidArn", message)
    return found["rest"]


def check_name(name: str) -> None:
    """Raise InvalidName for a name with characters that AWS refuses."""
    if NAME.fullmatch(name) is None:
        raise ServiceError("InvalidName", f"Invalid Name: '{name}'")


def check_role(arn: str) -> None:
    """Raise InvalidArn for what is not the ARN of a role."""
    if re.fullmatch(r"arn:aws[a-z-]*:iam::\d{12}:role/.+", arn) is None:
        raise ServiceError("InvalidArn", f"Invalid Role Arn: '{arn}'")
