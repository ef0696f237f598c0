"""A DynamoDB table and CloudWatch metrics in memory, which machines in virtual time write to.

Requests are held against AWS's models, as everywhere in the local world.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from workflows.local.json_texts import size_of, text_of
from workflows.local.service_errors import ServiceError
from workflows.local.service_model import checked

LARGEST_ITEM = 400 * 1024  # bytes, DynamoDB's quota
_CONDITION = re.compile(r"(\w+) = (:\w+)(?: AND begins_with\((\w+), (:\w+)\))?")
_NUMBER = re.compile(r"-?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]+)?")

Item = dict[str, Any]


class MemoryTable:
    """One DynamoDB table; while `refusal` is set, every call is answered with it."""

    def __init__(self, name: str, keys: tuple[str, str], *, page: int = 100) -> None:
        """`keys`: partition key and sort key, both texts; `page`: items in an answer at most."""
        self.name, self.keys, self.page = name, keys, page
        self.items: dict[tuple[str, str], Item] = {}
        self.calls = 0
        self.refusal: ServiceError | None = None

    def call(self, operation: str, arguments: dict[str, Any]) -> dict[str, Any]:
        """Answer a DynamoDB API request; raises DynamoDB's own errors."""
        self.calls += 1
        if self.refusal:
            raise self.refusal
        actions = {"PutItem": self._put_item, "Query": self._query}
        if operation not in actions:
            raise ServiceError("NotImplemented", f"A world in virtual time has no DynamoDB {operation}", 501)
        request = checked("dynamodb", operation, arguments)
        if request["TableName"] != self.name:
            raise ServiceError("ResourceNotFoundException", "Requested resource not found")
        return actions[operation](request)

    def _put_item(self, request: dict[str, Any]) -> dict[str, Any]:
        item = request["Item"]
        for name, value in item.items():
            _check_value(name, value)
        if size_of(text_of(item)) > LARGEST_ITEM:
            raise _invalid("Item size has exceeded the maximum allowed size")
        key = tuple(item.get(name, {}).get("S", "") for name in self.keys)
        if not all(key):
            raise _invalid("One of the required keys was not given a value")
        self.items[key[0], key[1]] = item
        return {}

    def _query(self, request: dict[str, Any]) -> dict[str, Any]:
        match = _CONDITION.fullmatch(request.get("KeyConditionExpression", ""))
        if not match or match[1] != self.keys[0] or match[3] not in (None, self.keys[1]):
            raise _invalid(
                "A world in virtual time reads by the partition key and the beginning of the other"
            )
        values = {name: value["S"] for name, value in request["ExpressionAttributeValues"].items()}
        begins = values[match[4]] if match[4] else ""
        after = request.get("ExclusiveStartKey", {}).get(self.keys[1], {}).get("S", "")
        found = [
            item
            for (partition, sort), item in sorted(self.items.items())
            if partition == values[match[2]] and sort.startswith(begins) and sort > after
        ]
        page = found[: self.page]
        more = (
            {"LastEvaluatedKey": {name: page[-1][name] for name in self.keys}} if found[self.page :] else {}
        )
        return {"Items": page, "Count": len(page), "ScannedCount": len(page), **more}


class MemoryMetrics:
    """CloudWatch's metrics: every datum that was put, in order; `refusal` works as that of the table."""

    def __init__(self) -> None:
        self.data: list[tuple[str, Mapping[str, Any]]] = []  # (namespace, datum)
        self.refusal: ServiceError | None = None

    def call(self, operation: str, arguments: dict[str, Any]) -> dict[str, Any]:
        """Answer a CloudWatch API request."""
        if self.refusal:
            raise self.refusal
        if operation != "PutMetricData":
            raise ServiceError(
                "NotImplemented", f"A world in virtual time has no CloudWatch {operation}", 501
            )
        request = checked("cloudwatch", operation, arguments)
        self.data += [(request["Namespace"], datum) for datum in request["MetricData"]]
        return {}

    def sums(self) -> dict[str, float]:
        """Returns the sum of each metric by its name."""
        found: dict[str, float] = {}
        for _, datum in self.data:
            found[datum["MetricName"]] = found.get(datum["MetricName"], 0.0) + datum["Value"]
        return found


def _check_value(name: str, value: Mapping[str, Any]) -> None:
    if len(value) != 1:
        raise _invalid(
            f"Supplied AttributeValue of {name} has {len(value)} datatypes, must contain exactly one"
        )
    if "N" in value and not _NUMBER.fullmatch(value["N"]):
        raise _invalid(f"The parameter cannot be converted to a numeric value: {value['N']}")


def _invalid(message: str) -> ServiceError:
    return ServiceError("ValidationException", message)
