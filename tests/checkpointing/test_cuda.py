"""One real GPU: the same promises as on the CPU, and what only a GPU can get wrong.

Skipped where there is none. Two tests need two GPUs.
"""

from __future__ import annotations

import functools
import gc
import json
import logging
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from workflows.checkpointing import Checkpointer, host_buffer
from workflows.checkpointing.host_buffer import HostBuffer
from workflows.checkpointing.snapshot import Snapshot, rebuild, take

torch = pytest.importorskip("torch", reason="torch is not installed")
training_gpu = pytest.importorskip("scripts.drills.training_gpu", reason="torch is not installed")

DEVICE = "cuda"
ROOT = Path(__file__).parents[2]
Done = subprocess.CompletedProcess[str]
LIMIT = 120  # seconds until a process counts as hanging
SLOW = 200_000_000  # cycles that a kernel spins: about a tenth of a second

# device_count() asks the driver's management library; is_available() would start CUDA here, and what
# is forked from this process later could not use it.
pytestmark = pytest.mark.skipif(torch.cuda.device_count() == 0, reason="there is no CUDA device")
two_gpus = pytest.mark.skipif(torch.cuda.device_count() < 2, reason="there is one CUDA device")


@pytest.fixture(autouse=True)
def deterministic() -> Iterator[None]:
    training_gpu.deterministic()
    yield
    torch.use_deterministic_algorithms(False)


def spin() -> None:
    """Keeps the current stream busy, so that whoever does not wait for it is early."""
    if DEVICE == "cuda":
        torch.cuda._sleep(SLOW)


def train(until: int, seed: int = 1, total: int = 24) -> str:
    state = training_gpu.build(seed, DEVICE)
    clock = [0.0]
    arguments: dict[str, Any] = {"shortest": 100, "longest": 100, "clock": lambda: clock[0]}
    with Checkpointer(state, **arguments) as checkpoints:
        for step in checkpoints.steps(total):
            if step == until:
                raise KeyboardInterrupt
            training_gpu.advance(state, DEVICE)
            clock[0] += 40
    digest: str = training_gpu.digest(state)
    return digest


