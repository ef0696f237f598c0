"""One fast local world for each test that asks for it."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.local.commands import PIPELINE, TRAIN
from workflows.local.server import LocalWorld


@pytest.fixture(autouse=True, scope="session")
def ctrl_c() -> None:
    """A shell starts what runs in its background with SIGINT ignored, and so would be what a test starts."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture
def open_world(tmp_path: Path) -> Iterator[Callable[..., LocalWorld]]:
    """Opens worlds with a bucket; at speed 600 a launch takes a tenth of a second."""
    worlds: list[LocalWorld] = []

    def make(**options: Any) -> LocalWorld:
        world = LocalWorld(tmp_path / "relay", **{"speed": 600.0, **options})
        worlds.append(world)
        world.client("s3").create_bucket(Bucket="bucket")
        return world

    yield make
    for world in worlds:
        world.close()


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """A pipeline of one stage, which waits in the middle of its work while a file `hold` is there."""
    folder = tmp_path / "small"
    folder.mkdir()
    (folder / "train.py").write_text(TRAIN.replace("HOLD", str(tmp_path / "hold")))
    (folder / "pipeline.yaml").write_text(PIPELINE)
    return folder
