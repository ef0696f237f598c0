"""JSONata Amazon States Language through the `stepfunctions` SDK: everything the SDK lacks, in one place.

`stepfunctions` 2.3.0 (2022) knows the JSONPath language only. Missing there and added here: `QueryLanguage`,
`Assign`, `Arguments`, `Output`, a Choice rule's `Condition`, a retrier's `MaxDelaySeconds` and
`JitterStrategy`. Each class only widens `allowed_fields`; rendering stays the SDK's. Importing the SDK also
sets the root logger to ERROR and warns about its age: both are undone here, and nothing else imports it.
"""

from __future__ import annotations

import enum
import logging
import os
import sys
import warnings
from typing import Any

from workflows.jobs.jsonata_text import jsonata, quoted

# The import changes the root logger's level, prints to the log, and replaces the hook that shows
# tracebacks; all of it is put back.
_root_level, _excepthook = logging.getLogger().level, sys.excepthook
os.environ.setdefault("SAGEMAKER_SUPPRESS_V2_WARNING", "1")
logging.getLogger("sagemaker.config").setLevel(logging.WARNING)
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from stepfunctions.steps import states as sdk
    from stepfunctions.steps.fields import Field
logging.getLogger().setLevel(_root_level)
sys.excepthook = _excepthook

Json = Any  # what json.dumps takes; expressions are strings in `{% ... %}`


class New(enum.Enum):
    """The fields that the SDK's `Field` lacks, in its snake case; it renders them in Pascal case."""

    QUERY_LANGUAGE = "query_language"
    ASSIGN = "assign"
    ARGUMENTS = "arguments"
    OUTPUT = "output"
    MAX_DELAY_SECONDS = "max_delay_seconds"
    JITTER_STRATEGY = "jitter_strategy"
    ITEMS = "items"
    ITEM_SELECTOR = "item_selector"


_DATA = [Field.Comment, New.ASSIGN, New.OUTPUT]


class Retry(sdk.Retry):  # type: ignore[misc]
    """A retrier with the delay's upper bound and jitter."""

    def allowed_fields(self) -> list[enum.Enum]:
        return [
            Field.ErrorEquals,
            Field.IntervalSeconds,
            Field.MaxAttempts,
            Field.BackoffRate,
            New.MAX_DELAY_SECONDS,
            New.JITTER_STRATEGY,
        ]


class Catch(sdk.Catch):  # type: ignore[misc]
    """A catcher that assigns variables and shapes its output."""

    def allowed_fields(self) -> list[enum.Enum]:
        return [Field.ErrorEquals, New.ASSIGN, New.OUTPUT]


class Task(sdk.Task):  # type: ignore[misc]
    """A task with Arguments."""

    def allowed_fields(self) -> list[enum.Enum]:
        return [
            *_DATA,
            Field.Resource,
            New.ARGUMENTS,
            Field.TimeoutSeconds,
            Field.Retry,
            Field.Catch,
        ]


class Pass(sdk.Pass):  # type: ignore[misc]
    """A state that only assigns and shapes."""

    def allowed_fields(self) -> list[enum.Enum]:
        return _DATA


class Wait(sdk.Wait):  # type: ignore[misc]
    """A wait of so many seconds, a number or an expression."""

    def allowed_fields(self) -> list[enum.Enum]:
        return [*_DATA, Field.Seconds]


class Succeed(sdk.Succeed):  # type: ignore[misc]
    """The end of a run that went well."""

    def allowed_fields(self) -> list[enum.Enum]:
        return [Field.Comment, New.OUTPUT]


class Fail(sdk.Fail):  # type: ignore[misc]
    """The end of a run that cannot go on."""

    def allowed_fields(self) -> list[enum.Enum]:
        return [Field.Comment, Field.Error, Field.Cause]


class Parallel(sdk.Parallel):  # type: ignore[misc]
    """Branches side by side; each gets `Arguments` as its input."""

    def allowed_fields(self) -> list[enum.Enum]:
        return [*_DATA, New.ARGUMENTS, Field.Retry, Field.Catch]


class Map(sdk.Map):  # type: ignore[misc]
    """The same states for each item; `distributed` makes each iteration an execution of its own."""

    def __init__(self, state_id: str, *, iterator: Any, distributed: bool = False, **fields: Any) -> None:
        super().__init__(state_id, iterator=iterator, **fields)
        self.distributed = distributed

    def allowed_fields(self) -> list[enum.Enum]:
        return [
            *_DATA,
            New.ITEMS,
            New.ITEM_SELECTOR,
            Field.Iterator,
            Field.MaxConcurrency,
            Field.Retry,
            Field.Catch,
        ]

    def to_dict(self) -> dict[str, Json]:
        """The SDK renders the iterator under its name of before 2022."""
        text: dict[str, Json] = super().to_dict()
        mode = (
            {"Mode": "DISTRIBUTED", "ExecutionType": "STANDARD"} if self.distributed else {"Mode": "INLINE"}
        )
        text["ItemProcessor"] = {"ProcessorConfig": mode, **text.pop("Iterator")}
        return text


class Choice(sdk.Choice):  # type: ignore[misc]
    """Branches on conditions, in their order."""

    def allowed_fields(self) -> list[enum.Enum]:
        return _DATA

    def when(self, condition: str, next_state: Any) -> Choice:
        """Goes to `next_state` when the JSONata condition is true."""
        self.add_choice(Condition(condition), next_state)
        return self

    def otherwise(self, next_state: Any) -> Choice:
        """Goes to `next_state` when no condition is true; `Assign` and `Output` belong to this way."""
        self.default_choice(next_state)
        return self

    next = otherwise


class Condition:
    """A Choice rule in JSONata; the SDK asks a rule only for its dictionary."""

    def __init__(self, expression: str) -> None:
        self.expression = expression

    def to_dict(self) -> dict[str, str]:
        return {"Condition": jsonata(self.expression)}


class Graph(sdk.Graph):  # type: ignore[misc]
    """The whole machine: a branch in the JSONata language."""

    def allowed_fields(self) -> list[enum.Enum]:
        return [Field.Comment, New.QUERY_LANGUAGE, Field.TimeoutSeconds]


def assign_more(state: Any, variables: dict[str, Json]) -> None:
    """Adds variables to what a state assigns when it is left in the ordinary way."""
    state.fields["assign"] = {**(state.fields.get("assign") or {}), **variables}


def machine(start: Any, *, comment: str) -> dict[str, Json]:
    """The definition of a state machine that begins at `start`."""
    text: dict[str, Json] = Graph(start, comment=comment, query_language="JSONata").to_dict()
    return {key: value if key == "Comment" else quoted(value) for key, value in text.items()}
