"""DynamoDB's tables on disk, so that they outlive the world: each change a line, played again at its start.

    <file>     {"target": "DynamoDB_20120810.PutItem", "body": {...}}

Only requests that changed something are kept, in the order in which moto took them, so that playing them
gives the same tables.
"""

from __future__ import annotations

import io
import json
import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from werkzeug.test import Client
from werkzeug.wrappers import Response

WsgiApp = Callable[..., Iterable[bytes]]

CHANGES = {
    *("CreateTable", "UpdateTable", "DeleteTable", "UpdateTimeToLive"),
    *("PutItem", "UpdateItem", "DeleteItem", "BatchWriteItem", "TransactWriteItems"),
}
# Any signature does: moto reads only the service's name from it.
_SIGNED = {
    "Authorization": "AWS4-HMAC-SHA256 Credential=relay/20260101/us-east-1/dynamodb/aws4_request, "
    "SignedHeaders=host, Signature=0",
    "Content-Type": "application/x-amz-json-1.0",
}


class Journal:
    """WSGI middleware around moto's DynamoDB."""

    def __init__(self, app: WsgiApp, file: Path) -> None:
        self._app, self._file = app, file
        self._dynamodb = Client(app, Response)
        self._lock = threading.Lock()

    def load(self) -> int:
        """Make the changes on disk again; returns their number."""
        lines = self._file.read_bytes().splitlines(keepends=True) if self._file.exists() else []
        if lines and not lines[-1].endswith(b"\n"):
            lines.pop()  # a write that a killed world did not finish
            self._file.write_bytes(b"".join(lines))
        for line in lines:
            change = json.loads(line)
            headers = _SIGNED | {"X-Amz-Target": change["target"]}
            self._dynamodb.post("/", headers=headers, data=json.dumps(change["body"]))
        return len(lines)

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        """Answer a DynamoDB request, and write down what it changed before the caller hears of it."""
        target = environ.get("HTTP_X_AMZ_TARGET", "")
        if target.rpartition(".")[2] not in CHANGES:
            return self._app(environ, start_response)
        body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        environ["wsgi.input"] = io.BytesIO(body)
        started: list[Any] = []
        with self._lock:
            answer = b"".join(self._app(environ, lambda *args: started.append(args)))
            if started[0][0].startswith("200"):
                line = json.dumps({"target": target, "body": json.loads(body)})
                with self._file.open("a", encoding="utf-8") as file:
                    file.write(line + "\n")
        start_response(*started[0])
        return [answer]
