"""Stages -> one state machine: sequence and Parallel, the run's variables, the run's output.

as written -> start -> can it start -> stage -> ... -> side by side: stage | stage -> ... -> run: done
                            |    |
                            |    +-> of a schedule: take the schedule -> stage -> ..., or dropped
                            +-> refused
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from workflows.jobs.jsonata_text import jsonata
from workflows.jobs.site import Materials, Site
from workflows.ledger.vocabulary import CANNOT_START
from workflows.policy import decisions
from workflows.policy.prices import PriceBook, load_prices
from workflows.specification.aws_limits import LONGEST_STATE_NAME
from workflows.specification.pipeline import Pipeline
from workflows.specification.run_input import SCHEDULED, input_schema
from workflows.specification.settings import PlacedRung
from workflows.specification.stages import GateStage
from workflows.state_machine import language as asl
from workflows.state_machine.arrangement import SideBySide, Steps, arrange
from workflows.state_machine.holds import Scope, spent_in
from workflows.state_machine.kinds import states_of
from workflows.state_machine.schedule_lock import ASKED, schedule_states
from workflows.state_machine.stage import Place, States
from workflows.state_machine.start import run_variable, written

NO_MATERIALS = Materials("", {})  # of a stage that builds on nothing, such as a gate


def compile_pipeline(
    pipeline: Pipeline, site: Site, materials: Mapping[str, Materials], prices: PriceBook | None = None
) -> dict[str, Any]:
    """The definition of the pipeline's state machine.

    `materials`: for each stage its image URIs, code prefix and uploaded inputs; `prices`: what an hour costs,
    for the ledger and the spending limit (the snapshot's otherwise). Pure: the same input gives the same
    text, in every world.
    """
    return asl.machine(
        _Compiler(pipeline, site, materials, prices or load_prices()).whole(),
        comment=_comment(pipeline),
    )


def _comment(pipeline: Pipeline) -> str:
    """What the console shows of the machine; the input's fields are those of the one schema."""
    what = pipeline.description or f"{pipeline.name}, compiled by Relay"
    fields = [name for name in input_schema(pipeline)["properties"] if name != SCHEDULED]
    start = f'Start it with {{}}, or with any of {", ".join(fields)}, such as {{"deadline": "36h"}}'
    return f"{what.rstrip('. ')}. {start}"


class _Compiler:
    """Walks the arrangement once; a scope is the machine itself or one branch of a Parallel."""

    def __init__(
        self, pipeline: Pipeline, site: Site, materials: Mapping[str, Materials], prices: PriceBook
    ) -> None:
        self.pipeline, self.site, self.materials, self.prices = pipeline, site, materials, prices
        self.scopes = 0

    def whole(self) -> Any:
        """The first state of the machine, everything linked behind it."""
        steps = arrange(self.pipeline)
        data = {
            "written": written(self.pipeline, self.materials, self.prices, steps),
            "policy": decisions.policy_data(),
            "done": {},
        }
        # What it leaves is its input: that of the run.
        first = asl.Pass("as written", assign=data)
        start = asl.Pass(
            "start", assign={"run": jsonata(run_variable(self.pipeline, self.prices))}, output={}
        )
        first.next(start)
        refused = asl.Fail("refused", error=CANNOT_START, cause=jsonata("$run.problems"))
        take, held = schedule_states(self.pipeline.name, self.site)
        begin = (
            asl.Choice("can it start", output={}).when("$exists($run.problems)", refused).when(ASKED, take)
        )
        start.next(begin)
        end = asl.Succeed("run: done", output={"run": jsonata("$run.id"), "stages": jsonata("$done")})
        for last in self._link(steps, Scope("done", "$run.budget"), {}, [begin, held]):
            last.next(end)
        return first

    def _link(self, steps: Steps, scope: Scope, known: Mapping[str, str], lasts: list[Any]) -> list[Any]:
        """Appends the steps to the states `lasts`; returns the states in which they end.

        `known`: finished stage -> variable that holds what it left. What a stage needs before its first state
        is assigned by those before it, so that it costs no transition.
        """
        known = dict(known)
        for step in steps.steps:
            if isinstance(step, SideBySide):
                parallel = self._parallel(step, scope, known)
                before, entry, exits = {}, parallel, [parallel]
                known |= dict.fromkeys(step.names(), scope.results)
            else:
                states = self._states(step, scope, known)
                before, entry, exits = states.before, states.entry, states.exits
                known[step] = scope.results
            for last in lasts:
                asl.assign_more(last, before)
                last.next(entry)
            lasts = exits
        return lasts

    def _states(self, name: str, scope: Scope, known: Mapping[str, str]) -> States:
        stage = self.pipeline.stage(name)
        if stage.has_trials:
            self.scopes += 1  # its trials have variables of their own
        return states_of(stage, self._place(name, scope, known))

    def _place(self, name: str, scope: Scope, known: Mapping[str, str]) -> Place:
        materials = replace(self.materials.get(name, NO_MATERIALS), results=dict(known))
        gates = self._gates(name, known)
        return Place(self.pipeline, self.site, materials, scope, gates, self.scopes)

    def _gates(self, name: str, known: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
        """(name, variable that holds its result) of every gate before that stage."""
        before = self.pipeline.before(name)
        gates = [stage.name for stage in self.pipeline.of_kind(GateStage)]
        return tuple((gate, known[gate]) for gate in gates if gate in before)

    def _parallel(self, side: SideBySide, outer: Scope, known: Mapping[str, str]) -> Any:
        """Branches may read outer variables but not assign them, so each has its own results to hand over.

        Nor do they see what the others spend: each gets its share of what is left of the spending limit.
        """
        joined = f"$merge($append([${outer.results}], $states.result))"
        parallel = asl.Parallel(
            _title("side by side: ", side.names()), assign={outer.results: jsonata(joined)}, output={}
        )
        shares = self._shares(side)
        for branch, share in zip(side.branches, shares, strict=True):
            self.scopes += 1
            scope = Scope(f"done_{self.scopes}", f"$purse_{self.scopes}")
            names = list(branch.names())
            purse = f"$exists($run.budget) ? ({outer.purse} - {spent_in(outer)}) * {share:.6f} : 0"
            own = {scope.results: {}, scope.purse.removeprefix("$"): jsonata(purse)}
            start = asl.Pass(_title("branch: ", names), assign=own, output={})
            end = asl.Pass(_title("branch done: ", names), output=jsonata(f"${scope.results}"))
            for last in self._link(branch, scope, known, [start]):
                last.next(end)
            parallel.add_branch(start)
        return parallel

    def _shares(self, side: SideBySide) -> list[float]:
        """How the money is shared among branches: by what they could cost at most."""
        weights = [sum(self._worst(name) for name in branch.names()) for branch in side.branches]
        whole = sum(weights)
        return [weight / whole if whole else 1 / len(weights) for weight in weights]

    def _worst(self, name: str) -> float:
        """Dollars of one attempt that runs into its limit, for each trial of a sweep; 0 without a job."""
        found = [stage for stage in self.pipeline.jobs if stage.name == name]
        return sum(
            max(self._price(rung, stage.limit.total_seconds()) for rung in stage.rungs()) * stage.trial_count
            for stage in found
        )

    def _price(self, rung: PlacedRung, seconds: float) -> float:
        return self.prices.cost(rung.type, rung.count, "on-demand", seconds) or 0.0


def _title(phrase: str, names: Iterable[str]) -> str:
    text = phrase + ", ".join(names)
    return text if len(text) <= LONGEST_STATE_NAME else text[: LONGEST_STATE_NAME - 4] + " ..."
