"""What the orchestrator hands over in the job's environment, and its defaults."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from .errors import CheckpointError
from .fingerprint import ALLOW
from .interval import Prior
from .signals import DEFAULT_GRACE

KEEP, SHORTEST, LONGEST = 3, 60.0, 1800.0  # the pipeline's own defaults: 3, 1m, 30m


@dataclass(frozen=True)
class Settings:
    """Seconds everywhere; `folder` and `base` are the checkpoint folder and /opt/ml."""

    base: Path
    folder: Path
    keep: int
    shortest: float
    longest: float
    grace: float
    allow_changes: str
    prior: Prior


def from_environment(
    environment: Mapping[str, str] = os.environ,
    *,
    folder: str | os.PathLike[str] | None = None,
    keep: int | None = None,
    shortest: float | None = None,
    longest: float | None = None,
    grace: float | None = None,
    allow_changes: str | None = None,
) -> Settings:
    """The settings; an argument goes before the environment, which goes before the default."""
    base = Path(environment.get("SAGEMAKER_BASE_DIR") or "/opt/ml")
    seconds = {
        "RELAY_CHECKPOINT_SHORTEST": (shortest, SHORTEST),
        "RELAY_CHECKPOINT_LONGEST": (longest, LONGEST),
        "RELAY_STOP_GRACE": (grace, DEFAULT_GRACE),
    }
    values = {
        name: _number(environment, name, default) if given is None else float(given)
        for name, (given, default) in seconds.items()
    }
    if keep is None:
        keep = int(_number(environment, "RELAY_CHECKPOINT_KEEP", KEEP))
    if keep < 1:
        raise CheckpointError(f"keep is {keep}; at least 1 checkpoint is kept (and then 2 are)")
    if values["RELAY_CHECKPOINT_SHORTEST"] > values["RELAY_CHECKPOINT_LONGEST"]:
        raise CheckpointError(
            f"the shortest interval ({values['RELAY_CHECKPOINT_SHORTEST']:g} s) is above the"
            f" longest ({values['RELAY_CHECKPOINT_LONGEST']:g} s)"
        )
    try:
        text = environment.get("RELAY_INTERRUPTION_PRIOR")
        prior = Prior.parse(text) if text else Prior()
    except ValueError as error:
        raise CheckpointError(str(error)) from None
    return Settings(
        base=base,
        folder=Path(folder) if folder is not None else _folder(environment, base),
        keep=keep,
        shortest=values["RELAY_CHECKPOINT_SHORTEST"],
        longest=values["RELAY_CHECKPOINT_LONGEST"],
        grace=values["RELAY_STOP_GRACE"],
        allow_changes=environment.get(ALLOW, "") if allow_changes is None else allow_changes,
        prior=prior,
    )


def _folder(environment: Mapping[str, str], base: Path) -> Path:
    """The folder that the platform keeps equal to S3; under `base` where that is not /opt/ml."""
    named = environment.get("RELAY_CHECKPOINT_FOLDER")
    if not named:
        return base / "checkpoints"
    inside = named.startswith("/opt/ml/")
    return base / named.removeprefix("/opt/ml/") if inside else Path(named)


def _number(environment: Mapping[str, str], name: str, default: float) -> float:
    text = environment.get(name)
    if not text:
        return default
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value < float("inf"):
        raise CheckpointError(f"{name} is {text!r}; it is a number of seconds or pieces, 0 or more")
    return value
