"""Many virtual runs, and what they say of cost and finish.

    variants x numbers -> processes -> figures -> summaries -> answers

Variants meet the same capacity number by number, so that what differs between them is the variant. The result
depends on the seed alone, not on how many processes shared the work.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass

import numpy as np

from workflows.planning.virtual_runs import Figures, Planner, Scene, Variant

Progress = Callable[[int, int], None]
LATE_ALLOWED = 0.05  # share of runs; what "in time" means in a recommendation
CHUNK = 8

_planner: Planner | None = None  # of this process


@dataclass(frozen=True)
class Summary:
    """What a variant's runs have in common. Hours and dollars; P50 and P95 over the runs that finished.

    `late`: share of the runs that were not done by the deadline, None without one; `late_low`, `late_high`:
    its 95 % interval (Wilson).
    """

    name: str
    runs: int
    finished: float
    usd_mean: float
    usd_p50: float
    usd_p95: float
    hours_mean: float
    hours_p50: float
    hours_p95: float
    attempts: float
    interruptions: float
    on_demand_attempts: float
    redone_hours: float
    cause: str  # of the runs that failed, the most frequent
    phase_hours: dict[str, float]
    late: float | None = None
    late_low: float | None = None
    late_high: float | None = None

    @property
    def in_time(self) -> bool:
        """Whether few enough runs are late, or fail."""
        return self.finished >= 1 - LATE_ALLOWED and (self.late is None or self.late <= LATE_ALLOWED)


class Simulation:
    """Runs variants of a scene in processes that are kept: forked, they share the parsed machine."""

    def __init__(self, scene: Scene, *, workers: int | None = None) -> None:
        self._scene, self._workers = scene, workers or os.cpu_count() or 1
        self._pool: ProcessPoolExecutor | None = None

    def __enter__(self) -> Simulation:
        return self

    def __exit__(self, *ended: object) -> None:
        if self._pool is not None:
            self._pool.shutdown(wait=ended[0] is None, cancel_futures=True)

    def run(
        self, work: Sequence[tuple[Variant, int]], progress: Progress = lambda done, total: None
    ) -> dict[str, list[Figures]]:
        """The figures of each variant (by name), for its first `int` runs.

        Raises RelayError for a run that is refused at its start.
        """
        tasks = [(variant, number) for variant, runs in work for number in range(runs)]
        found: dict[str, list[Figures]] = {variant.name: [] for variant, _ in work}
        results = self._spread(tasks)
        for done, ((variant, _), figures) in enumerate(zip(tasks, results, strict=True), start=1):
            found[variant.name].append(figures)
            progress(done, len(tasks))
        return found

    def _spread(self, tasks: Sequence[tuple[Variant, int]]) -> Iterable[Figures]:
        _open(self._scene)
        if self._workers == 1 or len(tasks) == 1:
            return map(_run, tasks)
        if self._pool is None:
            self._pool = ProcessPoolExecutor(self._workers, initializer=_open, initargs=(self._scene,))
        return self._pool.map(_run, tasks, chunksize=CHUNK)


def summary(name: str, runs: Sequence[Figures], deadline: float | None) -> Summary:
    """Sums up at least one run; `deadline` in seconds from the start."""
    done = [run for run in runs if run.done] or list(runs)
    usd = np.array([run.usd for run in done])
    hours = np.array([run.seconds for run in done]) / 3600
    late = None
    if deadline is not None:
        late = float(np.mean([not run.done or run.seconds > deadline for run in runs]))
    low, high = (None, None) if late is None else wilson(late, len(runs))
    return Summary(
        name=name,
        runs=len(runs),
        finished=float(np.mean([run.done for run in runs])),
        usd_mean=float(usd.mean()),
        usd_p50=float(np.percentile(usd, 50)),
        usd_p95=float(np.percentile(usd, 95)),
        hours_mean=float(hours.mean()),
        hours_p50=float(np.percentile(hours, 50)),
        hours_p95=float(np.percentile(hours, 95)),
        attempts=float(np.mean([run.attempts for run in runs])),
        interruptions=float(np.mean([run.interruptions for run in runs])),
        on_demand_attempts=float(np.mean([run.on_demand_attempts for run in runs])),
        cause=_cause(runs),
        redone_hours=float(np.mean([run.redone for run in runs])) / 3600,
        phase_hours={
            phase: float(np.mean([run.phases[phase] for run in runs])) / 3600 for phase in runs[0].phases
        },
        late=late,
        late_low=low,
        late_high=high,
    )


def _cause(runs: Sequence[Figures]) -> str:
    causes = Counter(run.cause for run in runs if not run.done)
    return causes.most_common(1)[0][0] if causes else ""


def wilson(share: float, count: int) -> tuple[float, float]:
    """The 95 % interval of a share seen in `count` trials (Wilson's score interval)."""
    z = 1.96
    middle = (share + z * z / (2 * count)) / (1 + z * z / count)
    half = z / (1 + z * z / count) * (share * (1 - share) / count + z * z / (4 * count * count)) ** 0.5
    return max(0.0, middle - half), min(1.0, middle + half)


def _open(scene: Scene) -> None:
    """A process that was forked has the planner of the one that it comes from."""
    global _planner
    if _planner is None or _planner.scene is not scene:
        _planner = Planner(scene)


def _run(task: tuple[Variant, int]) -> Figures:
    assert _planner is not None
    return _planner.run(*task)
