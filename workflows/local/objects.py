"""Stores of objects: S3 behind boto3, or a dictionary for worlds in virtual time."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, NamedTuple, Protocol

from botocore.exceptions import ClientError

from workflows.local.service_errors import ServiceError
from workflows.local.service_model import checked


class Objects(Protocol):
    """Whole objects by bucket and key: all that workloads need of S3."""

    def put(self, bucket: str, key: str, data: bytes) -> None:
        """Write an object."""

    def get(self, bucket: str, key: str) -> bytes:
        """Read an object; raises KeyError where there is none."""

    def list(self, bucket: str, prefix: str) -> list[str]:
        """Return the keys with a prefix, in order."""

    def any(self, bucket: str, prefix: str) -> bool:
        """Whether there is a key with this prefix, in a bucket that is there and may be read."""

    def delete(self, bucket: str, key: str) -> None:
        """Remove an object; one that is not there is no error."""


class Written(NamedTuple):
    """The contents of an object, and the time since when it has them."""

    data: bytes
    modified: datetime

    @property
    def etag(self) -> str:
        """Returns S3's ETag of these bytes, quotes included."""
        return f'"{hashlib.md5(self.data, usedforsecurity=False).hexdigest()}"'


Read = Callable[[], Written]


class MemoryObjects:
    """Objects in memory; a bucket exists once something was put into it, or from `buckets`."""

    def __init__(
        self,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        buckets: tuple[str, ...] = (),
    ) -> None:
        self._now = now
        self._buckets: dict[str, dict[str, Read]] = {bucket: {} for bucket in buckets}

    def put(self, bucket: str, key: str, data: bytes) -> None:
        """Write an object."""
        written = Written(bytes(data), self._now())
        self.follow(bucket, key, lambda: written)

    def follow(self, bucket: str, key: str, written: Read) -> None:
        """Let an object have the contents that `written` returns at each read, until somebody writes it.

        A job that saves its progress every ten minutes for two days is looked at a few times.
        """
        self._buckets.setdefault(bucket, {})[key] = written

    def followed(self, bucket: str, key: str) -> Read:
        """Returns the function that is asked when an object is read; raises KeyError where there is none."""
        return self._buckets[bucket][key]

    def get(self, bucket: str, key: str) -> bytes:
        """Read an object; raises KeyError where there is none."""
        return self.followed(bucket, key)().data

    def list(self, bucket: str, prefix: str) -> list[str]:
        """Return the keys with a prefix, in order."""
        return sorted(key for key in self._buckets.get(bucket, ()) if key.startswith(prefix))

    def any(self, bucket: str, prefix: str) -> bool:
        """Whether there is a key with this prefix, in a bucket that is there."""
        return any(key.startswith(prefix) for key in self._buckets.get(bucket, ()))

    def delete(self, bucket: str, key: str) -> None:
        """Remove an object; one that is not there is no error."""
        self._buckets.get(bucket, {}).pop(key, None)

    def call(self, operation: str, arguments: dict[str, Any]) -> dict[str, Any]:
        """Answer an S3 API request as boto3 does (Body as bytes); raises S3's own errors."""
        actions: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
            "GetObject": self._get_object,
            "HeadObject": self._head_object,
            "PutObject": self._put_object,
            "DeleteObject": self._delete_object,
            "ListObjectsV2": self._list_objects,
        }
        if operation not in actions:
            message = f"A world in virtual time has no S3 {operation}"
            raise ServiceError("NotImplemented", message, 501)
        return actions[operation](checked("s3", operation, arguments))

    def _bucket(self, name: str) -> dict[str, Read]:
        if name not in self._buckets:
            raise ServiceError("NoSuchBucket", "The specified bucket does not exist", 404)
        return self._buckets[name]

    def _found(self, arguments: dict[str, Any]) -> Written:
        found = self._bucket(arguments["Bucket"]).get(arguments["Key"])
        if found is None:
            raise ServiceError("NoSuchKey", "The specified key does not exist.", 404)
        return found()

    def _get_object(self, arguments: dict[str, Any]) -> dict[str, Any]:
        found = self._found(arguments)
        return {**_described(found), "Body": found.data}

    def _head_object(self, arguments: dict[str, Any]) -> dict[str, Any]:
        try:
            return _described(self._found(arguments))
        except ServiceError as error:
            raise ServiceError("404", "Not Found", 404) from error

    def _put_object(self, arguments: dict[str, Any]) -> dict[str, Any]:
        bucket, key = self._bucket(arguments["Bucket"]), arguments["Key"]
        known = bucket.get(key)
        if arguments.get("IfNoneMatch") == "*" and known is not None:
            raise _precondition()
        if "IfMatch" in arguments:
            if known is None:
                raise ServiceError("NoSuchKey", "The specified key does not exist.", 404)
            if known().etag.strip('"') != arguments["IfMatch"].strip('"'):
                raise _precondition()
        self.put(arguments["Bucket"], key, _bytes(arguments.get("Body", b"")))
        return {"ETag": bucket[key]().etag}

    def _delete_object(self, arguments: dict[str, Any]) -> dict[str, Any]:
        self._bucket(arguments["Bucket"]).pop(arguments["Key"], None)
        return {}

    def _list_objects(self, arguments: dict[str, Any]) -> dict[str, Any]:
        bucket, prefix = self._bucket(arguments["Bucket"]), arguments.get("Prefix", "")
        start, delimiter = arguments.get("StartAfter", ""), arguments.get("Delimiter")
        # A common prefix takes one place among the keys, where its first key would stand.
        names: dict[str, Read | None] = {}
        for key in sorted(key for key in bucket if key.startswith(prefix) and key > start):
            head, found, _ = key[len(prefix) :].partition(delimiter) if delimiter else ("", "", "")
            names[prefix + head + found if found else key] = None if found else bucket[key]
        after, most = arguments.get("ContinuationToken", ""), arguments.get("MaxKeys", 1000)
        left = [name for name in names if name > after]
        answer: dict[str, Any] = {
            "IsTruncated": len(left) > most,
            "Name": arguments["Bucket"],
            "Prefix": prefix,
            "MaxKeys": most,
            "KeyCount": min(len(left), most),
            "Contents": [_listed(name, item()) for name in left[:most] if (item := names[name]) is not None],
            "CommonPrefixes": [{"Prefix": name} for name in left[:most] if names[name] is None],
        }
        if len(left) > most > 0:
            answer["NextContinuationToken"] = left[most - 1]
        return {key: value for key, value in answer.items() if value != []}


