"""boto3's face on the APIs of a virtual world: methods, paginators, ClientError."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

from botocore.exceptions import ClientError

from workflows.local.service_errors import ServiceError
from workflows.local.virtual import VirtualWorld
from workflows.runs.executions import Runs

TOKENS = {
    "stepfunctions": ("nextToken", "maxResults"),
    "sagemaker": ("NextToken", "MaxResults"),
    "s3": ("", ""),
}


class Client:
    """`calls` counts them by operation; `busy` says of the n-th call of all whether it is throttled."""

    def __init__(self, service: str, handle: Callable[[str, Any], Any]) -> None:
        self.service, self.handle = service, handle
        self.calls: Counter[str] = Counter()
        self.busy: Callable[[int], bool] = lambda number: False

    def __getattr__(self, method: str) -> Callable[..., Any]:
        operation = "".join(part.capitalize() for part in method.split("_"))
        return lambda **request: self._call(operation, request)

    def get_paginator(self, method: str) -> Paginator:
        return Paginator(self, method)

    def _call(self, operation: str, request: dict[str, Any]) -> Any:
        self.calls[operation] += 1
        try:
            if self.busy(self.calls.total()):
                raise ServiceError("ThrottlingException", "Rate exceeded")
            return self.handle(operation, request)
        except ServiceError as error:
            told = {"Error": {"Code": error.code, "Message": error.message}}
            raise ClientError(told, operation) from None


class Paginator:
    def __init__(self, client: Client, method: str) -> None:
        self.client, self.method = client, method

    def paginate(self, **request: Any) -> Iterator[Any]:
        token, size = TOKENS[self.client.service]
        if "PaginationConfig" in request:
            request[size] = request.pop("PaginationConfig")["PageSize"]
        while True:
            page = getattr(self.client, self.method)(**request)
            yield page
            if not page.get(token):
                return
            request[token] = page[token]


def runs_of(world: VirtualWorld) -> Runs:
    """The runs of the world, as `relay` sees them."""
    handles: dict[str, Callable[[str, Any], Any]] = {
        "stepfunctions": world.step_functions.handle,
        "sagemaker": world.sagemaker.handle,
        "s3": world.objects.call,
    }
    return Runs(lambda service: Client(service, handles[service]), "bucket")
