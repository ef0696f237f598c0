"""Attempts as the machines write them down: an item of a DynamoDB table for each, whatever run it was of.

    pipeline (partition key)   attempt_id (sort key)
    digits                     20261125T200927-digits-1/pretrain/0-1           BEGAN-RUN/STAGE/REDRIVE-ATTEMPT
    digits                     20261125T200927-digits-1/tune/3/0-1            ... of a sweep's trial

Pure: reading takes the `query` of a table client and gives typed rows. The machines' side of it is
`state_machine/attempt_record.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from workflows.errors import RelayError
from workflows.ledger.entry import Entry, EntryError, read_fields

TABLE = "relay-ledger"  # unless the settings of an installation name another
PARTITION_KEY, SORT_KEY = "pipeline", "attempt_id"
NAMESPACE, DIMENSION = "Relay", "Pipeline"  # of the metrics

Item = Mapping[str, Mapping[str, str]]
Query = Callable[..., Mapping[str, Any]]


class AttemptError(RelayError):
    """An item of the table is none that a machine of Relay has written."""


@dataclass(frozen=True, kw_only=True)
class Attempt(Entry):
    """A line of the ledger with the run that it is of; the table's has its times, always."""

    attempt_id: str
    run: str
    created: datetime
    ended: datetime
    queued_seconds: float

    @property
    def run_key(self) -> str:
        """The run, told from an earlier one of the same name by its start."""
        return self.attempt_id.partition("/")[0]

    @property
    def series(self) -> str:
        """The stage or trial within its run, whose attempts follow one another."""
        return self.attempt_id.rpartition("/")[0]


def read(query: Query, table: str, pipeline: str, run_key: str = "") -> Iterator[Attempt]:
    """The attempts of a pipeline by run and stage; `run_key`: of one run only.

    Raises AttemptError for an item of another kind, and what `query` raises.
    """
    condition = f"{PARTITION_KEY} = :pipeline"
    values = {":pipeline": {"S": pipeline}}
    if run_key:
        condition += f" AND begins_with({SORT_KEY}, :run)"
        values[":run"] = {"S": f"{run_key}/"}
    yield from _pages(
        query, TableName=table, KeyConditionExpression=condition, ExpressionAttributeValues=values
    )


def read_all(scan: Query, table: str) -> Iterator[Attempt]:
    """The attempts of every pipeline; `scan` is that of a table client."""
    yield from _pages(scan, TableName=table)


def _pages(call: Query, **request: Any) -> Iterator[Attempt]:
    while True:
        page = call(**request)
        yield from map(attempt_of_item, page["Items"])
        if not page.get("LastEvaluatedKey"):
            return
        request["ExclusiveStartKey"] = page["LastEvaluatedKey"]


def attempt_of_item(item: Item) -> Attempt:
    """The typed row. Raises AttemptError."""
    values = {name: next(iter(value.values())) for name, value in item.items()}
    key = values.get(SORT_KEY, "?")
    try:
        known = read_fields(values, f"the item `{key}` of the table of attempts")
        return Attempt(**known, attempt_id=values[SORT_KEY], run=values["run"])
    except (EntryError, KeyError, TypeError) as error:
        raise AttemptError(
            f"the item `{key}` of the table of attempts is none that Relay wrote ({error}): remove it"
        ) from None
