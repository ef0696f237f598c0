"""S3's contents on disk, so that they outlive the world: written as they change, read at its start.

    <folder>/<bucket>/.bucket          <folder>/<bucket>/<ab>/<sha256 of the key>

A key may be anything (`../x`, 1,024 bytes, `a` next to `a/b`), so files are named by its digest and
begin with one line of JSON that holds the key and the object's headers. Kept are contents, content
type and user metadata; what else S3 knows of a bucket (versions, policies) lasts as long as the
world.
"""

from __future__ import annotations

import hashlib
import io
import json
import threading
import urllib.parse
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from werkzeug.test import Client
from werkzeug.wrappers import Response

WsgiApp = Callable[..., Iterable[bytes]]

# Any signature does: moto reads only the service's name from it.
_SIGNED = {
    "Authorization": "AWS4-HMAC-SHA256 Credential=relay/20260101/us-east-1/s3/aws4_request, "
    "SignedHeaders=host, Signature=0"
}
_KEPT = ("content-type", "content-encoding", "cache-control", "content-disposition")


class Mirror:
    """WSGI middleware around moto's S3."""

    def __init__(self, app: WsgiApp, folder: Path) -> None:
        self._app = app
        self._folder = folder
        self._s3 = Client(app, Response)
        # One writer at a time: the last to write has read the newest contents.
        self._lock = threading.Lock()

    def load(self) -> int:
        """Put everything on disk into S3; returns the number of objects."""
        count = 0
        for marker in sorted(self._folder.glob("*/.bucket")):
            bucket = marker.parent.name
            self._call("PUT", f"/{bucket}")
            for path in sorted(marker.parent.glob("??/*")):
                if path.suffix == ".partial":
                    path.unlink()  # a write that a killed world did not finish
                    continue
                with path.open("rb") as file:
                    head = json.loads(file.readline())
                    self._call("PUT", _path(bucket, head["key"]), head["headers"], file.read())
                count += 1
        return count

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
        """Answer an S3 request, and write down what it changed before the caller hears of it."""
        method = environ["REQUEST_METHOD"]
        if method not in ("PUT", "POST", "DELETE"):
            return self._app(environ, start_response)
        if environ.get("wsgi.input_terminated"):  # Transfer-Encoding: chunked
            body = environ["wsgi.input"].read()
            environ["CONTENT_LENGTH"] = str(len(body))
        else:
            body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        environ["wsgi.input"] = io.BytesIO(body)
        started: list[Any] = []
        chunks = self._app(environ, lambda *args: started.append(args))
        answer = b"".join(chunks)
        status = int(started[0][0].split()[0])
        if status < 300:
            path = environ["PATH_INFO"].encode("latin-1").decode("utf-8", "surrogateescape")
            query = urllib.parse.parse_qs(environ.get("QUERY_STRING", ""), keep_blank_values=True)
            with self._lock:
                self._note(method, path, query, answer)
        start_response(*started[0])
        return [answer]

    def _note(self, method: str, path: str, query: dict[str, list[str]], answer: bytes) -> None:
        bucket, _, key = path.lstrip("/").partition("/")
        if not bucket or not set(query) <= {"x-id", "delete", "uploadId", "partNumber"}:
            return  # tagging, policies and the like are not kept
        if not key:
            if method == "POST" and "delete" in query:
                for deleted in _deleted(answer):
                    self._refresh(bucket, deleted)
            elif not query:
                self._refresh_bucket(bucket)
        elif "partNumber" not in query and not (method == "DELETE" and "uploadId" in query):
            self._refresh(bucket, key)

    def _refresh_bucket(self, bucket: str) -> None:
        marker = self._folder / bucket / ".bucket"
        if self._call("HEAD", f"/{bucket}").status_code < 300:
            marker.parent.mkdir(parents=True, exist_ok=True)
            marker.touch()
        elif marker.exists():
            marker.unlink()

    def _refresh(self, bucket: str, key: str) -> None:
        """Make the file of an object what S3 now says of it."""
        name = hashlib.sha256(key.encode("utf-8", "surrogateescape")).hexdigest()
        target = self._folder / bucket / name[:2] / name
        found = self._call("GET", _path(bucket, key))
        if found.status_code != 200:
            target.unlink(missing_ok=True)
            return
        headers = {
            header: value
            for header, value in found.headers.items()
            if header.lower() in _KEPT or header.lower().startswith("x-amz-meta-")
        }
        target.parent.mkdir(parents=True, exist_ok=True)
        (self._folder / bucket / ".bucket").touch()
        partial = target.with_suffix(".partial")
        with partial.open("wb") as file:
            file.write(json.dumps({"key": key, "headers": headers}).encode() + b"\n")
            file.write(found.data)
        partial.replace(target)

    def _call(
        self, method: str, path: str, headers: dict[str, str] | None = None, data: bytes = b""
    ) -> Response:
        return self._s3.open(path, method=method, headers=_SIGNED | (headers or {}), data=data or None)


def _path(bucket: str, key: str) -> str:
    return f"/{bucket}/{urllib.parse.quote(key, safe='/~')}"


def _deleted(answer: bytes) -> Iterator[str]:
    # The answer is moto's own, not a stranger's XML.
    for element in ElementTree.fromstring(answer).iter():
        if element.tag.endswith("Deleted"):
            for child in element:
                if child.tag.endswith("Key") and child.text:
                    yield child.text
