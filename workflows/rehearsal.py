"""A run in the local world, from the pipeline's file to its receipt.

    pipeline -> machine text -> local Step Functions and SageMaker -> real processes -> ledger

Everything goes through boto3 at the local endpoint, as it would in an account.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from rich.console import Console
from rich.live import Live
from rich.text import Text

from workflows.attempts import PARTITION_KEY, SORT_KEY
from workflows.errors import RelayError
from workflows.following import Following
from workflows.images import image_uri
from workflows.ledger import RunView
from workflows.live import Narrator, Now, status, trials_shown
from workflows.loading import SpecificationError, load
from workflows.materials import Packed, gather, upload
from workflows.pipeline import Pipeline
from workflows.runs import ENDED, Runs
from workflows.training_job import Site
from workflows.watch_rule import watch_name, watch_pattern

if TYPE_CHECKING:
    from workflows.local.scenario import Scenario
    from workflows.local.server import LocalWorld

REGION = "us-east-1"
SITE = Site(bucket="relay-local", job_role_arn="arn:aws:iam::123456789012:role/relay-job")
MACHINE_ROLE = "arn:aws:iam::123456789012:role/relay-machine"
EVENTS_ROLE = "arn:aws:iam::123456789012:role/relay-events"
LOOK_EVERY = 0.2  # real seconds between two looks at the history
LAST_LOOKS = 25  # at trials of a run that has ended, while AWS is too busy to tell of them
LONGEST_STOP = 150.0  # real seconds: SIGTERM, then SageMaker's 120 s, then SIGKILL, and the upload
LAST_LINES = 3  # of a finished job's own output


@dataclass
class Rehearsal:
    """One run that is being followed; `quiet` leaves the narration out (for `--json`)."""

    world: LocalWorld
    runs: Runs
    arn: str
    console: Console
    quiet: bool = False

    def follow(self) -> RunView:
        """Looks until the run has ended. Ctrl-C stops the run and its jobs, then raises KeyboardInterrupt."""
        following = Following(self.runs, self.arn)
        screen = _Screen(self.console, following.view, self.quiet, self._clock)
        try:
            with screen.live():
                self._look_until_ended(following, screen)
        except KeyboardInterrupt:
            self._stop(following.view)
            raise
        return following.view

    def _look_until_ended(self, following: Following, screen: _Screen) -> None:
        last_looks = LAST_LOOKS
        while last_looks and not following.settled:
            following.look()
            screen.show(self._now(following.view) if screen.moving else {}, self._said)
            if following.view.status in ENDED:
                last_looks -= 1
            if not following.settled:
                time.sleep(LOOK_EVERY)

    def _now(self, view: RunView) -> dict[str, Now]:
        return {
            activity.job: Now(
                self.runs.job_status(activity.job, stage.kind), self.runs.progress(activity.place)
            )
            for stage in view.stages.values()
            for activity in (stage, *trials_shown(stage))
            if activity.job
        }

    def _clock(self) -> datetime:
        """The world's time, in which deadlines are."""
        clock = self.world.clock
        return clock.epoch + timedelta(seconds=clock.machine_seconds())

    def _said(self, job: str) -> list[str]:
        """The last lines that a job printed itself."""
        first = next(iter(self.world.logs(job).values()))
        lines = [line for line in first.read_text("utf-8", "replace").splitlines() if line.strip()]
        return [line for line in lines if not line.startswith("step=")][-LAST_LINES:]

    def digests(self, view: RunView) -> dict[str, str]:
        """Stage -> SHA-256 of the contents of its model, for the stages that have one."""
        models = {stage.name: stage.outputs.get("model") for stage in view.stages.values()}
        found = {name: self.runs.model_digest(uri) for name, uri in models.items() if uri}
        return {name: digest for name, digest in found.items() if digest}

    def _stop(self, view: RunView) -> None:
        self.console.print(
            "\nStopping: the job may take up to 120 s to save its checkpoint (Ctrl-C: kill it)."
        )
        self.runs.stop(self.arn, "stopped with Ctrl-C")
        deadline = time.monotonic() + LONGEST_STOP
        try:
            while self.runs.jobs_in_progress() and time.monotonic() < deadline:
                time.sleep(LOOK_EVERY)
        except KeyboardInterrupt:
            self.console.print("Killed; the newest checkpoint that is whole counts.")


