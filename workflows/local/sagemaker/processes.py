"""Runs a job's work as real operating-system processes, one container for each instance.

Threads do what blocks: transfers, waiting for processes; they hand results to the clock's thread with
`clock.post`. While one of them is at it, machine time passes 1:1: real work is never counted fast.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import random
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import simpy

from workflows.local.clock import ClockError, RealClock
from workflows.local.sagemaker.container import Container, free_port, refusal
from workflows.local.sagemaker.job_life import artifacts
from workflows.local.sagemaker.job_logs import Stamps
from workflows.local.sagemaker.job_records import INTERNAL_ERROR
from workflows.local.sagemaker.leashes import Leashes
from workflows.local.sagemaker.metrics import Metric, defined, read_metrics
from workflows.local.sagemaker.sync import CheckpointSync
from workflows.local.sagemaker.transfer import TransferError, download, upload_archive, upload_folder
from workflows.local.sagemaker.workload import Exit, Order

if TYPE_CHECKING:
    from workflows.local.objects import Objects

log = logging.getLogger(__name__)


class ProcessWorkload:
    """Runs jobs on this computer, below the private folder `root` (mode 0700)."""

    def __init__(
        self,
        clock: RealClock,
        root: Path,
        objects: Objects,
        *,
        seed: int = 0,
        endpoint: str = "",
        resend: bool = False,
    ) -> None:
        """`endpoint`: where a toolkit in a container finds S3; `resend`: that restored checkpoints are sent
        again at the start.
        """
        self.clock = clock
        self.resend = resend
        self.endpoint = endpoint
        self.objects = objects
        self.root = root
        self.seed = seed
        root.mkdir(parents=True, exist_ok=True)
        root.chmod(0o700)
        # What a killed world left behind; its processes died with it.
        shutil.rmtree(root / "instances", ignore_errors=True)
        self.scratch = f"relay-{hashlib.sha256(str(root.resolve()).encode()).hexdigest()[:8]}-"
        for left in Path(tempfile.gettempdir()).glob(f"{self.scratch}*"):
            shutil.rmtree(left, ignore_errors=True)
        self._open: dict[tuple[str, int], ProcessWork] = {}
        self._counts: dict[str, int] = {}

    def refusal(self, operation: str, request: Mapping[str, Any]) -> str | None:
        """Why this computer cannot run the job."""
        return refusal(operation, request)

    def open(self, order: Order) -> ProcessWork:
        """New instances for a job."""
        number = self._counts[order.name] = self._counts.get(order.name, 0) + 1
        work = ProcessWork(self, order, number)
        self._open[order.name, number] = work
        return work

    def logs(self, job: str) -> dict[str, Path]:
        """The log file of each host of a job; standard output and error, over all its restarts."""
        return {path.stem: path for path in sorted((self.root / "logs" / job).glob("*.log"))}

    def close(self) -> None:
        """Kill every process of every job and wait until they are gone."""
        for work in list(self._open.values()):
            work.destroy()

    def forget(self, order: Order, number: int) -> None:
        """A work has ended."""
        self._open.pop((order.name, number), None)


class ProcessWork:
    """One job on one set of instances."""

    def __init__(self, workload: ProcessWorkload, order: Order, number: int) -> None:
        self._workload = workload
        self._clock = workload.clock
        self._env = workload.clock.env
        self._objects = workload.objects
        self._order = order
        self._number = number
        self.started = self._env.event()
        self.metrics: list[Metric] = []
        hosts = tuple(f"algo-{index}" for index in range(1, order.instance_count + 1))
        place = workload.root / "instances" / order.name / str(number)
        self._place = place
        self._logs = workload.root / "logs" / order.name
        self._scratch = Path(tempfile.mkdtemp(prefix=workload.scratch))
        port = free_port() if len(hosts) > 1 else 0
        self._containers = []
        for host in hosts:
            scratch = self._scratch / host
            scratch.mkdir()
            self._containers.append(
                Container(order, host, hosts, place / host, scratch, port, workload.endpoint)
            )
        rng = random.Random(f"{workload.seed}/{order.name}/{number}")
        self._sync = self._make_sync(rng)
        self._leashes = Leashes()
        self._ended = threading.Event()
        self._ended.set()
        self._trained = False
        self._succeeded = True
        self._destroyed = False
        self._fraction = 0.0
        self._waiting: list[tuple[float, simpy.Event]] = []

    # What the life cycle calls, on the clock's thread

    def download(self) -> simpy.Event:
        """Make the trees, bring channels and checkpoints."""
        self._ended.clear()
        return self._background(self._download)

    def train(self) -> simpy.Event:
        """Start one container on each instance."""
        self._ended.clear()
        self._trained = True
        self.started.succeed()
        return self._background(self._train, lambda reason: Exit(1, fault=reason))

    def reached(self, fraction: float) -> simpy.Event:
        """Happens when progress.json reports that share of the work."""
        event = self._env.event()
        self._waiting.append((fraction, event))
        self._look_at_waiting()
        return event

    def terminate(self) -> None:
        """Sends SIGTERM to each entry process."""
        self._leashes.tell("TERM")

    def kill(self) -> simpy.Event:
        """Sends SIGKILL to everything."""
        self._leashes.tell("KILL")
        return self._background(self._wait_for_end)

    def lose(self) -> simpy.Event:
        """Sends SIGKILL to everything, and cuts what was on its way to S3."""
        self._leashes.tell("KILL")

        def lost() -> None:
            self._wait_for_end()
            # Before training there is nothing new, and what was restored may be half a file.
            if self._sync is not None and self._trained:
                self._sync.cut_short()

        return self._background(lost)

    def hold(self) -> None:
        """Sends nothing more while the containers wind down."""
        if self._sync is not None:
            self._sync.hold()

    def upload(self, *, checkpoints: bool = True) -> simpy.Event:
        """Syncs a last time, then uploads artifacts or outputs."""
        return self._background(partial(self._upload, checkpoints))

    def close(self) -> None:
        """Give the instances back, without waiting.

        When the world was closed they are given back, and this is called by the collector of garbage, perhaps
        at the interpreter's end, when a thread can no longer be started.
        """
        if not self._destroyed:
            self._background(self.destroy)

    # On threads of their own

    def destroy(self) -> None:
        """Kill what is left, wait for it, and remove the instances' disks."""
        self._destroyed = True
        self._leashes.tell("KILL")
        self._wait_for_end()
        if self._sync is not None:
            self._sync.stop()
        shutil.rmtree(self._place, ignore_errors=True)
        shutil.rmtree(self._scratch, ignore_errors=True)
        with contextlib.suppress(OSError):
            self._place.parent.rmdir()
        self._workload.forget(self._order, self._number)

    def _download(self) -> None:
        try:
            for index, container in enumerate(self._containers):
                container.prepare()
                for uri, folder, sharded in self._inputs(container):
                    shard = (index, len(self._containers)) if sharded else (0, 1)
                    folder.mkdir(parents=True, exist_ok=True)
                    download(self._objects, uri, folder, shard)
            if self._sync is not None:
                self._sync.restore()
        finally:
            self._ended.set()

    def _train(self) -> Exit:
        try:
            if self._sync is not None:
                self._sync.start()
            hosts = [container.host for container in self._containers]
            with Stamps(self._logs, hosts, self._order.kind, self._now):
                failed = self._run_containers()
            self._succeeded = failed is None
            if self._sync is not None:
                self._sync.last_look()  # what was reached in the last moment is told before the end is
            return failed or Exit(0, message=_text(self._containers[0], "message"))
        finally:
            self._read_metrics()
            self._ended.set()

    def _run_containers(self) -> Exit | None:
        """Runs them to their end; returns how the first one that failed ended."""
        failed: Exit | None = None
        for container, code in self._leashes.run(self._containers, self._logs):
            if code != 0 and failed is None:
                failed = Exit(code, _text(container, "failure"), _text(container, "message"))
                self._leashes.tell("KILL")  # one instance failing fails the job
        return failed

    def _now(self) -> datetime:
        """The time of the machine, on whatever thread."""
        return self._clock.epoch + timedelta(seconds=self._clock.machine_seconds())

    def _read_metrics(self) -> None:
        """Lines carry no time: a metric is dated by the last line of its log.

        Files know the wall's time, of which machine time was 1:1 while the containers ran.
        """
        if not defined(self._order.request):
            return
        machine, wall = self._now(), time.time()
        written = {path: path.stat().st_mtime for path in self._logs.glob("*.log")}
        logs = [(path, machine - timedelta(seconds=wall - written[path])) for path in written]
        self.metrics = read_metrics(self._order.request, sorted(logs, key=lambda log: log[1]))

    def _upload(self, checkpoints: bool) -> None:
        if self._sync is not None and checkpoints:
            self._sync.finish()
        request = self._order.request
        if self._order.kind == "training":
            model = artifacts(self._order)
            output = model.removesuffix("model.tar.gz") + "output.tar.gz"
            bases = [container.base for container in self._containers]
            upload_archive(self._objects, [base / "model" for base in bases], model)
            upload_archive(self._objects, [base / "output" / "data" for base in bases], output)
        elif self._succeeded:
            for entry in request.get("ProcessingOutputConfig", {}).get("Outputs", []):
                s3 = entry["S3Output"]
                for container in self._containers:
                    folder = container.inside(s3["LocalPath"])
                    upload_folder(self._objects, folder, s3["S3Uri"])

    def _inputs(self, container: Container) -> list[tuple[str, Path, bool]]:
        """Returns (URI, folder, sharded) of each channel or processing input."""
        found = []
        for channel in self._order.request.get("InputDataConfig", []):
            source = channel["DataSource"]["S3DataSource"]
            folder = container.base / "input" / "data" / channel["ChannelName"]
            sharded = source.get("S3DataDistributionType") == "ShardedByS3Key"
            found.append((source["S3Uri"], folder, sharded))
        for entry in self._order.request.get("ProcessingInputs", []):
            s3 = entry["S3Input"]
            sharded = s3.get("S3DataDistributionType") == "ShardedByS3Key"
            found.append((s3["S3Uri"], container.inside(s3["LocalPath"]), sharded))
        return found

    def _make_sync(self, rng: random.Random) -> CheckpointSync | None:
        config = self._order.request.get("CheckpointConfig")
        if not config:
            return None
        folders = [each.checkpoints for each in self._containers if each.checkpoints]
        resend = self._workload.resend
        return CheckpointSync(self._objects, config["S3Uri"], folders, rng, self._progressed, resend=resend)

    def _progressed(self, fraction: float) -> None:
        self._post(self._note_progress, fraction)

    def _note_progress(self, fraction: float) -> None:
        self._fraction = max(self._fraction, fraction)
        self._look_at_waiting()

    def _look_at_waiting(self) -> None:
        for fraction, event in list(self._waiting):
            if self._fraction >= fraction:
                self._waiting.remove((fraction, event))
                event.succeed()

    def _wait_for_end(self) -> None:
        self._ended.wait()

    def _background(self, fn: Callable[[], Any], failed: Callable[[str], Any] = str) -> simpy.Event:
        """Run on a thread; the event's value is the result, or `failed` of the FailureReason."""
        event = self._env.event()
        self._clock.begin_work()

        def run() -> None:
            try:
                result = fn()
            except TransferError as error:
                result = failed(str(error))
            except OSError as error:
                log.exception("job %s", self._order.name)
                result = failed(f"ClientError: {error.strerror}")
            except Exception:
                log.exception("job %s: the local platform failed", self._order.name)
                result = failed(INTERNAL_ERROR)
            self._post(event.succeed, result)
            # After what follows on the event has begun, so that no time slips through fast between the two.
            self._post(self._clock.end_work)

        threading.Thread(target=run, name="relay-work", daemon=True).start()
        return event

    def _post(self, fn: Callable[..., object], *args: object) -> None:
        with contextlib.suppress(ClockError):  # the world was closed meanwhile
            self._clock.post(fn, *args)


def _text(container: Container, name: str) -> str:
    """The first 1024 characters of a file that the container left in /opt/ml/output."""
    try:
        with (container.base / "output" / name).open("rb") as file:
            return file.read(4096).decode("utf-8", "replace")[:1024]
    except OSError:
        return ""
