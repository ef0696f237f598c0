"""A whole AWS on this computer: clock, S3 and its kin, SageMaker, Step Functions, one front door.

with LocalWorld(Path(".relay")) as world:
    world.client("stepfunctions").create_state_machine(...)
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import IO, Any

from botocore import xform_name

from workflows.errors import RelayError
from workflows.local.capacity import Always, Capacity, from_scenario
from workflows.local.clients import REGION as REGION  # of the world, as ACCOUNT is
from workflows.local.clients import LocalClients
from workflows.local.clock import RealClock
from workflows.local.front_door.delivery import Delivery
from workflows.local.front_door.door import FrontDoor
from workflows.local.job_log_api import JobLogs
from workflows.local.objects import S3Objects
from workflows.local.sagemaker.processes import ProcessWorkload
from workflows.local.sagemaker.sagemaker_api import SageMaker
from workflows.local.scenario import Scenario
from workflows.local.step_functions.execution_store import latest_moment
from workflows.local.step_functions.integrations import AwsIntegrations
from workflows.local.step_functions.step_functions_api import StepFunctions

ACCOUNT = "123456789012"
"""moto's account, so that every ARN of the world names the same one."""

CACHE_TAG = """Signature: 8a477f597d28d172789f06886806bc55
# A local world of Relay. The tag keeps it out of source archives and backups (Cache Directory Tagging).
"""

_open_world = threading.Lock()


class WorldError(RelayError):
    """A local world cannot be opened."""


class LocalWorld:
    """Everything below `root` is the world's; only one may be open on it at a time.

    `scenario` is what spot capacity does (a Scenario, or any Capacity); without one it is always
    there. `speed` makes waits pass faster, training never. moto keeps its state in its modules, so
    a process can have only one world open.
    """

    def __init__(
        self,
        root: Path,
        *,
        speed: float = 60.0,
        scenario: Scenario | Capacity | None = None,
        seed: int = 0,
        port: int = 0,
        **sagemaker_options: Any,
    ) -> None:
        self.root = root = root.resolve()  # jobs run in folders of their own
        try:
            root.mkdir(parents=True, exist_ok=True)
            root.chmod(0o700)
            (root / "CACHEDIR.TAG").write_text(CACHE_TAG, "ascii")
        except OSError as error:
            raise WorldError(f"{root}: cannot hold the local world: {error.strerror}") from None
        if not _open_world.acquire(blocking=False):
            raise WorldError("a local world is open in this process already; close it first")
        self._closers: list[Callable[[], object]] = [_open_world.release]
        try:
            self._lock()
            options = {**_readings(scenario), **sagemaker_options}
            self._build(speed, _capacity(scenario, seed), seed, port, options)
        except BaseException:
            self.close()
            raise

    def client(self, service: str) -> Any:
        """A boto3 client of this world: dummy credentials, never the user's own profile."""
        return self._clients(service)

    def logs(self, job: str) -> dict[str, Path]:
        """The log file of each host of a job."""
        return self.workload.logs(job)

    def close(self) -> None:
        """Kill what runs, stop to serve, let the root go. Closing twice does nothing."""
        while self._closers:
            self._closers.pop()()

    def __enter__(self) -> LocalWorld:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _build(self, speed: float, capacity: Capacity, seed: int, port: int, options: dict[str, Any]) -> None:
        # A world opened again on the same root must not write times before those of its records.
        self.clock = RealClock(speed, epoch=self._epoch())
        services: dict[str, Any] = {}
        self.front_door = FrontDoor(
            self.clock, services, objects=self.root / "s3", tables=self.root / "dynamodb.jsonl"
        )
        self.front_door.load()
        self.endpoint_url = self.front_door.open(port)
        self._clients = LocalClients(self.endpoint_url)
        self._closers.append(self.front_door.close)
        self.workload = ProcessWorkload(
            self.clock,
            self.root,
            S3Objects(self.client("s3")),
            seed=seed,
            endpoint=self.endpoint_url,
            resend=options.pop("restored", "kept") == "sent",
        )
        self.front_door.readers["logs"] = JobLogs(self.root / "logs", REGION, ACCOUNT)
        self.sagemaker = SageMaker(
            self.clock,
            capacity=capacity,
            workload=self.workload,
            account=ACCOUNT,
            state_dir=self.root / "sagemaker",
            seed=seed,
            **options,
        )
        integrations = AwsIntegrations(self.sagemaker, self._call_other)
        self.step_functions = StepFunctions(
            self.clock,
            integrations,
            account=ACCOUNT,
            state_dir=self.root / "states",
            seed=seed,
        )
        integrations.attach(self.step_functions)
        services |= {"sagemaker": self.sagemaker, "states": self.step_functions}
        delivery = Delivery(self.clock, self.step_functions, self.client)
        self.sagemaker.subscribers.append(delivery)
        self.step_functions.subscribers.append(delivery)
        self.sagemaker.subscribers.append(lambda _: self._write_clock())
        self.clock.start()
        delivery.start()
        # Closed from the last to the first: the clock stops before the processes are killed, so
        # that no job is taken for one that failed by itself.
        self._closers += [self.workload.close, self._write_clock, self.clock.close, delivery.close]

    def _call_other(self, service: str, operation: str, request: dict[str, Any]) -> dict[str, Any]:
        client = self.client(service)
        answer: dict[str, Any] = getattr(client, xform_name(operation))(**request)
        return answer

    def _lock(self) -> None:
        file = (self.root / "lock").open("a+")
        self._closers.append(file.close)
        if not _locked(file):
            file.seek(0)
            holder = file.read().strip() or "unknown"
            raise WorldError(
                f"{self.root}: a local world is open there already, in process {holder}; "
                "stop it first, or give another folder"
            )
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()

    def _epoch(self) -> datetime:
        """Now, or the time at which the last world on this root was closed or killed, if that is later.

        Machine time runs ahead of the wall's; it must never run back.
        """
        moments = [datetime.now(UTC), latest_moment(self.root / "states")]
        with contextlib.suppress(OSError, ValueError):
            moments.append(datetime.fromisoformat((self.root / "clock").read_text("utf-8")))
        return max(moment for moment in moments if moment is not None)

    def _write_clock(self) -> None:
        (self.root / "clock").write_text(self.clock.now().isoformat(), "utf-8")


def _locked(file: IO[str]) -> bool:
    """Whether the lock is ours; whoever only looks whether it is held (`presence.py`) has it for a moment."""
    for pause in (0.05, 0.05, 0.0):
        with contextlib.suppress(OSError):
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        time.sleep(pause)
    return False


def _readings(scenario: Scenario | Capacity | None) -> dict[str, Any]:
    """What the scenario says of checkpoints."""
    if not isinstance(scenario, Scenario):
        return {}
    return {"last_upload": scenario.last_upload, "restored": scenario.restored}


def _capacity(scenario: Scenario | Capacity | None, seed: int) -> Capacity:
    if scenario is None:
        return Always()
    return from_scenario(scenario, seed=seed) if isinstance(scenario, Scenario) else scenario
