"""EventBridge's patterns and transformers."""

from __future__ import annotations

import json
from typing import Any

import pytest

from workflows.local.front_door.event_patterns import EventPattern, matches, target_input

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
def test_a_glance_at_a_part_never_says_what_the_whole_does_not(pattern: Any, wanted: bool) -> None:
    known = [{}, {"source": EVENT["source"]}, {"detail": {"name": "relay-a-1"}}, EVENT]
    assert {EventPattern(pattern).glance(part) for part in known} <= {wanted, None}
    assert EventPattern(pattern).wants(EVENT) is wanted


@pytest.mark.parametrize(
    ("pattern", "known", "answer"),
    [
        ({"source": ["aws.states"]}, {"source": "aws.sagemaker"}, False),
        ({"detail": {"name": [{"prefix": "other"}]}}, {"detail": {"name": "relay-a-1"}}, False),
        ({"detail": {"name": [{"exists": False}]}}, {"detail": {"name": "relay-a-1"}}, False),
        ({"detail": {"name": [{"prefix": "relay-"}]}}, {"detail": {"name": "relay-a-1"}}, True),
        ({"detail": {"name": ["relay-a-1"], "seconds": [5]}}, {"detail": {"name": "relay-a-1"}}, None),
        ({"detail": {"name": ["other"], "seconds": [5]}}, {"detail": {"name": "relay-a-1"}}, False),
        ({"detail": {"Tags": {"other": [{"exists": False}]}}}, {"detail": {"name": "relay-a-1"}}, None),
    ],
)
def test_what_is_known_of_an_event_may_rule_it_out_or_let_it_through(
    pattern: Any, known: Any, answer: bool | None
) -> None:
    assert EventPattern(pattern).glance(known) is answer


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
