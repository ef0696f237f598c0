"""A run in the local world, from the pipeline's file to its receipt.

    pipeline -> machine text -> local Step Functions and SageMaker -> real processes -> ledger

Everything goes through boto3 at the local endpoint, as it would in an account.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from rich.console import Console

from workflows.errors import RelayError
from workflows.jobs.materials import Packed, gather, upload
from workflows.jobs.site import Site
from workflows.jobs.watch_pattern import watch_name, watch_pattern
from workflows.ledger.attempts import PARTITION_KEY, SORT_KEY
from workflows.ledger.run_view import RunView
from workflows.local.clients import REGION
from workflows.local.presence import present
from workflows.runs.connection import Connection
from workflows.runs.executions import Runs
from workflows.runs.watching import LOOK_EVERY, Watcher
from workflows.specification.images import image_uri
from workflows.specification.loading import load
from workflows.specification.mistakes import SpecificationError
from workflows.specification.pipeline import Pipeline

if TYPE_CHECKING:
    from workflows.local.scenario import Scenario
    from workflows.local.server import LocalWorld

Client = Callable[[str], Any]  # a boto3 client by its service name
SITE = Site(bucket="relay-local", job_role_arn="arn:aws:iam::123456789012:role/relay-job")
MACHINE_ROLE = "arn:aws:iam::123456789012:role/relay-machine"
EVENTS_ROLE = "arn:aws:iam::123456789012:role/relay-events"
LONGEST_STOP = 150.0  # real seconds: SIGTERM, then SageMaker's 120 s, then SIGKILL, and the upload


@dataclass
class Rehearsal:
    """One run in a world of this process; `quiet` leaves the narration out (for `--json`)."""

    world: LocalWorld
    runs: Runs
    arn: str
    console: Console
    quiet: bool = False

    def follow(self) -> RunView:
        """Looks until the run has ended. Ctrl-C stops the run and its jobs, then raises KeyboardInterrupt."""
        connection = Connection(
            self.world.client, where="", region=REGION, root=self.world.root, world=self.world
        )
        watcher = Watcher(
            self.runs, self.arn, self.console, self.quiet, clock=self._clock, said=connection.said
        )
        try:
            return watcher.follow()
        except KeyboardInterrupt:
            self._stop()
            raise

    def _clock(self) -> datetime:
        """The world's time, in which deadlines are."""
        clock = self.world.clock
        return clock.epoch + timedelta(seconds=clock.machine_seconds())

    def _stop(self) -> None:
        self.console.print(
            "\nStopping: the job may take up to 120 s to save its checkpoint (Ctrl-C: kill it)."
        )
        self.runs.stop(self.arn, "stopped with Ctrl-C")
        try:
            wait_for_jobs(self.runs)
        except KeyboardInterrupt:
            self.console.print("Killed; the newest checkpoint that is whole counts.")


def wait_for_jobs(runs: Runs, pause: Callable[[float], None] = time.sleep) -> bool:
    """Waits until no job runs any more, as long as one may take to save; returns whether all have ended."""
    deadline = time.monotonic() + LONGEST_STOP
    while busy := runs.jobs_in_progress():
        if time.monotonic() > deadline:
            break
        pause(LOOK_EVERY)
    return not busy


# ---------------------------------------------------------------------------------------------- starting
@contextmanager
def open_world(
    root: Path, *, speed: float, scenario: Scenario, seed: int, console: Console
) -> Iterator[LocalWorld]:
    """The local world on its folder, said to the user, because its start takes a moment.

    Raises RelayError while a `relay local` keeps one there: this one would have its own capacity and speed.
    """
    from workflows.local.server import LocalWorld

    if found := present(root):
        raise RelayError(
            f"`relay local` keeps the world in {root} (process {found.pid}): start the run there with "
            "`relay start PIPELINE --watch`, end it with `relay local down`, or give another --root"
        )
    with console.status("Starting the local AWS ..."):
        world = LocalWorld(root, speed=speed, scenario=scenario, seed=seed)
    with world:
        yield world


class Compiled(NamedTuple):
    """A pipeline, its machine's definition, and what there is to upload."""

    pipeline: Pipeline
    definition: dict[str, Any]
    packed: Packed


def compile_file(path: Path) -> Compiled:
    """The pipeline in a file, compiled. Raises SpecificationError."""
    return compile_loaded(load(path), path)