def test_the_model_after_interruptions_is_bit_identical(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SAGEMAKER_BASE_DIR", str(tmp_path / "undisturbed"))
    undisturbed = train(-1)
    monkeypatch.setenv("SAGEMAKER_BASE_DIR", str(tmp_path / "disturbed"))
    for until in (5, 11, 12, 19):
        with pytest.raises(KeyboardInterrupt):
            train(until)

    # Another seed: whatever is not restored would show.
    assert train(-1, seed=2) == undisturbed


def run(script: str | Path, *arguments: str, **environment: str) -> Done:
    """A process of its own: a script of the drills, or the text of one."""
    command = ["-c", script] if isinstance(script, str) else [str(script)]
    return subprocess.run(
        [sys.executable, *command, *arguments],
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
        capture_output=True,
        text=True,
        timeout=LIMIT,
        check=False,
    )


def both(one: Callable[[], Done], other: Callable[[], Done]) -> tuple[Done, Done]:
    """Two processes beside each other: most of the time of each goes into starting."""
    with ThreadPoolExecutor(2) as threads:
        first, second = threads.submit(one), threads.submit(other)
        return first.result(), second.result()


def last_line(done: Done) -> str:
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()[-1]


OFTEN = {"RELAY_CHECKPOINT_SHORTEST": "0", "RELAY_CHECKPOINT_LONGEST": "0.03"}


@pytest.mark.processes
def test_a_killed_training_goes_on_to_the_same_model(tmp_path: Path) -> None:
    script = ROOT / "scripts" / "drills" / "training_gpu.py"
    steps = ("--device", DEVICE, "--steps", "30")
    there = {"SAGEMAKER_BASE_DIR": str(tmp_path / "k"), **OFTEN}

    # Step 8 is saved for sure; the saves after it run beside the training, and the kill.
    undisturbed, killed = both(
        lambda: run(script, *steps, SAGEMAKER_BASE_DIR=str(tmp_path / "u"), **OFTEN),
        lambda: run(script, *steps, "--save-at", "8", "--die-at", "17", **there),
    )
    resumed = run(script, *steps, "--seed", "2", **there)

    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert "Resumed at step " in resumed.stderr
    assert int(resumed.stderr.split("Resumed at step ")[1].split()[0]) >= 8
    assert last_line(resumed) == last_line(undisturbed)
    assert last_line(resumed).startswith("digest ")


@pytest.mark.processes
def test_a_killed_sharded_training_goes_on_to_the_same_model(tmp_path: Path) -> None:
    script = ROOT / "scripts" / "drills" / "training_ranks.py"
    one = {"RANK": "0", "WORLD_SIZE": "1", "GLOO_SOCKET_IFNAME": "lo", "NCCL_SOCKET_IFNAME": "lo"}

    def attempt(base: str, number: int, *arguments: str) -> Done:
        # They meet by a new file each: the one before was left by a process that was killed.
        options = ["--kind", "fsdp", "--device", DEVICE, "--meet", str(tmp_path / f"{base}-{number}")]
        place = {"SAGEMAKER_BASE_DIR": str(tmp_path / base)}
        return run(script, *options, "--steps", "30", *arguments, **place, **one, **OFTEN)

    undisturbed, killed = both(
        lambda: attempt("u", 1), lambda: attempt("k", 1, "--save-at", "8", "--die-at", "17")
    )
    resumed = attempt("k", 2)

    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert "Resumed at step " in resumed.stderr, resumed.stderr
    assert last_line(resumed) == last_line(undisturbed)
    assert last_line(resumed).startswith("digest ")
    assert list(tmp_path.glob("k/checkpoints/step-*/rank-0/__0_0.distcp"))


def test_overwriting_the_weights_after_save_returned_does_not_change_what_was_saved() -> None:
    weights = torch.arange(8_000_000, dtype=torch.float32, device=DEVICE)

    def attempt() -> None:
        with Checkpointer({"weights": weights}) as checkpoints:
            for step in checkpoints.steps():
                spin()  # the values that are to be saved are not there yet when save() is called
                weights.add_(1)
                if step == 1:
                    checkpoints.save()
                    weights.fill_(-1)
                    raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        attempt()
    restored = torch.zeros_like(weights)
    with Checkpointer({"weights": restored}) as checkpoints:
        assert checkpoints.step == 1
    assert torch.equal(restored, torch.arange(8_000_000, dtype=torch.float32, device=DEVICE) + 2)


class Count:
    """Reads its number from the GPU when asked for its state, as a GradScaler does."""

    def __init__(self) -> None:
        self.number = torch.zeros((), device=DEVICE)

    def state_dict(self) -> dict[str, float]:
        return {"number": float(self.number.item())}

    def load_state_dict(self, state: dict[str, float]) -> None:
        self.number.fill_(state["number"])


@pytest.mark.parametrize("whole", [True, False], ids=["the loop", "its body"])
def test_training_on_a_stream_of_its_own_is_saved_as_that_stream_left_it(whole: bool) -> None:
    weights = torch.zeros(1_000_000, device=DEVICE)
    count = Count()
    state = {"count": count, "weights": weights}
    stream = torch.cuda.Stream() if DEVICE == "cuda" else None
    if stream is not None:
        stream.wait_stream(torch.cuda.current_stream())

    def steps(checkpoints: Checkpointer) -> None:
        for step in checkpoints.steps():
            if step == 2:
                checkpoints.save()  # outside of the stream, where `whole` is not set
                raise KeyboardInterrupt
            with torch.cuda.stream(stream):
                spin()
                weights.add_(1)
                count.number.add_(1)

    def attempt() -> None:
        with Checkpointer(state) as checkpoints, torch.cuda.stream(stream if whole else None):
            steps(checkpoints)

    with pytest.raises(KeyboardInterrupt):
        attempt()

    restored = torch.zeros_like(weights)
    again = Count()
    with Checkpointer({"count": again, "weights": restored}) as checkpoints:
        assert checkpoints.step == 2
    assert restored.unique().tolist() == [2.0]
    assert again.number.item() == 2.0


WITHOUT_GPU = """
import json, torch
from workflows.checkpointing import Checkpointer
assert not torch.cuda.is_available()
box, model, draws = {}, torch.nn.Linear(3, 2), []
with Checkpointer({"model": model, "box": box}) as checkpoints:
    for step in checkpoints.steps(2):
        draws.append(torch.rand(1).item())
tensors = {**box, **model.state_dict()}
values = {name: tensor.float().tolist() for name, tensor in tensors.items()}
print(json.dumps([sorted({str(tensor.device) for tensor in tensors.values()}), values, draws]))
"""


@pytest.mark.processes
def test_a_checkpoint_from_the_gpu_goes_on_where_there_is_none() -> None:
    torch.manual_seed(5)
    model = torch.nn.Linear(3, 2).to(DEVICE)
    box = {"half": torch.randn(5, device=DEVICE).to(torch.bfloat16), "empty": torch.empty(0, device=DEVICE)}
    draws_here: list[float] = []

    def attempt() -> None:
        with Checkpointer({"model": model, "box": box}) as checkpoints:
            for step in checkpoints.steps():
                if step == 1:
                    checkpoints.save(wait=True)
                    draws_here.append(torch.rand(1).item())
                    raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        attempt()

    done = run(WITHOUT_GPU, CUDA_VISIBLE_DEVICES="")

    devices, values, draws = json.loads(last_line(done))
    assert devices == ["cpu"]
    saved = {**box, **model.state_dict()}
    assert values == {name: tensor.float().tolist() for name, tensor in saved.items()}
    assert draws == draws_here  # the CPU's generator goes on where it was
    if DEVICE == "cuda":
        count = torch.cuda.device_count()
        assert f"random states of {count} CUDA devices and there are 0" in done.stderr


DRAWS = """
import json, sys, torch
from workflows.checkpointing import Checkpointer
torch.manual_seed(int(sys.argv[1]))
draws = []
with Checkpointer({"draws": draws}) as checkpoints:
    for step in checkpoints.steps(6):
        if step == int(sys.argv[2]):
            checkpoints.save(wait=True)
            sys.exit(1)
        draws.append(torch.rand(1, device=sys.argv[3]).item())
print(json.dumps(draws))
"""


@pytest.mark.processes
def test_a_process_that_comes_to_the_gpu_only_in_its_loop_draws_what_the_undisturbed_one_draws(
    tmp_path: Path,
) -> None:
    undisturbed, _ = both(
        lambda: run(DRAWS, "1", "-1", DEVICE, SAGEMAKER_BASE_DIR=str(tmp_path / "u")),
        lambda: run(DRAWS, "1", "3", DEVICE, SAGEMAKER_BASE_DIR=str(tmp_path / "k")),
    )
    # Seeded before CUDA is up: torch keeps the seed for then.
    resumed = run(DRAWS, "2", "-1", DEVICE, SAGEMAKER_BASE_DIR=str(tmp_path / "k"))

    assert "Resumed at step 3" in resumed.stderr
    assert last_line(resumed) == last_line(undisturbed)


def saved_and_restored(box: dict[str, Any]) -> dict[str, Any]:
    with Checkpointer({"box": box}) as checkpoints:
        list(checkpoints.steps(1))
    back: dict[str, Any] = {}
    with Checkpointer({"box": back}):
        pass
    return back


def test_tensors_that_share_memory_on_the_gpu_share_it_again() -> None:
    whole = torch.arange(10.0, device=DEVICE)

    box = saved_and_restored({"whole": whole, "part": whole[2:4], "bits": whole.view(torch.int32)})

    assert {tensor.device.type for tensor in box.values()} == {DEVICE}
    box["whole"][2] = 99.0
    assert box["part"].tolist() == [99.0, 3.0]
    assert torch.equal(box["bits"], box["whole"].view(torch.int32))


@pytest.mark.parametrize(
    "make",
    [
        lambda: torch.randn(3, 4, device=DEVICE).T,
        lambda: torch.randn(10, device=DEVICE)[3:7],
        lambda: torch.randn(4, device=DEVICE).to(torch.bfloat16),
        lambda: torch.randn(4, device=DEVICE).to(torch.float8_e4m3fn),
        lambda: torch.tensor(True, device=DEVICE),
        lambda: torch.empty(0, 3, device=DEVICE),
        lambda: torch.randn(2, 3, device=DEVICE).to_sparse(),
        lambda: torch.nn.Parameter(torch.ones(2, device=DEVICE)),
        lambda: torch.randn(3, dtype=torch.complex64, device=DEVICE).conj(),
        lambda: torch.randn(5, device=DEVICE, requires_grad=True),
    ],
    ids=[
        "strided",
        "view",
        "bfloat16",
        "float8",
        "scalar",
        "empty",
        "sparse",
        "parameter",
        "conjugate",
        "grad",
    ],
)
def test_every_kind_of_tensor_comes_back_on_the_gpu(make: Any) -> None:
    tensor = make()

    back = saved_and_restored({"tensor": tensor})["tensor"]

    assert type(back) is type(tensor)
    kind = (tensor.device, tensor.dtype, tensor.shape, tensor.requires_grad)
    assert (back.device, back.dtype, back.shape, back.requires_grad) == kind
    if tensor.is_sparse:
        back, tensor = back.to_dense(), tensor.to_dense()
    else:
        assert back.stride() == tensor.stride()
    if tensor.dtype == torch.float8_e4m3fn:
        back, tensor = back.view(torch.uint8), tensor.view(torch.uint8)
    assert torch.equal(back, tensor)


def test_a_generator_of_the_gpu_goes_on_where_it_was_alone_and_inside_of_others() -> None:
    first = torch.Generator(DEVICE).manual_seed(3)
    inside = torch.Generator(DEVICE).manual_seed(4)
    for generator in (first, inside):
        torch.rand(1000, generator=generator, device=DEVICE)
    with Checkpointer({"alone": first, "box": {"inside": inside}}) as checkpoints:
        list(checkpoints.steps(1))

    box: dict[str, Any] = {}
    again = torch.Generator(DEVICE)
    with Checkpointer({"alone": again, "box": box}):
        pass

    for before, after in ((first, again), (inside, box["inside"])):
        assert after.device.type == DEVICE
        one, other = (torch.rand(9, generator=each, device=DEVICE) for each in (before, after))
        assert torch.equal(one, other)


def test_a_script_whose_default_device_is_the_gpu_goes_on_like_any_other() -> None:
    def attempt(weights: Any, *, stop: bool) -> None:
        with Checkpointer({"weights": weights}) as checkpoints:
            for _ in checkpoints.steps(1):
                if stop:
                    checkpoints.save(wait=True)
                drawn.append([torch.rand(1).item(), torch.rand(1, device="cpu").item()])
                if stop:
                    raise KeyboardInterrupt

    drawn: list[list[float]] = []
    torch.set_default_device(DEVICE)
    try:
        weights, restored = torch.randn(5), torch.zeros(5)
        with pytest.raises(KeyboardInterrupt):
            attempt(weights, stop=True)
        attempt(restored, stop=False)
    finally:
        torch.set_default_device(None)

    assert torch.equal(restored, weights)
    assert drawn[0] == drawn[1]


def copy(state: dict[str, Any], host: HostBuffer) -> Snapshot:
    return take(
        {name: functools.partial(lambda value: value, value) for name, value in state.items()}, host, {}
    )


def values(snapshot: Snapshot) -> dict[str, Any]:
    return rebuild(snapshot.index(), memoryview(b"".join(snapshot.streams)), snapshot.bulk, {})


def test_the_copy_is_page_locked_no_larger_than_needed_and_used_again() -> None:
    host = HostBuffer()
    weights = torch.randn(5_000_000, device=DEVICE)  # 20 MB; the next power of two is 32 MiB
    copy({"weights": weights}, host)
    address = host.tensor.data_ptr()
    assert host.tensor.is_pinned() == (DEVICE == "cuda")
    assert len(host.view) < 20_100_000

    weights += 1
    snapshot = copy({"weights": weights}, host)

    assert host.tensor.data_ptr() == address
    assert torch.equal(values(snapshot)["weights"], weights)


def test_a_buffer_that_grows_is_page_locked_again_and_one_that_is_let_go_of_is_unlocked() -> None:
    host = HostBuffer()
    copy({"weights": torch.ones(1000, device=DEVICE)}, host)

    larger = copy({"weights": torch.ones(1_000_000, device=DEVICE)}, host)

    memory = host.tensor
    assert memory.is_pinned() == (DEVICE == "cuda")
    assert bool((values(larger)["weights"] == 1).all())
    del host
    gc.collect()
    assert not memory.is_pinned()


@pytest.mark.skipif(DEVICE == "cpu", reason="nothing is page-locked")
def test_memory_that_cannot_be_page_locked_makes_saves_slower_and_nothing_else(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(host_buffer, "_PORTABLE", 1 << 20)  # flags that CUDA refuses
    host = HostBuffer()
    weights = torch.randn(1000, device=DEVICE)
    with caplog.at_level(logging.WARNING):
        copy({"weights": weights}, host)
        snapshot = copy({"weights": weights}, host)

    assert caplog.text.count("cannot be page-locked") == 1
    assert not host.tensor.is_pinned()
    assert torch.equal(values(snapshot)["weights"], weights)
    torch.ones(3, device=DEVICE).add_(1)  # and CUDA's error is not left for the training's next kernel
    torch.cuda.synchronize()


@pytest.mark.skipif(DEVICE == "cpu", reason="torch counts the memory of GPUs only")
def test_restoring_a_model_takes_no_room_for_a_second_one_on_the_gpu() -> None:
    model = torch.nn.Linear(4096, 4096, bias=False, device=DEVICE)  # 67 MB
    saved = model.weight.detach().cpu()
    with Checkpointer({"model": model}) as checkpoints:
        list(checkpoints.steps(1))
    torch.nn.init.zeros_(model.weight)
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()

    with Checkpointer({"model": model}):
        pass

    assert torch.cuda.max_memory_allocated() - before < 7_000_000
    assert model.weight.device.type == DEVICE
    assert torch.equal(model.weight.detach().cpu(), saved)


@pytest.mark.skipif(DEVICE == "cpu", reason="there is one CPU")
def test_a_tensor_of_a_gpu_that_is_not_there_comes_back_on_the_current_one() -> None:
    from workflows.checkpointing import devices

    count = torch.cuda.device_count()
    current = f"cuda:{torch.cuda.current_device()}"

    assert devices.available(f"cuda:{count}") == current
    assert devices.available("cuda") == current
    assert devices.available("cuda:0") == "cuda:0"
    assert devices.available("cpu") == "cpu"


@two_gpus
def test_a_state_on_two_gpus_is_saved_as_both_left_it() -> None:
    tensors = [torch.zeros(1_000_000, device=f"cuda:{index}") for index in range(2)]
    for tensor in tensors:
        with torch.cuda.device(tensor.device), torch.cuda.stream(torch.cuda.Stream()):
            spin()
            tensor.add_(1)

    box = saved_and_restored({"tensors": tensors})

    assert [str(tensor.device) for tensor in box["tensors"]] == ["cuda:0", "cuda:1"]
    assert [tensor.unique().tolist() for tensor in box["tensors"]] == [[1.0], [1.0]]


@two_gpus
def test_what_lay_on_a_rank_s_own_gpu_comes_back_on_the_one_it_has_now() -> None:
    with torch.cuda.device(0):
        snapshot = copy({"own": torch.ones(3, device="cuda:0")}, HostBuffer())

    with torch.cuda.device(1):
        assert str(values(snapshot)["own"].device) == "cuda:1"
