"""The checkpoint agent: what it brings, what it sends, and what an interruption leaves."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest

from tests.local.worlds import until
from workflows.local.objects import MemoryObjects
from workflows.local.sagemaker.sync import CheckpointSync
from workflows.local.sagemaker.transfer import TransferError, download, local_name

URI = "s3://bucket/run/checkpoints/"


class Desk:
    """Two instances' folders and the agents between them and S3."""

    def __init__(self, tmp_path: Path, uri: str = URI, seed: int = 0) -> None:
        self.objects = MemoryObjects(buckets=("bucket",))
        self.folders = [tmp_path / "algo-1", tmp_path / "algo-2"]
        for folder in self.folders:
            folder.mkdir(exist_ok=True)
        self.fractions: list[float] = []
        self.sync = CheckpointSync(
            self.objects, uri, self.folders, random.Random(seed), self.fractions.append
        )

    def stored(self) -> list[str]:
        return self.objects.list("bucket", "")


def test_a_prefix_without_a_slash_restores_its_longer_namesakes_as_on_aws(tmp_path: Path) -> None:
    desk = Desk(tmp_path, "s3://bucket/run-1")
    desk.objects.put("bucket", "run-1/a", b"1")
    desk.objects.put("bucket", "run-10/a", b"10")
    desk.sync.restore()
    for folder in desk.folders:
        assert (folder / "a").read_bytes() == b"1"
        assert (folder / "run-10" / "a").read_bytes() == b"10"


@pytest.mark.parametrize(
    ("prefix", "key", "name"),
    [
        ("a/b/", "a/b/c/d", "c/d"),
        ("a/b", "a/b/c", "c"),
        ("a/b", "a/b", "b"),
        ("a/b", "a/bc/d", "bc/d"),
        ("", "a/b", "a/b"),
    ],
)
def test_objects_get_the_names_that_their_prefix_leaves(prefix: str, key: str, name: str) -> None:
    assert local_name(prefix, key) == name


def test_a_key_that_leaves_its_folder_fails_the_download(tmp_path: Path) -> None:
    objects = MemoryObjects()
    objects.put("bucket", "data/../../x", b"")
    with pytest.raises(TransferError, match="leaves its folder"):
        download(objects, "s3://bucket/data/", tmp_path / "in")
    assert not (tmp_path.parent / "x").exists()


def test_shards_share_the_objects(tmp_path: Path) -> None:
    objects = MemoryObjects()
    for name in "abc":
        objects.put("bucket", f"data/{name}", b"")
    assert download(objects, "s3://bucket/data/", tmp_path, (0, 2)) == ["a", "c"]
    assert download(objects, "s3://bucket/data/", tmp_path, (1, 2)) == ["b"]


def test_new_changed_and_deleted_files_go_to_s3_while_training(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    desk.objects.put("bucket", "run/checkpoints/old/a", b"old")
    desk.sync.restore()
    desk.sync.start()
    try:
        (desk.folders[0] / "old" / "a").unlink()
        (desk.folders[0] / "new").write_bytes(b"1")
        (desk.folders[0] / ".sagemaker-uploading").write_bytes(b"")
        until(lambda: desk.stored() == ["run/checkpoints/new"])
        (desk.folders[0] / "new").write_bytes(b"22")
        until(lambda: desk.objects.get("bucket", "run/checkpoints/new") == b"22")
        (desk.folders[0] / "progress.json").write_text(json.dumps({"fraction": 0.5}))
        until(lambda: desk.fractions == [0.5])
    finally:
        desk.sync.stop()
    assert "run/checkpoints/old/a" not in desk.stored()
    assert "run/checkpoints/.sagemaker-uploading" not in desk.stored()


def test_progress_that_was_restored_is_not_progress_of_this_attempt(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    desk.objects.put("bucket", "run/checkpoints/progress.json", b'{"fraction": 0.9}')
    desk.sync.restore()
    desk.sync.start()
    desk.sync.finish()
    assert desk.fractions == []


def test_the_orderly_end_brings_everything(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    for index in range(20):
        (desk.folders[index % 2] / f"f{index}").write_bytes(b"x" * 5000)
    desk.sync.finish()
    assert len(desk.stored()) == 20


def test_an_interruption_leaves_some_files_out_and_may_tear_one(tmp_path: Path) -> None:
    left_out = torn = 0
    for seed in range(20):
        (tmp_path / str(seed)).mkdir()
        desk = Desk(tmp_path / str(seed), seed=seed)
        for index in range(10):
            (desk.folders[0] / f"f{index}").write_bytes(b"x" * 5000)
        desk.sync.cut_short()
        sizes = [len(desk.objects.get("bucket", key)) for key in desk.stored()]
        left_out += len(sizes) < 10
        torn += any(size < 5000 for size in sizes)
    assert left_out > 10
    assert 3 < torn < 17
