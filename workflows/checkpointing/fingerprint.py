"""The configuration that a checkpoint belongs to: resuming under another one is refused."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .errors import CheckpointError, ConfigurationChangedError

ALLOW = "RELAY_CHECKPOINT_ALLOW_CHANGES"
_MISSING = object()


def from_hyperparameters(base: Path) -> dict[str, Any] | None:
    """What the platform says the hyperparameters are; None where it says nothing.

    Names that start with `sagemaker_` are left out: they name the attempt, not the work.
    """
    path = base / "input" / "config" / "hyperparameters.json"
    try:
        content = json.loads(path.read_text())
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{path} cannot be read: {error}") from error
    return {key: value for key, value in content.items() if not key.startswith("sagemaker_")}


def normal(configuration: Mapping[str, Any]) -> dict[str, Any]:
    """The configuration as JSON gives it back; anything else in it stands as its repr."""
    result: dict[str, Any] = json.loads(json.dumps(dict(configuration), default=repr))
    return result


def check(
    saved: Mapping[str, Any] | None, now: Mapping[str, Any] | None, *, allow: str, checkpoint: str
) -> list[str]:
    """Raises ConfigurationChangedError unless allowed; returns the changes that were allowed.

    `allow` is "" (nothing), "1" or "all", or the names that may change, separated by commas.
    """
    if saved is None or now is None:
        return []
    allowed = {name.strip() for name in allow.split(",")}
    changes = {
        name: f"{name}: {_show(saved, name)} -> {_show(now, name)}"
        for name in sorted({*saved, *now})
        if saved.get(name, _MISSING) != now.get(name, _MISSING)
    }
    refused = [text for name, text in changes.items() if not allowed & {"1", "all", name}]
    if refused:
        raise ConfigurationChangedError(
            f"{checkpoint} was made with another configuration: {'; '.join(refused)}. Start the"
            f" new configuration with an empty checkpoint folder, or set {ALLOW} to the names"
            " that may change (or to 1 for all)."
        )
    return list(changes.values())


def _show(configuration: Mapping[str, Any], name: str) -> str:
    return repr(configuration[name]) if name in configuration else "absent"
