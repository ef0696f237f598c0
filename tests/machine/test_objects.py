"""Objects in memory answer as S3 does."""

from __future__ import annotations

import pytest

from workflows.local.objects import MemoryObjects
from workflows.local.service_errors import ServiceError


def stored(*keys: str) -> MemoryObjects:
    objects = MemoryObjects()
    for key in keys:
        objects.put("bucket", key, key.encode())
    return objects


def test_a_listing_comes_in_pages_and_groups_by_the_delimiter() -> None:
    # given four keys, two of them in a folder
    objects = stored("a", "b/1", "b/2", "c")
    # when they are listed one at a time
    seen, request = [], {"Bucket": "bucket", "Delimiter": "/", "MaxKeys": 1}
    while True:
        page = objects.call("ListObjectsV2", request)
        seen += [item["Key"] for item in page.get("Contents", ())]
        seen += [item["Prefix"] for item in page.get("CommonPrefixes", ())]
        if not page["IsTruncated"]:
            break
        request = {**request, "ContinuationToken": page["NextContinuationToken"]}
    # then each comes once
    assert seen == ["a", "b/", "c"]


def test_an_absent_key_is_nosuchkey_and_a_head_only_says_404() -> None:
    objects = stored("a")
    with pytest.raises(ServiceError) as missing:
        objects.call("GetObject", {"Bucket": "bucket", "Key": "x"})
    assert (missing.value.code, missing.value.status) == ("NoSuchKey", 404)
    with pytest.raises(ServiceError) as headless:
        objects.call("HeadObject", {"Bucket": "bucket", "Key": "x"})
    assert headless.value.code == "404"
    with pytest.raises(KeyError):
        objects.get("bucket", "x")


def test_a_conditional_write_fails_where_somebody_was_first() -> None:
    # given an object
    objects = stored("lock")
    # then a write that wants it absent is refused
    with pytest.raises(ServiceError) as refused:
        objects.call("PutObject", {"Bucket": "bucket", "Key": "lock", "Body": b"me", "IfNoneMatch": "*"})
    assert (refused.value.code, refused.value.status) == ("PreconditionFailed", 412)
    # and one that knows its ETag goes through
    etag = objects.call("HeadObject", {"Bucket": "bucket", "Key": "lock"})["ETag"]
    objects.call("PutObject", {"Bucket": "bucket", "Key": "lock", "Body": b"me", "IfMatch": etag})
    assert objects.get("bucket", "lock") == b"me"