class S3Objects:
    """Objects in S3 through a boto3 client."""

    def __init__(self, client: Any) -> None:
        self._client = client

    def put(self, bucket: str, key: str, data: bytes) -> None:
        """Write an object."""
        self._client.put_object(Bucket=bucket, Key=key, Body=data)

    def get(self, bucket: str, key: str) -> bytes:
        """Read an object; raises KeyError where there is none."""
        try:
            return bytes(self._client.get_object(Bucket=bucket, Key=key)["Body"].read())
        except ClientError as error:
            if error.response["Error"]["Code"] in ("NoSuchKey", "NoSuchBucket"):
                raise KeyError(key) from error
            raise

    def list(self, bucket: str, prefix: str) -> list[str]:
        """Return the keys with a prefix, in order."""
        pages = self._client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
        return [item["Key"] for page in pages for item in page.get("Contents", ())]

    def any(self, bucket: str, prefix: str) -> bool:
        """Whether there is a key with this prefix, in a bucket that is there and may be read."""
        try:
            found = self._client.list_objects_v2(Bucket=bucket, Prefix=prefix, MaxKeys=1)
        except ClientError:
            return False
        return bool(found["KeyCount"])

    def delete(self, bucket: str, key: str) -> None:
        """Remove an object; one that is not there is no error."""
        self._client.delete_object(Bucket=bucket, Key=key)


def _described(found: Written) -> dict[str, Any]:
    return {
        "AcceptRanges": "bytes",
        "LastModified": found.modified,
        "ContentLength": len(found.data),
        "ETag": found.etag,
        "ContentType": "binary/octet-stream",
        "Metadata": {},
    }


def _listed(key: str, item: Written) -> dict[str, Any]:
    return {
        "Key": key,
        "LastModified": item.modified,
        "ETag": item.etag,
        "Size": len(item.data),
        "StorageClass": "STANDARD",
    }


def _bytes(body: Any) -> bytes:
    if hasattr(body, "read"):
        body = body.read()
    return body.encode() if isinstance(body, str) else bytes(body)


def _precondition() -> ServiceError:
    message = "At least one of the pre-conditions you specified did not hold"
    return ServiceError("PreconditionFailed", message, 412)