class _Screen:
    """The narration: lines above, on a terminal a status table below."""

    def __init__(self, console: Console, view: RunView, quiet: bool, clock: Callable[[], datetime]) -> None:
        self.console, self.view, self.quiet, self.clock = console, view, quiet, clock
        self.moving = console.is_terminal and not quiet
        self._narrator, self._began = Narrator(view), time.monotonic()
        self._live: Live | None = None

    def live(self) -> AbstractContextManager[Any]:
        if not self.moving:
            return nullcontext()
        self._live = Live(console=self.console, refresh_per_second=8, transient=True)
        return self._live

    def show(self, now: Mapping[str, Now], said: Any) -> None:
        if self.quiet:
            return
        for line, finished in self._narrator.news():
            self.console.print(Text(f"{self._elapsed():6.1f} s  ", "dim") + line, soft_wrap=True)
            for words in said(finished) if finished else []:
                self.console.print(Text(f"{'':23}| {words}", "dim"), soft_wrap=True)
        if self._live:
            self._live.update(status(self.view, now, self._elapsed(), self.clock()))

    def _elapsed(self) -> float:
        return time.monotonic() - self._began


# ---------------------------------------------------------------------------------------------- starting
@contextmanager
def open_world(
    root: Path, *, speed: float, scenario: Scenario, seed: int, console: Console
) -> Iterator[LocalWorld]:
    """The local world on its folder, said to the user, because its start takes a moment."""
    from workflows.local.server import LocalWorld

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


def compile_loaded(pipeline: Pipeline, path: Path) -> Compiled:
    """A pipeline loaded from that file, compiled. Raises SpecificationError for one that cannot fit."""
    # Seconds that a mistake in the file need not wait for.
    from workflows.state_machine.check import problems_of
    from workflows.state_machine.graph import compile_pipeline

    packed = gather(pipeline, path.parent, SITE.bucket, lambda image, kind: image_uri(image, kind, REGION))
    definition = compile_pipeline(pipeline, SITE, packed.stages)
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
    from workflows.state_machine.watch import compile_watch

    pipeline = compiled.pipeline
    runs = Runs(world.client, SITE.bucket)
    runs.refuse_existing(pipeline.name, name)
    _make_bucket(world)
    _make_table(world)
    with console.status("Uploading code and data ..."):
        upload(compiled.packed, runs.s3, SITE.bucket)
    machine = runs.install(pipeline.name, compiled.definition, MACHINE_ROLE)
    watch = runs.install(watch_name(pipeline.name), compile_watch(pipeline.name, SITE), MACHINE_ROLE)
    _install_rule(world, pipeline.name, watch)
    arn = runs.start(machine, name, run_input)
    return Rehearsal(world, runs, arn, console, quiet)


def resume(world: LocalWorld, run: str, console: Console, *, quiet: bool) -> Rehearsal:
    """Redrives a run that failed or was stopped; finished stages stay finished."""
    runs = Runs(world.client, SITE.bucket)
    execution = runs.find(run)
    if execution["status"] == "SUCCEEDED":
        raise RelayError(f"the run `{execution['name']}` has finished: nothing to resume")
    # The local EventBridge forgets its rules when its world is closed; the machines are kept.
    _make_table(world)
    machine = str(execution["stateMachineArn"])
    _install_rule(world, machine.rpartition(":")[2], watch_name(machine))
    runs.redrive(execution["executionArn"])
    return Rehearsal(world, runs, execution["executionArn"], console, quiet)


def _install_rule(world: LocalWorld, pipeline: str, watch_arn: str) -> None:
    """EventBridge starts the watch when a job of the pipeline waits for capacity."""
    events, rule = world.client("events"), watch_name(pipeline)
    events.put_rule(Name=rule, EventPattern=json.dumps(watch_pattern(pipeline)), State="ENABLED")
    events.put_targets(Rule=rule, Targets=[{"Id": "watch", "Arn": watch_arn, "RoleArn": EVENTS_ROLE}])


def _make_table(world: LocalWorld) -> None:
    """The table of attempts, with the keys of the one that is deployed (`stacks/table.py`)."""
    tables = world.client("dynamodb")
    if SITE.table in tables.list_tables()["TableNames"]:
        return
    keys = {PARTITION_KEY: "HASH", SORT_KEY: "RANGE"}
    tables.create_table(
        TableName=SITE.table,
        BillingMode="PAY_PER_REQUEST",
        KeySchema=[{"AttributeName": name, "KeyType": kind} for name, kind in keys.items()],
        AttributeDefinitions=[{"AttributeName": name, "AttributeType": "S"} for name in keys],
    )


def _make_bucket(world: LocalWorld) -> None:
    s3 = world.client("s3")
    if SITE.bucket not in {bucket["Name"] for bucket in s3.list_buckets()["Buckets"]}:
        s3.create_bucket(Bucket=SITE.bucket)
