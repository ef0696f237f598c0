"""Pages of what the List operations and GetExecutionHistory return."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, TypeVar

from workflows.local.service_errors import ServiceError

T = TypeVar("T")


def page(items: Sequence[T], request: dict[str, Any], most: int) -> tuple[list[T], dict[str, str]]:
    """Cut one page out of a list; returns it with the `nextToken` to add to the answer."""
    token = request.get("nextToken")
    start = 0
    if token is not None:
        found = re.fullmatch(r"after-(\d+)", token)
        if found is None:
            raise ServiceError("InvalidToken", f"Invalid Token: '{token}'")
        start = int(found[1])
    size = request.get("maxResults") or most
    end = start + size
    return list(items[start:end]), {"nextToken": f"after-{end}"} if end < len(items) else {}