def compile_loaded(pipeline: Pipeline, path: Path, site: Site = SITE, region: str = REGION) -> Compiled:
    """A pipeline loaded from that file, compiled. Raises SpecificationError for one that cannot fit."""
    # Seconds that a mistake in the file need not wait for.
    from workflows.state_machine.check import problems_of
    from workflows.state_machine.graph import compile_pipeline

    packed = gather(pipeline, path.parent, site.bucket, lambda image, kind: image_uri(image, kind, region))
    definition = compile_pipeline(pipeline, site, packed.stages)
    problems = problems_of(pipeline, definition)
    if problems:
        raise SpecificationError([f"{path}: {problem}" for problem in problems])
    return Compiled(pipeline, definition, packed)


def start(
    world: LocalWorld,
    compiled: Compiled,
    name: str,
    run_input: Mapping[str, Any],
    console: Console,
    *,
    quiet: bool,
) -> Rehearsal:
    """Uploads, installs the machine and its capacity watch, and starts the run."""
    runs = Runs(world.client, SITE.bucket)
    with console.status("Uploading code and data ..."):
        arn = install_and_start(world.client, runs, compiled, name, run_input)
    return Rehearsal(world, runs, arn, console, quiet)


def install_and_start(
    client: Client, runs: Runs, compiled: Compiled, name: str, run_input: Mapping[str, Any]
) -> str:
    """What a deployment does for an account, done for a local world; then the run. Returns its ARN.

    Raises RunExistsError before anything is changed.
    """
    from workflows.state_machine.watch import watch_of

    pipeline = compiled.pipeline
    runs.refuse_existing(pipeline.name, name)
    _make_bucket(client("s3"))
    _make_table(client("dynamodb"))
    upload(compiled.packed, runs.s3, SITE.bucket)
    machine = runs.install(pipeline.name, compiled.definition, MACHINE_ROLE)
    watch = runs.install(watch_name(pipeline.name), watch_of(pipeline, SITE), MACHINE_ROLE)
    install_rule(client("events"), pipeline.name, watch)
    return runs.start(machine, name, run_input)


def restore(client: Client) -> None:
    """Gives a world that was opened anew the rules of its EventBridge, which no folder keeps."""
    pipelines = Runs(client).pipelines()
    if pipelines:
        _make_table(client("dynamodb"))
    for name, machine in pipelines.items():
        install_rule(client("events"), name, watch_name(machine))


def resume(world: LocalWorld, run: str, console: Console, *, quiet: bool) -> Rehearsal:
    """Redrives a run that failed or was stopped; finished stages stay finished."""
    runs = Runs(world.client, SITE.bucket)
    execution = redrivable(runs, run)
    restore(world.client)
    runs.redrive(execution["executionArn"])
    return Rehearsal(world, runs, execution["executionArn"], console, quiet)


def redrivable(runs: Runs, run: str) -> dict[str, Any]:
    """The run of that id, or beginning of one. Raises RelayError for one that has nothing left to do."""
    execution = runs.find(run)
    if execution["status"] == "SUCCEEDED":
        raise RelayError(f"the run `{execution['name']}` has finished: nothing to resume")
    if execution["status"] == "RUNNING":
        raise RelayError(f"the run `{execution['name']}` is running: follow it with `relay watch`")
    return execution


def install_rule(events: Any, pipeline: str, watch_arn: str) -> None:
    """EventBridge starts the watch when a job of the pipeline waits for capacity."""
    rule = watch_name(pipeline)
    events.put_rule(Name=rule, EventPattern=json.dumps(watch_pattern(pipeline)), State="ENABLED")
    events.put_targets(Rule=rule, Targets=[{"Id": "watch", "Arn": watch_arn, "RoleArn": EVENTS_ROLE}])


def _make_table(tables: Any) -> None:
    """The table of attempts, with the keys of the one that is deployed (`stacks/table.py`)."""
    if SITE.table in tables.list_tables()["TableNames"]:
        return
    keys = {PARTITION_KEY: "HASH", SORT_KEY: "RANGE"}
    tables.create_table(
        TableName=SITE.table,
        BillingMode="PAY_PER_REQUEST",
        KeySchema=[{"AttributeName": name, "KeyType": kind} for name, kind in keys.items()],
        AttributeDefinitions=[{"AttributeName": name, "AttributeType": "S"} for name in keys],
    )


def _make_bucket(s3: Any) -> None:
    if SITE.bucket not in {bucket["Name"] for bucket in s3.list_buckets()["Buckets"]}:
        s3.create_bucket(Bucket=SITE.bucket)
