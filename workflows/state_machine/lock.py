"""One object in S3 that says who has something: the parts of which the machine's locks are made.

    write, if there is none -> who has it -> does that run go on -> ... -> write, if it is still that one

Nobody has to give a lock back: whoever finds it taken asks Step Functions whether the holder goes on, and
takes over from one that has ended, on the condition that the object is still the one that was looked at.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from workflows.jobs.jsonata_text import jsonata, or_else
from workflows.jobs.site import Site
from workflows.state_machine import language as asl
from workflows.state_machine.retries import busy, no_answer
from workflows.state_machine.tasks import sdk_task

_HOLDER = '{"holder": $merge([$parse($states.result.Body), {"etag": $states.result.ETag}])}'


@dataclass(frozen=True)
class Lock:
    """A lock. `place`: its Bucket and Key; `body`: an expression of what it says, with the field `execution`.

    What the states find out stands in the variable `own` (an expression), under `holder`, `goes_on` and
    `tries`; `kept` assigns an object (an expression) laid over it. `title` makes a state's name of a phrase.
    """

    site: Site
    place: Mapping[str, Any]
    body: str
    own: str
    kept: Callable[[str], dict[str, str]]
    title: Callable[[str], str]

    def take(self, phrase: str) -> Any:
        """Writes it, if nobody has."""
        return self._write(phrase, {"IfNoneMatch": "*"})

    def take_over(self, phrase: str, *, lost: Any) -> Any:
        """Writes it, if it is still the holder's; `lost` follows when another was faster, or it is refused:
        the tries that are counted tell which."""
        state = self._write(phrase, {"IfMatch": jsonata(f"{self.own}.holder.etag")})
        again = self.kept(f'{{"tries": {or_else(f"{self.own}.tries", "0")} + 1}}')
        state.add_catch(asl.Catch(error_equals=["States.ALL"], next_step=lost, assign=again, output={}))
        return state

    def who(self, phrase: str) -> Any:
        """Reads it."""
        state = sdk_task(
            self.title(phrase), self.site, "s3:getObject", dict(self.place), assign=self.kept(_HOLDER)
        )
        # A write that met another is refused before the other is to be seen.
        state.add_retry(busy("s3:getObject", first=1, attempts=6, longest=30, also=["NoSuchKeyException"]))
        return state

    def goes_on(self, phrase: str, *, gone: Any) -> Any:
        """Asks whether the holder runs; `gone` follows for one that Step Functions knows no more."""
        state = sdk_task(
            self.title(phrase),
            self.site,
            "sfn:describeExecution",
            {"ExecutionArn": jsonata(f"{self.own}.holder.execution")},
            assign=self.kept('{"goes_on": $states.result.Status = "RUNNING"}'),
        )
        state.add_retry(busy("sfn:describeExecution", attempts=6))
        # An execution of more than 90 days ago is known no more.
        unknown = asl.Catch(
            error_equals=["Sfn.ExecutionDoesNotExistException"],
            next_step=gone,
            assign=self.kept('{"goes_on": false}'),
            output={},
        )
        state.add_catch(unknown)
        return state

    @property
    def mine(self) -> str:
        """Whether this execution has it already: the answer to its write was lost, or it was redriven."""
        return f"{self.own}.holder.execution = $states.context.Execution.Id"

    def _write(self, phrase: str, condition: Mapping[str, Any]) -> Any:
        state = sdk_task(
            self.title(phrase),
            self.site,
            "s3:putObject",
            {**self.place, **condition, "Body": jsonata(self.body)},
        )
        # S3 answers a write that met another with a conflict, under its base exception: then it is looked at,
        # not tried again.
        state.add_retry(no_answer("s3:putObject"))
        return state
