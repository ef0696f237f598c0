"""JSON files that outlive the world, with times in them; each is replaced as a whole."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path
from typing import Any


def write(path: Path, content: object) -> None:
    """Replaces a file at once: a reader finds the old content or the new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    partial.write_text(json.dumps(content, default=_encode, indent=1), "utf-8")
    partial.replace(path)


def read(path: Path) -> Any:
    """Reads a file that `write` wrote."""
    return json.loads(path.read_text("utf-8"), object_hook=_decode)


def _encode(value: object) -> dict[str, str]:
    if isinstance(value, datetime):
        return {"$time": value.isoformat()}
    raise TypeError(f"{type(value).__name__} cannot be kept in a record")


def _decode(value: dict[str, Any]) -> Any:
    return datetime.fromisoformat(value["$time"]) if set(value) == {"$time"} else value
