"""The sub-graph of a sweep: the states of one training, in a Map over its trials.

    is it asked for -> try all -> did enough succeed -> best trial
         |                |              |
         v           (each trial)        +-> too few succeeded, redrive to go on -> try all
  not asked for

Each trial has what a stage has: spot, interruptions, its own budgets, its own checkpoint prefix. A large
sweep is a Distributed Map, whose trials are executions of their own: they have a history of their own, and
see no variable of the run, so they are handed what they need, and hand over what `trial_result.py` says.
"""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from workflows.jobs.job import parameters
from workflows.jobs.job_names import CONTENT
from workflows.jobs.jsonata_text import fields, jsonata
from workflows.jobs.variables import settings
from workflows.ledger.vocabulary import (
    BEST_TRIAL,
    DID_ENOUGH_SUCCEED,
    IS_IT_ASKED_FOR,
    NOT_ASKED_FOR,
    TOO_FEW_SUCCEEDED,
    TRIAL_FAILED,
    TRY_ALL,
    title,
    variable,
)
from workflows.policy.outcomes import Hold
from workflows.specification.stages import SweepStage
from workflows.state_machine import expressions as x
from workflows.state_machine import language as asl
from workflows.state_machine.holds import Scope, spent_in, unwanted
from workflows.state_machine.retries import busy
from workflows.state_machine.stage import (
    NOTHING,
    SKIPPED,
    Place,
    StageStates,
    States,
    fails_until_redriven,
    leave,
)
from workflows.state_machine.tasks import sdk_task
from workflows.state_machine.trial_result import asked_of_its_job, handed_over, handed_over_failed
from workflows.state_machine.worst_case import distributed


def sweep_states(stage: SweepStage, place: Place) -> States:
    """The states of a sweep; `place.number` tells the variables of its trials from those of others."""
    return _Sweep(stage, place).states()


