"""EventBridge's patterns and transformers."""

from __future__ import annotations

import json
from typing import Any

import pytest

from workflows.local.front_door.event_patterns import matches, possible, target_input

EVENT: dict[str, Any] = {
    "source": "aws.sagemaker",
    "detail": {"name": "relay-a-1", "seconds": 5, "tags": ["x", "y"], "Tags": {"relay:stage": "a"}},
}


PATTERNS: list[tuple[Any, bool]] = [
    ({}, True),
    ({"source": ["aws.sagemaker"]}, True),
    ({"source": ["aws.states"]}, False),
    ({"source": ["aws.states", "aws.sagemaker"], "detail": {"seconds": [5]}}, True),
    ({"detail": {"seconds": ["5"]}}, False),
    ({"detail": {"name": [{"prefix": "relay-"}]}}, True),
    ({"detail": {"name": [{"suffix": "-2"}]}}, False),
    ({"detail": {"name": [{"wildcard": "relay-*-1"}]}}, True),
    ({"detail": {"name": [{"anything-but": ["other"]}]}}, True),
    ({"detail": {"name": [{"anything-but": {"prefix": "relay"}}]}}, False),
    ({"detail": {"seconds": [{"numeric": [">", 1, "<=", 5]}]}}, True),
    ({"detail": {"tags": ["y", "z"]}}, True),
    ({"detail": {"Tags": {"relay:stage": [{"exists": True}]}}}, True),
    ({"detail": {"Tags": {"other": [{"exists": True}]}}}, False),
    ({"detail": {"Tags": {"other": [{"exists": False}]}}}, True),
    ({"$or": [{"source": ["b"]}, {"detail": {"seconds": [5]}}]}, True),
]


@pytest.mark.parametrize(("pattern", "wanted"), PATTERNS)
def test_a_pattern_matches_what_the_user_guide_says(pattern: Any, wanted: bool) -> None:
    assert matches(pattern, EVENT) is wanted


@pytest.mark.parametrize(("pattern", "wanted"), PATTERNS)
def test_an_event_that_is_wanted_is_possible_whatever_is_known_of_it(pattern: Any, wanted: bool) -> None:
    known = [{}, {"source": EVENT["source"]}, {"detail": {"name": "relay-a-1"}}, EVENT]
    assert all(possible(pattern)(part) for part in known) or not wanted


def test_what_is_known_of_an_event_can_rule_it_out() -> None:
    assert not possible({"source": ["aws.states"]})({"source": "aws.sagemaker"})
    assert not possible({"detail": {"name": [{"prefix": "other"}]}})({"detail": {"name": "relay-a-1"}})
    assert not possible({"detail": {"name": [{"exists": False}]}})({"detail": {"name": "relay-a-1"}})


def test_a_target_is_sent_what_it_asks_for() -> None:
    assert json.loads(target_input({}, EVENT)) == EVENT
    assert target_input({"Input": "{}"}, EVENT) == "{}"
    assert target_input({"InputPath": "$.detail.tags[1]"}, EVENT) == '"y"'
    transformer = {
        "InputPathsMap": {"n": "$.detail.name", "t": "$.detail.Tags", "no": "$.detail.absent"},
        "InputTemplate": '{"n": <n>, "said": "is <n>", "t": <t>, "no": <no>}',
    }
    sent = json.loads(target_input({"InputTransformer": transformer}, EVENT))
    assert sent == {"n": "relay-a-1", "said": "is relay-a-1", "t": {"relay:stage": "a"}, "no": None}
