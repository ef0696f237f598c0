"""The quick look at a request finds fault with what the thorough one finds fault with."""

from __future__ import annotations

import copy
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.machine.pipelines import Run, pipeline
from workflows.local import service_model
from workflows.local.acceptance import MISFIT
from workflows.local.service_errors import ServiceError

FOREIGN = [
    None,
    "",
    "x" * 70_000,
    "a b\n",
    -1,
    10**9,
    1.5,
    True,
    [],
    {},
    [None],
    {"k": None},
    {"No": "member"},
]
FOREIGN += [b"bytes", datetime(2026, 1, 1, tzinfo=UTC), ["a"], {"a": "b"}]


@pytest.fixture(scope="module")
def requests() -> dict[str, dict[str, Any]]:
    """The requests of a run that are large."""
    taken: dict[str, dict[str, Any]] = {}
    run = Run.begun(pipeline({"name": "train"}))
    handle = run.world.sagemaker.handle

    def keep(operation: str, request: dict[str, Any]) -> dict[str, Any]:
        taken[operation] = copy.deepcopy(request)
        return handle(operation, request)

    run.world.sagemaker.handle = keep  # type: ignore[method-assign]
    run.world.wait(run.arn)
    return taken


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(place for key, each in inner for place in places(each, (*path, key)))]


@settings(max_examples=400, deadline=None)
@given(st.data())
def test_a_request_is_accepted_at_once_if_nothing_is_found_in_it(requests: Any, data: st.DataObject) -> None:
    # given a real request in which something was put in the place of something
    operation = data.draw(st.sampled_from(sorted(requests)))
    request = copy.deepcopy(requests[operation])
    *way, last = data.draw(st.sampled_from([place for place in places(request) if place]))
    inner = request
    for key in way:
        inner = inner[key]
    inner[last] = data.draw(st.sampled_from([inner[last], *FOREIGN]))
    shape = service_model.operation_model("sagemaker", operation).input_shape
    # when it is looked at thoroughly
    try:
        sound = not list(service_model._problems(shape, request, ""))
    except ServiceError:
        sound = False
    # then the quick look agrees, and keeps the same of it
    accepted = service_model._acceptance("sagemaker", operation)(request)
    assert (accepted is not MISFIT) == sound
    if sound:
        assert accepted == service_model._without_nulls(shape, request)
