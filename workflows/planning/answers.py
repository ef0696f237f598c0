"""The plan of a pipeline: what it will cost, when it will be done, and how it should be run.

    on-demand once -> as written, and each setting changed alone -> the best of each together

What is recommended costs least among what is in time often enough. All variants are inputs of the same
machine and meet the same capacity, run by run.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from workflows.local.clock import EPOCH
from workflows.planning import comparison
from workflows.planning import questions as ask
from workflows.planning.advice import Advice, advise, best
from workflows.planning.assumptions import Assumption, Work
from workflows.planning.comparison import Compared
from workflows.planning.plan import Progress, Simulation, Summary, summary
from workflows.planning.virtual_runs import Figures, Scene, Variant
from workflows.specification.deadlines import due
from workflows.specification.pipeline import Pipeline


@dataclass(frozen=True)
class Plan:
    """Everything that a plan says.

    `sensitivity`: what was changed -> a summary of each value. `figures`: the single runs of what is written
    and of what is recommended. `comparison`: other rules on the same capacity, where it was asked for.
    """

    pipeline: str
    seed: int
    histories: str
    assumptions: tuple[Assumption, ...]
    deadline_hours: float | None
    as_written: Summary
    on_demand: Summary | None
    recommended: Summary
    advice: Advice
    sensitivity: Mapping[str, tuple[Summary, ...]]
    comparison: tuple[Compared, ...] = ()
    availability: Mapping[str, float] = field(default_factory=dict)
    figures: Mapping[str, tuple[Figures, ...]] = field(default_factory=dict)


def make_plan(
    pipeline: Pipeline,
    scene: Scene,
    work: Work,
    run_input: Mapping[str, Any],
    *,
    runs: int = 100,
    spot_share: float | None = None,
    workers: int | None = None,
    progress: Progress = lambda done, total: None,
) -> Plan:
    """The plan of the pipeline in that scene; with `spot_share`, other rules at that price beside it.

    `runs` of what is shown in detail, a third of it of each other variant. Raises RelayError for a run that
    would be refused at its start.
    """
    with Simulation(scene, workers=workers) as simulation:
        return _Planning(pipeline, simulation, scene, work, run_input, runs, spot_share, progress).plan()


class _Planning:
    def __init__(
        self,
        pipeline: Pipeline,
        simulation: Simulation,
        scene: Scene,
        work: Work,
        run_input: Mapping[str, Any],
        runs: int,
        spot_share: float | None,
        progress: Progress,
    ) -> None:
        self.pipeline, self.scene, self.work, self.base = pipeline, scene, work, dict(run_input)
        self.runs, self.few = runs, min(runs, max(4, runs // 3))
        self.simulation, self.spot_share, self.progress = simulation, spot_share, progress
        self.written = Variant(ask.AS_WRITTEN, self.base)
        self.figures: dict[str, list[Figures]] = {}
        self.summaries: dict[str, Summary] = {}

    def plan(self) -> Plan:
        without = self._without_spot()
        asked = self._asked(without)
        self._simulate(
            [(self.written, self.runs), *((each, self.few) for group in asked.values() for each in group)]
        )
        settings = {what: asked[what] for what in ask.SETTINGS if what in asked}
        recommended, changes = self._recommended(self._chosen(settings))
        written = self.summaries[ask.AS_WRITTEN]
        return Plan(
            pipeline=self.pipeline.name,
            seed=self.scene.seed,
            histories=self.scene.outlook.told,
            assumptions=self.work.told,
            deadline_hours=self._deadline_hours(self.base),
            as_written=written,
            on_demand=without,
            recommended=recommended,
            advice=advise(self.pipeline, self.base, written, without, recommended, changes),
            comparison=self._comparison(without),
            sensitivity={what: self._of(group) for what, group in asked.items() if what != ask.CLOCK},
            availability={kind: self.scene.outlook.share(kind, 1) for kind in self.scene.types},
            figures={each.name: tuple(self.figures[each.name]) for each in (written, recommended)},
        )

    # --------------------------------------------------------------------------------------------- rounds
    def _without_spot(self) -> Summary | None:
        """On-demand capacity is always there, so one run tells all; it also tells of a refusal early."""
        variant = ask.on_demand(self.pipeline, self.base)
        if variant is None:
            return None
        self._simulate([(variant, 1)])
        return self.summaries[variant.name]

    def _asked(self, without: Summary | None) -> dict[str, list[Variant]]:
        if not self.scene.types:
            return {}
        every = max((model.save_every for model in self.work.models.values() if model.stall), default=0.0)
        found = {
            ask.BUDGET: ask.budgets(self.pipeline, self.base),
            ask.PATIENCE: ask.patiences(self.pipeline, self.base),
            ask.LADDER: ask.ladders(self.pipeline, self.base),
            ask.CLOCK: [ask.greedy(self.pipeline, self.base)]
            if self._deadline(self.base) is not None
            else [],
            ask.INTERVAL: list(ask.intervals(self.base, every)) if every else [],
            ask.DEADLINE: ask.deadlines(self.pipeline, without.hours_mean, self.base) if without else [],
        }
        return {what: group for what, group in found.items() if group}

    def _chosen(self, settings: Mapping[str, Sequence[Variant]]) -> dict[str, Variant]:
        """For each setting that should be changed, the variant that changes it; judged on the same runs."""
        written = summary(ask.AS_WRITTEN, self.figures[ask.AS_WRITTEN][: self.few], self._deadline(self.base))
        found = {}
        for what, group in settings.items():
            better = best(written, [self.summaries[each.name] for each in group])
            if better is not written:
                found[what] = next(each for each in group if each.name == better.name)
        return found

    def _recommended(self, chosen: Mapping[str, Variant]) -> tuple[Summary, Mapping[str, Variant]]:
        """What to change, and what comes of it: each change alone and the counted ones together, in full.

        What helps alone may not help beside another: short waits use up a budget that long ones would not.
        """
        counted = {what: variant for what, variant in chosen.items() if what != ask.CLOCK}
        tried = [{what: variant} for what, variant in chosen.items()]
        if len(counted) > 1:
            tried.append(counted)
        variants = [ask.combined(self.base, f"try {n}", changes.values()) for n, changes in enumerate(tried)]
        self._simulate([(variant, self.runs) for variant in variants])
        written = self.summaries[ask.AS_WRITTEN]
        found = best(written, self._of(variants))
        if found is written:
            return written, {}
        self.figures[ask.RECOMMENDED] = self.figures[found.name]
        return replace(found, name=ask.RECOMMENDED), tried[int(found.name.removeprefix("try "))]

    def _comparison(self, without: Summary | None) -> tuple[Compared, ...]:
        if self.spot_share is None or without is None:
            return ()
        hours = self._deadline_hours(self.base) or comparison.USUAL_ROOM * without.hours_mean
        asked = comparison.variants(self.pipeline, self.base, f"{round(hours * 3600)}s")
        self._simulate([(variant, self.few) for variant in asked])
        rows = comparison.of_machine(self._of(asked), without)
        yardstick = comparison.replayed(self.pipeline, self.scene, hours * 3600, self.spot_share, self.few)
        return (*rows, *yardstick)

    # ---------------------------------------------------------------------------------------------- parts
    def _simulate(self, work: Sequence[tuple[Variant, int]]) -> None:
        found = self.simulation.run(work, self.progress)
        for variant, _ in work:
            runs = found[variant.name]
            self.figures[variant.name] = runs
            self.summaries[variant.name] = summary(variant.name, runs, self._deadline(variant.run_input))

    def _of(self, variants: Iterable[Variant]) -> tuple[Summary, ...]:
        return tuple(self.summaries[variant.name] for variant in variants)

    def _deadline(self, run_input: Mapping[str, Any]) -> float | None:
        """Seconds from the start; a time of day is that of the virtual clock's first day."""
        text = run_input.get("deadline", self.pipeline.deadline)
        return None if text is None else (due(text, EPOCH) - EPOCH).total_seconds()

    def _deadline_hours(self, run_input: Mapping[str, Any]) -> float | None:
        seconds = self._deadline(run_input)
        return None if seconds is None else seconds / 3600