class _Sweep:
    def __init__(self, stage: SweepStage, place: Place) -> None:
        self.stage, self.place = stage, place
        number = self.number = place.number
        self.tried = f"trials_{number}"
        self.before = f"ledger_{number}"  # of the trials before a redrive
        self.trial_scope = Scope(f"done_{number}", f"$purse_{number}")
        self.distributed = distributed(stage)
        self.count = stage.trial_count

    def states(self) -> States:
        """The sweep's states, linked."""
        left_out = unwanted(self.stage.name, self.place.gates)
        skipped = asl.Pass(
            self._title(NOT_ASKED_FOR),
            assign=self._leave(json.dumps({**NOTHING, "skipped": SKIPPED})),
            output={},
        )
        try_all = self._map()
        failed = fails_until_redriven(
            self._title(TOO_FEW_SUCCEEDED),
            self.place.site,
            redriven=f"{x.REDRIVES} > $redriven_{self.number}",
            message=self._message(),
            # What has been tried has been paid, also what is tried again.
            assign={self.before: jsonata(f"[${self.before}, ${self.tried}.ledger]")},
        )
        failed.next(try_all)
        best = self._best_trial()
        enough = asl.Choice(self._title(DID_ENOUGH_SUCCEED), output={}).when(self._enough(), best)
        try_all.next(enough.otherwise(failed))
        entry = asl.Choice(self._title(IS_IT_ASKED_FOR), output={}).when(left_out, skipped).otherwise(try_all)
        return States({self.before: []}, entry, [best, skipped])

    # ------------------------------------------------------------------------------------------- the trials
    def _map(self) -> Any:
        """The Map over the trials; after a redrive, those that are done are found by what they compute."""
        trials = [
            {"trial": i, "parameters": parameters(p)} for i, p in enumerate(self.stage.trial_parameters())
        ]
        item = {
            "trial": jsonata("$states.context.Map.Item.Value.trial"),
            "parameters": jsonata("$states.context.Map.Item.Value.parameters"),
            "redrives": jsonata(x.REDRIVES),
        }
        if self.distributed:
            item |= {name: jsonata(text) for name, text in self._needed().items()}
            item["purse"] = jsonata(self._purse())
        return asl.Map(
            self._title(TRY_ALL),
            items=trials,
            item_selector=item,
            iterator=self._trial(),
            distributed=self.distributed,
            max_concurrency=self.stage.concurrency,
            assign={self.tried: jsonata("$states.result"), f"redriven_{self.number}": jsonata(x.REDRIVES)},
            output={},
        )

    def _needed(self) -> dict[str, str]:
        """The variables that a trial in an execution of its own has to be handed; of what other stages left
        only what its inputs may name, because its own input must not be larger than a variable."""
        outputs = "$each(${0}, function($v, $k) {{ {{$k: {{'outputs': $v.outputs}}}} }})"
        results = sorted(set(self.place.materials.results.values()))
        handed = {name: f"$merge([{{}}, {outputs.format(name)}])" for name in results}
        return {"run": "$run", "policy": "$policy", **handed}

    def _trial(self) -> Any:
        stage, scope = self.stage, self.trial_scope
        own, kept = variable(stage.name), stage.tolerated_failures > 0
        given, do = "$states.input", f"{self._limits()}.do"
        more = {
            "trial": f"{given}.trial",
            "later": self._later(),
            "parameters": f"{given}.parameters",
            "round": f"{given}.redrives" if self.distributed else "0",
            "do": f'{given}.redrives > 0 and {do} = "run" ? "{Hold.REUSE}" : {do}',
            "print": f"$substring({self._limits()}.print, 0, 6) & $substring($hash({self._limits()}.print "
            f'& $string({given}.parameters), "SHA-256"), 0, {CONTENT})',
        }
        fresh = x.fresh(stage, place=f' & "/" & $string({given}.trial)', more=more)
        purse = f"{given}.purse" if self.distributed else self._purse()
        variables: dict[str, Any] = {
            scope.results: {},
            scope.purse.removeprefix("$"): jsonata(purse),
            own: jsonata(fresh),
        }
        start = asl.Pass(self._title("begin the trial"), assign=variables, output={})
        if self.distributed:
            # Its variables come first: those of one state are evaluated together, from the old ones.
            begin = asl.Pass(
                self._title("take over from the run"),
                assign={name: jsonata(f"{given}.{name}") for name in self._needed()},
                output=jsonata(given),
            )
            begin.next(start)
        failed = self._failed() if kept else None
        inner = StageStates(stage, replace(self.place, scope=scope, gates=()), failed=failed)
        result = f"${scope.results}.`{stage.name}`"
        left = handed_over(result) if self.distributed else result
        end = asl.Pass(self._title("trial done"), output=jsonata(left))
        start.next(inner.entry)
        for last in inner.states.exits:
            last.next(end)
        return begin if self.distributed else start

    def _later(self) -> str:
        """Seconds that the trials need which begin when this one, or one beside it, has ended."""
        stage = self.stage
        rounds = -(-self.count // stage.concurrency)
        once = stage.changeover.total_seconds() + (stage.expected.total_seconds() if stage.expected else 0)
        return f"({rounds - 1} - $floor($states.input.trial / {stage.concurrency})) * {once:g}"

    def _failed(self) -> Any:
        """The end of a trial that may fail; how many did is looked at when all have ended."""
        own = f"${variable(self.stage.name)}"
        left = {
            "trial": f"{own}.trial",
            "parameters": f"{own}.parameters",
            "failed": f"{own}.message",
            "ledger": f"{own}.ledger",
        }
        text = handed_over_failed(own) if self.distributed else fields(left)
        return asl.Pass(self._title(TRIAL_FAILED), output=jsonata(text))

    def _limits(self) -> str:
        return settings(self.stage.name)

    def _purse(self) -> str:
        """Each trial its equal share of what is left: it does not see what the others spend."""
        left = f"{self.place.scope.purse} - {spent_in(self.place.scope)} - $sum([0, ${self.before}.usd])"
        return f"$exists($run.budget) ? ({left}) / {self.count} : 0"

    # ------------------------------------------------------------------------------------------- their result
    def _good(self) -> str:
        """The trials that succeeded and reported the metric, the best one first."""
        value = f"metrics.`{self.stage.best.metric}`"
        # $sort asks whether the first is to stand behind the second.
        behind = "<" if self.stage.best.goal == "maximize" else ">"
        worse = (
            f"function($a, $b) {{ $a.{value} {behind} $b.{value} "
            f"or ($a.{value} = $b.{value} and $a.trial > $b.trial) }}"
        )
        return f'$sort(${self.tried}[$type({value}) = "number"], {worse})'

    def _enough(self) -> str:
        failures = f"$count(${self.tried}[$exists(failed)])"
        return f"{failures} <= {self.stage.tolerated_failures} and $count({self._good()}) > 0"

    def _message(self) -> str:
        failures = f"${self.tried}[$exists(failed)]"
        limit = self.stage.tolerated_failures
        metric = self.stage.best.metric
        return (
            f'$count({failures}) > {limit} ? "{self.stage.name}: " & $count({failures}) & " of {self.count} '
            f'trials failed, {limit} may: " & {failures}[0].failed : '
            f'"{self.stage.name}: no trial reported a number named {metric}"'
        )

    def _best_trial(self) -> Any:
        """Says which trial won, and what those after the sweep read of it."""
        title, left = self._title(BEST_TRIAL), self._leave(self._best())
        if not self.distributed:
            return asl.Pass(title, assign=left, output={})
        name = {"TrainingJobName": jsonata(f"({self._good()})[0].job")}
        state = sdk_task(title, self.place.site, "sagemaker:describeTrainingJob", name, assign=left)
        state.add_retry(busy("sagemaker:describeTrainingJob"))
        return state

    def _best(self) -> str:
        best = "$good[0]"
        kept = {
            "outputs": f"{best}.outputs",
            "metrics": f"{best}.metrics",
            "best": f"$merge([$sift({best}, function($v, $k) {{ $k in ['trial', 'parameters', 'job'] }}), "
            f'{{"metric": {json.dumps(self.stage.best.metric)}, '
            f'"value": {best}.metrics.`{self.stage.best.metric}`}}])',
            "job": f"{best}.job",
            "arn": f"{best}.arn",
            "report": f"{best}.report",
            "trials": f"[${self.tried}.({self._trial_line()})]",
            "ledger": f"[${self.before}, ${self.tried}.ledger]",
            **(asked_of_its_job(best) if self.distributed else {}),
        }
        return f"($good := {self._good()}; {fields(kept)})"

    def _trial_line(self) -> str:
        line = {
            "trial": "trial",
            "parameters": "parameters",
            "value": f"metrics.`{self.stage.best.metric}`",
            "failed": "failed",
            "reused": "reused",
        }
        return fields(line)

    # ------------------------------------------------------------------------------------------------ parts
    def _title(self, phrase: str) -> str:
        return title(self.stage.name, phrase)

    def _leave(self, left: str) -> dict[str, str]:
        return leave(self.place.scope, self.stage.name, left)
