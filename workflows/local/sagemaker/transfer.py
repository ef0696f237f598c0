"""Objects between S3 and an instance's disk, and how SageMaker words what goes wrong there."""

from __future__ import annotations

import tarfile
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from botocore.exceptions import BotoCoreError, ClientError

from workflows.local.sagemaker.workload import s3_location

if TYPE_CHECKING:
    from workflows.local.objects import Objects

TRANSFER_ERRORS = (OSError, KeyError, ClientError, BotoCoreError)


class TransferError(Exception):
    """A download or upload failed; its text is the job's FailureReason."""


def download(
    objects: Objects, uri: str, folder: Path, shard: tuple[int, int] = (0, 1), *, empty: bool = False
) -> list[str]:
    """Bring every object whose key begins with the URI's key; returns their paths in `folder`.

    `shard` is (index, count) for ShardedByS3Key. Without `empty`, finding nothing is an error, as
    for a channel.
    """
    bucket, prefix = s3_location(uri)
    try:
        keys = [key for key in sorted(objects.list(bucket, prefix)) if not key.endswith("/")]
        if not keys and not empty:
            raise TransferError(
                f"ClientError: Data download failed:No S3 objects found under S3 URL '{uri}' "
                "given in input data source."
            )
        paths = []
        for key in keys[shard[0] :: shard[1]]:
            path = local_name(prefix, key)
            target = folder / path
            if ".." in Path(path).parts or Path(path).is_absolute():
                raise TransferError(f"ClientError: Data download failed:The S3 key {key!r} leaves its folder")
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(objects.get(bucket, key))
            paths.append(path)
        return paths
    except TRANSFER_ERRORS as error:
        raise TransferError(f"ClientError: Data download failed:{worded(error)}") from error


def local_name(prefix: str, key: str) -> str:
    """The path of an object below the folder that its prefix is downloaded to.

    A prefix is a bare string prefix on AWS: `run-1` also finds `run-10/a`, which keeps the name of
    its folder.
    """
    if not prefix or prefix.endswith("/"):
        return key[len(prefix) :]
    if key.startswith(prefix + "/"):
        return key[len(prefix) + 1 :]
    return key[prefix.rfind("/") + 1 :]


def upload_folder(objects: Objects, folder: Path, uri: str) -> None:
    """Put every file below the folder under the URI."""
    bucket, prefix = s3_location(uri)
    prefix = prefix.rstrip("/") + "/" if prefix else ""
    try:
        for path in sorted(folder.rglob("*")):
            if path.is_file() and not path.is_symlink():
                key = prefix + path.relative_to(folder).as_posix()
                objects.put(bucket, key, path.read_bytes())
    except TRANSFER_ERRORS as error:
        raise TransferError(f"ClientError: Artifact upload failed:{worded(error)}") from error


def upload_archive(objects: Objects, folders: Iterable[Path], uri: str) -> None:
    """Put what is in the folders as one tar.gz; nothing when they are empty.

    The first folder wins where several instances wrote the same name.
    """
    bucket, key = s3_location(uri)
    try:
        with tempfile.TemporaryFile() as file:
            names: set[str] = set()
            with tarfile.open(fileobj=file, mode="w:gz") as archive:
                for folder in folders:
                    for path in sorted(folder.rglob("*")):
                        name = path.relative_to(folder).as_posix()
                        if name not in names:
                            names.add(name)
                            archive.add(path, name, recursive=False)
            if names:
                file.seek(0)
                objects.put(bucket, key, file.read())
    except TRANSFER_ERRORS as error:
        raise TransferError(f"ClientError: Artifact upload failed:{worded(error)}") from error


def worded(error: Exception) -> str:
    """S3's own error the way SageMaker repeats it: code, HTTP status, message."""
    if isinstance(error, ClientError):
        found = error.response.get("Error", {})
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 400)
        if found.get("Code") in ("403", "AccessDenied"):
            return "failed to download data. 403 Forbidden (403): Forbidden"
        return f"{found.get('Code')} ({status}): {found.get('Message')}"
    if isinstance(error, KeyError):
        return f"NoSuchKey (404): The specified key does not exist. {error}"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error)
