"""AWS's JSON protocols on the wire: what boto3 sends and what it expects back.

Requests name their operation in X-Amz-Target; times are epoch seconds; an error is a body with
`__type`, from which boto3 makes its ClientError (AWS JSON 1.0 and 1.1 protocols, Smithy).
"""

from __future__ import annotations

import base64
import json
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from botocore.model import Shape
from werkzeug.wrappers import Response

from workflows.local.service_errors import ServiceError
from workflows.local.service_model import operation_model


def decode(service: str, operation: str, body: bytes) -> dict[str, Any]:
    """The request as boto3's caller wrote it: times are datetimes, blobs bytes."""
    try:
        content = json.loads(body or b"{}")
    except ValueError:
        raise ServiceError("SerializationException", "The request is not JSON") from None
    if not isinstance(content, dict):
        raise ServiceError("SerializationException", "Start of structure expected")
    shape = operation_model(service, operation).input_shape
    decoded: dict[str, Any] = _decode(shape, content) if shape is not None else {}
    return decoded


def answer(content: object, version: str) -> Response:
    """A successful answer; datetimes become epoch seconds."""
    return _response(json.dumps(content, default=_encode), 200, version)


def refusal(error: ServiceError, version: str) -> Response:
    """An error as AWS's front end sends it."""
    # SageMaker's own errors carry "Message", the front end's and Step Functions' "message".
    body = {"__type": error.code, "message": error.message, "Message": error.message}
    response = _response(json.dumps(body), error.status, version)
    response.headers["x-amzn-ErrorType"] = error.code
    return response


def _response(body: str, status: int, version: str) -> Response:
    response = Response(body, status, content_type=f"application/x-amz-json-{version}")
    response.headers["x-amzn-RequestId"] = str(uuid.uuid4())
    return response


def _decode(shape: Shape, value: Any) -> Any:
    kind = shape.type_name
    if kind == "structure" and isinstance(value, Mapping):
        members = shape.members
        return {
            name: _decode(members[name], each) if name in members else each
            for name, each in value.items()
            if each is not None
        }
    if kind == "list" and isinstance(value, list):
        return [_decode(shape.member, each) for each in value]
    if kind == "map" and isinstance(value, Mapping):
        return {key: _decode(shape.value, each) for key, each in value.items()}
    if kind == "timestamp" and isinstance(value, int | float):
        return datetime.fromtimestamp(value, UTC)
    if kind == "blob" and isinstance(value, str):
        return base64.b64decode(value)
    return value


def _encode(value: object) -> Any:
    if isinstance(value, datetime):
        return round(value.timestamp(), 3)
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    raise TypeError(f"{type(value).__name__} cannot be sent")
