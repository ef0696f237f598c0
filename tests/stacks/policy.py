"""Whether a role's statements allow a call, as IAM decides it: only what Relay's policies use."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from tests.stacks.needs import Need

Statement = Mapping[str, Any]


def allowed(need: Need, statements: Sequence[Statement]) -> bool:
    """Whether one of the statements allows it; there are no denials."""
    return any(covers(need, action, resource, statement) for statement, action, resource in parts(statements))


def parts(statements: Sequence[Statement]) -> Iterator[tuple[Statement, str, str]]:
    """Every action on every resource that the statements allow."""
    for statement in statements:
        assert statement["Effect"] == "Allow"
        for action in _listed(statement["Action"]):
            for resource in _listed(statement["Resource"]):
                yield statement, action, resource


def covers(need: Need, action: str, resource: str, statement: Statement) -> bool:
    """Whether that part of a statement allows the call."""
    if action != need.action or not like(resource, need.resource):
        return False
    return all(
        _holds(operator, patterns, need.context.get(key))
        for operator, keys in statement.get("Condition", {}).items()
        for key, patterns in keys.items()
    )


def like(pattern: str, text: str) -> bool:
    """IAM's `*` and `?`."""
    return re.fullmatch(re.escape(pattern).replace(r"\*", ".*").replace(r"\?", "."), text) is not None


def _holds(operator: str, patterns: str | Sequence[str], found: str | None) -> bool:
    if found is None:
        return False
    if operator.endswith("StringEquals"):
        return found in _listed(patterns)
    assert operator == "StringLike", operator
    return any(like(pattern, found) for pattern in _listed(patterns))


def _listed(value: str | Sequence[str]) -> Sequence[str]:
    return [value] if isinstance(value, str) else value
