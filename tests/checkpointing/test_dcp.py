"""torch.distributed.checkpoint as we use it: one process, without a process group."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Any

import pytest

import workflows.checkpointing as package
from workflows.checkpointing import Checkpointer, CheckpointError
from workflows.checkpointing.host_buffer import HostBuffer

torch = pytest.importorskip("torch", reason="torch is not installed")
dcp: Any = importlib.import_module("workflows.checkpointing.dcp")

pytestmark = pytest.mark.filterwarnings("ignore:torch.distributed is")


def written(staged: Any, folder: Path) -> dict[str, list[Any]]:
    part = folder / "rank-0"
    part.mkdir(parents=True)
    digests: dict[str, list[Any]] = {}
    dcp.save(staged, part, digests, None)
    return digests


def loaded(folder: Path, state: dict[str, Any]) -> dict[str, Any]:
    dcp.load(state, folder, None)
    return state


def test_what_is_written_later_is_what_was_there_when_the_save_was_asked_for(tmp_path: Path) -> None:
    weights = torch.arange(6.0)
    staged = dcp.Staged({"w": weights, "lr": {"now": [0.5]}}, HostBuffer(), coordinates=True)
    weights.fill_(-1)

    digests = written(staged, tmp_path)

    back = loaded(tmp_path, {"w": torch.zeros(6), "lr": {"now": [0.0]}})
    assert back["w"].tolist() == [0, 1, 2, 3, 4, 5]
    assert back["lr"] == {"now": [0.5]}
    assert sorted(digests) == ["__0_0.distcp", dcp.METADATA]
    assert {path.name for path in (tmp_path / "rank-0").iterdir()} == set(digests)


def test_the_second_save_is_as_good_as_the_first_and_takes_no_new_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from torch.distributed.checkpoint import staging

    class Closed:
        """As torch 2.11's, when it is used again."""

        def stage(self, state: Any) -> Any:
            raise KeyError(type)

    monkeypatch.setattr(staging, "DefaultStager", Closed, raising=False)
    host, weights = HostBuffer(), torch.zeros(1000)
    memory = []
    for save in (1, 2, 3):
        weights.fill_(save)
        written(dcp.Staged({"w": weights}, host, coordinates=True), tmp_path / str(save))
        memory.append(host.tensor.data_ptr())

    assert [loaded(tmp_path / str(n), {"w": torch.zeros(1000)})["w"][0] for n in (1, 2, 3)] == [1, 2, 3]
    assert len(set(memory)) == 1


@pytest.mark.parametrize(
    "tensor",
    [
        torch.randn(3, 4).T,
        torch.randn(9)[::3],
        torch.randn(4).to(torch.bfloat16),
        torch.tensor(True),
        torch.tensor(2.5),
        torch.empty(0, 3),
        torch.nn.Parameter(torch.ones(2)),
        torch.randn(3, dtype=torch.complex64).conj(),
    ],
    ids=["transposed", "strided", "bfloat16", "bool", "scalar", "empty", "parameter", "conjugate"],
)
def test_every_kind_of_tensor_comes_back(tmp_path: Path, tensor: Any) -> None:
    written(dcp.Staged({"t": tensor, "other": torch.ones(1)}, HostBuffer(), coordinates=True), tmp_path)

    back = loaded(tmp_path, {"t": torch.zeros(tensor.shape, dtype=tensor.dtype), "other": torch.zeros(1)})
    assert torch.equal(back["t"], tensor.detach().resolve_conj())


def test_tied_weights_are_copied_once(tmp_path: Path) -> None:
    tied, host = torch.randn(10_000), HostBuffer()
    written(dcp.Staged({"in": tied, "out": tied}, host, coordinates=True), tmp_path)

    assert len(host.view) < 2 * tied.nbytes
    back = loaded(tmp_path, {"in": torch.zeros(10_000), "out": torch.zeros(10_000)})
    assert torch.equal(back["in"], tied)
    assert torch.equal(back["out"], tied)


def test_a_full_disk_is_an_ordinary_error(tmp_path: Path) -> None:
    staged = dcp.Staged({"w": torch.ones(2)}, HostBuffer(), coordinates=True)
    (tmp_path / "__0_0.distcp").mkdir()  # something that cannot be written

    with pytest.raises(CheckpointError, match="rank 0: "):
        dcp.save(staged, tmp_path, {}, None)


@pytest.mark.parametrize("version", ["2.4.1", "2.10.0a0+git123", "2.13.0+cpu", "3.0.0"])
def test_newer_versions_are_let_through(version: str) -> None:
    def is_refused(each: str) -> bool:
        try:
            dcp.require(each)
        except CheckpointError:
            return True
        return False

    assert not is_refused(version)
    assert is_refused("2.3.1+cu121")


def test_a_torch_that_is_too_old_is_refused_when_the_checkpointer_is_entered(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(torch, "__version__", "2.3.1+cu121")
    monkeypatch.setattr(torch.distributed, "is_initialized", lambda: True)
    for name in ("dcp", "torch_distributed"):
        monkeypatch.delitem(sys.modules, f"{package.__name__}.{name}", raising=False)
        monkeypatch.delattr(package, name, raising=False)

    with (
        pytest.raises(CheckpointError, match=r"torch 2\.3\.1.*needed is 2\.4 or newer.*one process"),
        Checkpointer({"model": torch.nn.Linear(2, 2)}),
    ):
        pass
