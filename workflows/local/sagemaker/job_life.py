"""The life of one job, the same in virtual and in real time.

    Starting -> Downloading -> Training -> [Interrupted -> Starting -> Downloading -> Training]*
             -> Uploading -> Completed | Failed | Stopped

A stop and a time limit lead through Stopping, SIGTERM, 120 s, SIGKILL and Uploading to Stopped (AWS.md
2.1). A job that loses instances is interrupted as a whole, however many it has (AWS.md 2.4). MaxRuntime
counts the seconds on instances (AWS.md 3.1), MaxWait everything since the creation (AWS.md 3.2).
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Generator
from typing import Any, NamedTuple

import simpy

from workflows.local.capacity import Demand, Market, Supply
from workflows.local.clock import Clock
from workflows.local.events import Bell
from workflows.local.sagemaker.job_records import INTERNAL_ERROR, Record
from workflows.local.sagemaker.preferences import FirstOf
from workflows.local.sagemaker.refusals import DEFAULT_MAX_RUNTIME
from workflows.local.sagemaker.workload import Exit, LastUpload, Order, Work, Workload

log = logging.getLogger(__name__)

Steps = Generator[simpy.Event, Any, Any]

# The messages of transitions (AWS.md 1.7).
LAUNCHING = "Launching requested ML instances."
NO_CAPACITY = "Insufficient capacity error from EC2 while launching instances, retrying!"
PREPARING = "Preparing the instances for training."


class End(NamedTuple):
    """The final statuses of a job, and its FailureReason."""

    status: str
    secondary: str
    reason: str | None = None


class Pace(NamedTuple):
    """Machine seconds that the platform itself takes."""

    launch: float = 60.0
    """From capacity to prepared instances (AWS.md 1.9)."""
    grace: float = 120.0
    """From SIGTERM to SIGKILL (AWS.md 2.1)."""
    last_upload: LastUpload = "sent"
    late: float = 180.0
    """From Stopped to a last upload that is late: the next attempt has restored by then (60 s of back-off and
    60 s of launch)."""


class Life:
    """Leads one job from its creation to its end."""

    def __init__(
        self,
        clock: Clock,
        record: Record,
        order: Order,
        supply: Supply,
        workload: Workload,
        pace: Pace,
        changed: Callable[[Record], None],
    ) -> None:
        self._clock = clock
        self._env = clock.env
        self.record = record
        self.order = order
        self._supply = supply
        self._workload = workload
        self._pace = pace
        self._changed = changed
        self._stop = self._env.event()
        self._limit = self._env.event()
        self._bell = Bell(self._env)  # rings when there may be something to do
        self._bell.tie(self._stop, self._limit)
        self._aboard_since: float | None = None
        self._out_of_time: simpy.Event | None = None  # MaxRuntime is over, while on the instances
        self._seconds = 0.0
        self._kept = False  # the instances, for an upload after the end
        condition = order.request.get("StoppingCondition", {})
        self._max_runtime = float(condition.get("MaxRuntimeInSeconds", DEFAULT_MAX_RUNTIME))
        self._max_wait = condition.get("MaxWaitTimeInSeconds")
        self._enter("Starting")

    def stop(self) -> None:
        """Ask for the end (StopTrainingJob); a second request changes nothing."""
        if not self._stop.triggered:
            self._stop.succeed()
            if self.record.status == "InProgress":
                self._enter("Stopping", "Stopping")

    def run(self) -> Steps:
        """The process of the whole life; whatever happens, it ends with a terminal status."""
        if self._max_wait is not None:
            self._env.timeout(float(self._max_wait)).callbacks.append(self._expire)
        try:
            end = None
            while end is None:
                end = yield from self._try_once()
        except Exception:
            log.exception("job %s: the local platform failed", self.record.name)
            end = End("Failed", "Failed", INTERNAL_ERROR)
        self._finish(end)

    # One set of instances

    def _try_once(self) -> Steps:
        """Goes from the wait for capacity to an End, or to None when the capacity was taken away."""
        granted = self._supply.granted()
        self._message(LAUNCHING if granted.triggered else NO_CAPACITY)
        cut = yield from self._until(granted)
        if cut:
            return self._stopped(cut)
        if granted.value:
            return End("Failed", "Failed", str(granted.value))
        if isinstance(self._supply, FirstOf):
            self.order = self.order.selecting(*self._supply.selected)
            self.record.request = self.order.request
        self._message(LAUNCHING)
        work = self._workload.open(self.order)
        taken = self._supply.taken(work)
        self._bell.tie(taken)
        try:
            cut = yield from self._until(self._env.timeout(self._pace.launch), taken)
            if cut == "taken":  # not yet on the instances: still Starting, nothing was interrupted
                return None
            if cut:
                return self._stopped(cut)
            self._message(PREPARING)
            self._aboard_since = self._env.now
            self._out_of_time = self._env.timeout(max(0.0, self._max_runtime - self._seconds))
            self._bell.tie(self._out_of_time)
            self.record.started = self.record.started or self._clock.now()
            end = yield from self._aboard(work, taken)
            return end
        finally:
            self._leave()
            # The output goes on where it was before an interruption: what is read last counts.
            self.record.metrics = [each.show() for each in work.metrics] or self.record.metrics
            if not self._kept:
                work.close()

    def _aboard(self, work: Work, taken: simpy.Event) -> Steps:
        """Goes through download, training and upload on the instances."""
        self._enter("Downloading")
        downloaded = work.download()
        cut = yield from self._until(downloaded, taken)
        if cut is None and downloaded.value:
            return End("Failed", "Failed", _cut(downloaded.value))
        if cut:
            yield work.lose() if cut == "taken" else work.kill()
            return self._interrupted() if cut == "taken" else self._stopped(cut)
        self._enter("Training")
        trained = work.train()
        cut = yield from self._until(trained, taken)
        if cut is None and taken.triggered:
            # Noticed late: the capacity went away in the midst of work that had ended when it was looked at.
            cut = "taken"
        if cut == "taken":
            yield from self._lose(work, trained, float(taken.value or 0.0))
            return self._interrupted()
        if cut:
            yield from self._wind_down(work, trained, cut)
        ended: Exit | None = trained.value if cut is None else None
        end = self._stopped(cut) if ended is None else self._verdict(ended)
        if end.status == "Failed":
            self.record.ended = self._clock.now()  # "when SageMaker detects a job failure"
            self._leave()
        if ended is not None and ended.fault:
            return end
        return (yield from self._upload(work, end, cut))

    def _upload(self, work: Work, end: End, cut: str | None) -> Steps:
        """Uploads what is left; an ended container's artifacts even when it failed."""
        if cut and self._pace.last_upload == "late":
            self._kept = True
            self._env.process(self._upload_late(work))
            return end
        self._enter("Uploading", self.record.status)
        uploaded = work.upload(checkpoints=not cut or self._pace.last_upload == "sent")
        yield uploaded
        if uploaded.value and end.status != "Failed":
            return End("Failed", "Failed", _cut(uploaded.value))
        if self._stop.triggered and end.status == "Completed":  # asked for while uploading
            return self._stopped("stop")
        return end

    def _wind_down(self, work: Work, trained: simpy.Event, cut: str) -> Steps:
        if cut != "stop":
            self._enter("Stopping", "Stopping")
        if self._pace.last_upload != "sent":
            work.hold()
        work.terminate()
        yield trained | self._env.timeout(self._pace.grace)
        if not trained.triggered:
            yield work.kill()

    def _upload_late(self, work: Work) -> Steps:
        yield self._env.timeout(self._pace.late)
        yield work.upload()
        work.close()

    def _lose(self, work: Work, trained: simpy.Event, notice: float) -> Steps:
        if notice > 0:  # nothing promises a signal on a reclaim; a scenario may give one
            work.terminate()
            yield trained | self._env.timeout(notice)
        yield work.lose()

    def _interrupted(self) -> End | None:
        self._leave()
        if self._stop.triggered:
            return self._stopped("stop")
        self._enter("Interrupted")
        self._enter("Starting")
        return None

    def _verdict(self, ended: Exit) -> End:
        self.record.exit_message = ended.message or None
        if ended.fault:
            return End("Failed", "Failed", _cut(ended.fault))
        if ended.code == 0:
            return End("Completed", "Completed")
        # The form is that of AWS.md 6.3. What is cut when the text gets too long is not known (AWS.md 6.4):
        # here it is the end, so that the code may be lost.
        text = ended.failure[:1024]
        return End("Failed", "Failed", _cut(f"AlgorithmError: {text}, exit code: {ended.code}"))

    # Waiting

    def _until(self, phase: simpy.Event, taken: simpy.Event | None = None) -> Steps:
        """Waits for the end of a phase; returns None, or the End that cut it short."""
        self._bell.tie(phase)
        while True:
            if self._stop.triggered:  # first: a stopping job never goes back to being in progress
                return "stop"
            if phase.processed:
                return None
            if self._limit.processed:
                return "max wait"
            if self._out_of_time is not None and self._out_of_time.processed:
                return "max runtime"
            if taken is not None and taken.processed:
                return "taken"
            yield self._bell.rung()

    def _expire(self, _passed: simpy.Event) -> None:
        self._limit.succeed()

    def _stopped(self, cut: str) -> End:
        if cut != "stop" and self.record.status != "Stopping":
            self._enter("Stopping", "Stopping")
        secondary = {
            "stop": "Stopped",
            "max wait": "MaxWaitTimeExceeded",
            "max runtime": "MaxRuntimeExceeded",
        }[cut]
        return End("Stopped", secondary)

    # The record

    def _leave(self) -> None:
        if self._aboard_since is not None:
            self._seconds += self._env.now - self._aboard_since
            self._aboard_since = self._out_of_time = None

    def _enter(self, secondary: str, status: str = "InProgress") -> None:
        self.record.enter(self._clock.now(), status, secondary)
        self._changed(self.record)

    def _message(self, message: str) -> None:
        if self.record.secondary == "Starting":
            self.record.say(message)

    def _finish(self, end: End) -> None:
        record = self.record
        if record.started is not None:
            record.seconds = self._seconds
            record.ended = record.ended or self._clock.now()
        record.reason = end.reason
        record.enter(self._clock.now(), end.status, end.secondary)
        record.close(self._clock.now())
        if end.status != "Failed" and record.started and record.kind == "training":
            record.artifacts = artifacts(self.order)
        self._changed(record)


def artifacts(order: Order) -> str:
    """Returns where a training job's model goes: `<S3OutputPath>/<job name>/output/model.tar.gz`."""
    path = str(order.request["OutputDataConfig"]["S3OutputPath"]).rstrip("/")
    return f"{path}/{order.name}/output/model.tar.gz"


def demands(order: Order) -> list[Demand]:
    """Returns what the job asks of the capacity: one demand, or one for each of its preferences."""
    market: Market = "spot" if order.spot else "on-demand"
    return [Demand(order.stage, market, *instances, order.trial) for instances in order.instances]


def _cut(reason: object) -> str:
    # FailureReason is at most 1024 characters (service model).
    return str(reason)[:1024]
