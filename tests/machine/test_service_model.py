"""Requests held against AWS's own models of its services, and AWS's words where they break them."""

from __future__ import annotations

from typing import Any

import pytest

from workflows.local.service_errors import ServiceError
from workflows.local.service_model import checked

MACHINE = {"name": "m", "roleArn": "arn:aws:iam::000000000000:role/relay", "definition": "{}"}


def refusal(service: str, operation: str, request: dict[str, Any]) -> str:
    with pytest.raises(ServiceError) as refused:
        checked(service, operation, request)
    return f"{refused.value.code}: {refused.value.message}"


def test_a_null_is_an_absent_member() -> None:
    request = {**MACHINE, "type": None, "loggingConfiguration": {"level": "OFF", "destinations": None}}
    assert checked("stepfunctions", "CreateStateMachine", request) == {
        **MACHINE,
        "loggingConfiguration": {"level": "OFF"},
    }


def test_a_null_in_a_list_is_refused() -> None:
    assert refusal("stepfunctions", "CreateStateMachine", {**MACHINE, "tags": [None]}) == (
        "ValidationException: 1 validation error detected: Value null at 'tags.1.member' "
        "failed to satisfy constraint: Member must not be null"
    )


def test_a_value_that_the_model_calls_sensitive_is_not_repeated() -> None:
    assert refusal("stepfunctions", "CreateStateMachine", {**MACHINE, "definition": ""}) == (
        "ValidationException: 1 validation error detected: Value at 'definition' "
        "failed to satisfy constraint: Member must have length greater than or equal to 1"
    )


def test_a_body_is_bytes_text_or_a_file() -> None:
    place = {"Bucket": "bucket", "Key": "key"}
    assert checked("s3", "PutObject", {**place, "Body": b"x"})["Body"] == b"x"
    assert refusal("s3", "PutObject", {**place, "Body": 5}) == (
        "SerializationException: body: int can not be converted to blob"
    )


def test_an_operation_that_aws_lacks_is_unknown() -> None:
    assert refusal("sagemaker", "CreateMagic", {}) == "UnknownOperationException: "
