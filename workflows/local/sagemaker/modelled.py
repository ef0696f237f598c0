"""Models a job's work in virtual time: no process runs, but all that one would leave behind is there.

    restore -> [save_every seconds of work -> stall]* -> the rest -> stall -> complete.json

progress.json and complete.json are written into the checkpoint prefix as the real library does. What stands
in progress.json while a job works is worked out when somebody reads it, so that a save is no event.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Any

import orjson
import simpy

from workflows.local.clock import Clock
from workflows.local.events import happen
from workflows.local.objects import Written
from workflows.local.sagemaker.job_life import artifacts
from workflows.local.sagemaker.metrics import Metric, defined
from workflows.local.sagemaker.work_model import Failure, WorkModel
from workflows.local.sagemaker.workload import JSON, Exit, Order, s3_location, said_of

if TYPE_CHECKING:
    from workflows.local.objects import MemoryObjects, Objects, Read

Events = Generator[simpy.Event, Any, None]


class ModelledWorkload:
    """Works through models: `models` by stage or trial of a sweep (`tune/3`), `default` for the others."""

    def __init__(
        self,
        clock: Clock,
        objects: MemoryObjects,
        models: Mapping[str, WorkModel],
        default: WorkModel | None = None,
    ) -> None:
        self.clock = clock
        self.objects: Objects = objects
        self.memory = objects
        self._models = dict(models)
        self._default = default or WorkModel(seconds=600.0)
        self._jobs: dict[tuple[str, str], list[str]] = {}
        self.redone = 0.0  # seconds of work that were done and lost, of all jobs

    def refusal(self, operation: str, request: Mapping[str, Any]) -> str | None:
        """Refuses nothing: a model stands for any job."""
        return None

    def open(self, order: Order) -> ModelledWork:
        """The work of one job; the n-th job of a stage, or of a trial, takes the n-th of its failures."""
        model = said_of(self._models, order.stage, order.trial) or self._default
        failure = self._failure(order, model.failures) if model.failures else None
        return ModelledWork(self, order, model.on(order.instances[0][0]), failure)

    def _failure(self, order: Order, failures: Sequence[Failure | None]) -> Failure | None:
        names = self._jobs.setdefault((order.stage, order.trial), [])
        if order.name not in names:
            names.append(order.name)
        index = names.index(order.name)
        return failures[index] if index < len(failures) else None


class ModelledWork:
    """One job's work on one set of instances."""

    def __init__(
        self, workload: ModelledWorkload, order: Order, model: WorkModel, failure: Failure | None
    ) -> None:
        self._workload = workload
        self._clock = workload.clock
        self._env = workload.clock.env
        self._objects = workload.memory
        self._order = order
        self._model = model
        self._exit = self._env.event()
        self._told = False  # to end before the work is done
        self._held = False  # what it saves now waits for the last upload
        self._unsent: dict[str, _Report] = {}
        self._measured: list[Metric] = []
        self._resumed = 0
        self._interruptions = 0
        self._began = 0.0
        self._halted: float | None = None
        self._stuck = bool(failure and failure.stuck)
        self._failing = None if self._stuck else failure
        self.started = self._env.event()
        parameters = order.request.get("HyperParameters", {})
        self._values = {
            name: value(parameters) if callable(value) else value for name, value in model.metrics.items()
        }

    # What the life cycle calls

    def download(self) -> simpy.Event:
        """Takes the step of the newest checkpoint from progress.json."""
        previous = self._last_report()
        if previous is not None:
            self._resumed = previous.saved
            self._interruptions = previous.interruptions + 1
        return self._env.timeout(self._model.download)

    def train(self) -> simpy.Event:
        """Work until done, failed, or told to end."""
        self._began = self._env.now
        if self._model.live and not self._stuck:
            self._write("progress.json", self._last_save)
        else:
            self._report(self._resumed, self._resumed)
        happen(self.started)
        self._work()
        return self._exit

    def reached(self, fraction: float) -> simpy.Event:
        """Happens at the very second at which that share of the stage's work is done."""
        event = self._env.event()
        self._env.process(self._reach(fraction, event))
        return event

    def terminate(self) -> None:
        """Saves and exits with 143, exits at once, or carries on, as the model says."""
        if self._model.on_sigterm != "ignore":
            self._tell_to_end(Exit(143), save=self._model.on_sigterm == "save")

    def kill(self) -> simpy.Event:
        """Ends at once; only the last published checkpoint is left."""
        self._tell_to_end(Exit(137))
        return happen(self._env.event())

    def lose(self) -> simpy.Event:
        """Ends at once, as `kill` does: work that was not published is lost."""
        return self.kill()

    def hold(self) -> None:
        """Publishes no more checkpoints until `upload`."""
        self._held = True
        if self.started.triggered and self._model.live and not self._stuck:
            # What S3 has now, it keeps: nothing that is saved later shows.
            written = self._last_save()
            self._write("progress.json", lambda: written)

    def upload(self, *, checkpoints: bool = True) -> simpy.Event:
        """Uploads the model, or the outputs, in `upload` seconds; the objects are empty."""
        for name, report in self._unsent.items() if checkpoints else ():
            self._send(name, report)
        for uri in self._uploads() if self._model.outputs else ():
            self._objects.put(*s3_location(uri), b"")
        return self._env.timeout(self._model.upload)

    def _uploads(self) -> list[str]:
        if self._order.kind == "training":
            return [artifacts(self._order)]
        ended: Exit | None = self._exit.value if self._exit.triggered else None
        if ended is None or ended.code != 0:
            return []
        outputs = self._order.request.get("ProcessingOutputConfig", {}).get("Outputs", [])
        return [f"{output['S3Output']['S3Uri'].rstrip('/')}/data" for output in outputs]

    def close(self) -> None:
        """Does nothing, because a model holds nothing."""

    @property
    def metrics(self) -> list[Metric]:
        """Returns the metrics of the model that the request defines."""
        return self._measured if self._exit.triggered else self._measure()

    # The model

    def _work(self, _passed: simpy.Event | None = None) -> None:
        """Work until the end, unless told to end before; a process would take twice as many events."""
        if self._told:
            return
        failing, end = self._failing, self._seconds_to_end()
        left = (min(end, failing.after) if failing else end) - self._elapsed()
        # A microsecond of slack: a shorter pause may be lost in the clock's float and never end.
        if left > 1e-6:
            self._env.timeout(left).callbacks.append(self._work)
        elif failing:
            self._record()
            self._leave(Exit(failing.exit_code, failing.text, fault=failing.fault))
        else:
            steps = self._model.steps
            self._report(steps, self._resumed if self._stuck else steps)
            self._report(steps, self._resumed if self._stuck else steps, "complete.json")
            self._leave(Exit(0))

    def _leave(self, ended: Exit) -> None:
        self._measured = self._measure()
        happen(self._exit, ended)

    def _measure(self) -> list[Metric]:
        """Writes a line of metrics once a step is finished."""
        if not self._values or not self.started.triggered or self._position()[0] == 0:
            return []
        names = [name for name in defined(self._order.request) if name in self._values]
        return [Metric(name, self._values[name], self._clock.now()) for name in names]

    def _tell_to_end(self, how: Exit, *, save: bool = False) -> None:
        """Tells the work to end; only the first call counts, and only during the training."""
        if self._told or self._exit.triggered:
            return
        self._told = True
        if not self.started.triggered:
            return
        step, saved = self._position()
        self._halted = self._elapsed()
        if save and not self._stuck:
            stall = self._env.timeout(self._model.stall)
            stall.callbacks.append(lambda _passed: self._ended(step, step, how))
        else:
            self._ended(step, saved, how)

    def _ended(self, step: int, saved: int, how: Exit) -> None:
        self._workload.redone += (step - saved) * self._model.seconds / self._model.steps
        self._report(step, saved)
        self._leave(how)

    def _reach(self, fraction: float, event: simpy.Event) -> Events:
        if not self.started.processed:
            yield self.started
        work = max(0.0, fraction * self._model.seconds - self._work_before())
        # One stall for each save before that point; at a save's own second the save is not over.
        saves = max(0, math.ceil(work / self._model.save_every) - 1) if not self._stuck else 0
        due = self._model.restore + work + saves * self._model.stall
        yield self._env.timeout(max(0.0, due - self._elapsed()))
        event.succeed()

    def _elapsed(self) -> float:
        return float(self._env.now) - self._began

    def _work_before(self) -> float:
        return self._resumed / self._model.steps * self._model.seconds

    def _seconds_to_end(self) -> float:
        left = self._model.seconds - self._work_before()
        if self._stuck:
            return self._model.restore + left
        saves = max(1, math.ceil(left / self._model.save_every - 1e-9))
        return self._model.restore + left + saves * self._model.stall

    def _cycle(self) -> tuple[int, float]:
        """Returns the number of whole save cycles done, and the seconds into the present one."""
        cycle = self._model.save_every + self._model.stall
        elapsed = self._elapsed() if self._halted is None else self._halted
        since = max(0.0, elapsed - self._model.restore)
        whole = math.floor(since / cycle + 1e-9)
        return whole, max(0.0, since - whole * cycle)

    def _position(self) -> tuple[int, int]:
        """Returns the steps finished, and the step of the newest published checkpoint."""
        whole, into = (0, self._elapsed() - self._model.restore) if self._stuck else self._cycle()
        every, per_step = self._model.save_every, self._model.seconds / self._model.steps
        into = max(0.0, into) if self._stuck else min(into, every)
        done = self._resumed + math.floor((whole * every + into) / per_step + 1e-9)
        saved = self._resumed + math.floor(whole * every / per_step + 1e-9)
        return min(done, self._model.steps), min(saved, self._model.steps)

    def _record(self) -> None:
        self._report(*self._position())

    # The files

    def _last_save(self) -> Written:
        """Returns progress.json as the last save, or the start of the training, left it."""
        model = self._model
        whole, _ = self._cycle()
        after = model.restore + whole * (model.save_every + model.stall) if whole else 0.0
        done = math.floor(whole * model.save_every / (model.seconds / model.steps) + 1e-9)
        step = min(self._resumed + done, model.steps)
        moment = self._clock.at(self._began + after)
        return Written(self._body(step, step, moment), moment)

    def _report(self, step: int, saved: int, name: str = "progress.json") -> None:
        now = self._clock.now()
        body = partial(self._body, step, saved, now)
        report = _Report(saved, self._interruptions, now, body)
        if self._held:
            self._unsent[name] = report
        else:
            self._write(name, report)

    def _send(self, name: str, report: _Report) -> None:
        """Publishes what was held back; if another attempt writes by now, until its next save only."""
        if self._order.checkpoints is None:
            return
        bucket, prefix = self._order.checkpoints
        try:
            other: Read = self._objects.followed(bucket, prefix + name)
        except KeyError:
            other = report
        sent = self._clock.now()

        def newest() -> Written:
            written = other()
            return written if written.modified > sent else report()

        self._write(name, newest)

    def _write(self, name: str, written: Read) -> None:
        if self._order.checkpoints is not None:
            bucket, prefix = self._order.checkpoints
            self._objects.follow(bucket, prefix + name, written)

    def _body(self, step: int, saved: int, moment: datetime) -> bytes:
        model, done = self._model, step - self._resumed
        age = (moment - self._clock.epoch).total_seconds() - self._began
        body: JSON = {
            "format": 1,
            "step": step,
            "saved_step": saved,
            "resumed_step": self._resumed,
            "total": model.steps,
            "fraction": step / model.steps,
            # As the real library measures it: the pace so far, its stalls included; unknown before a step.
            "seconds_left": (model.steps - step) * age / done if done > 0 else None,
            "stall_seconds": model.stall,
            "latency_seconds": model.stall,
            "interruptions": self._interruptions,
            "metrics": dict(self._values),
            "time": moment.timestamp(),
        }
        return orjson.dumps(body)

    def _last_report(self) -> _Report | None:
        if self._order.checkpoints is None:
            return None
        bucket, prefix = self._order.checkpoints
        try:
            found = self._objects.followed(bucket, prefix + "progress.json")
        except KeyError:
            return None
        return found if isinstance(found, _Report) else _Report.of(found())


class _Report:
    """The last progress.json of one work: the next work needs two of its numbers, others seldom read it."""

    def __init__(self, saved: int, interruptions: int, modified: datetime, body: Callable[[], bytes]) -> None:
        self.saved, self.interruptions = saved, interruptions
        self._modified, self._body = modified, body

    @classmethod
    def of(cls, written: Written) -> _Report:
        """Makes the report of a progress.json that something else wrote."""
        content: JSON = orjson.loads(written.data)
        numbers = int(content["saved_step"]), int(content["interruptions"])
        return cls(*numbers, written.modified, lambda: written.data)

    def __call__(self) -> Written:
        """Returns the object in S3, which is made when it is read."""
        return Written(self._body(), self._modified)
