"""The two kinds of error that cross the seams of the local world."""

from __future__ import annotations


class ServiceError(Exception):
    """An AWS API refuses a request; the front door turns it into what boto3 calls ClientError."""

    def __init__(self, code: str, message: str, status: int = 400) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message
        self.status = status


class TaskError(Exception):
    """An error inside a state machine: its `Error` name, matched by Retry and Catch, and its `Cause`.

    `cause` is None where AWS reports none (a task that timed out).
    """

    def __init__(self, error: str, cause: str | None = None) -> None:
        super().__init__(f"{error}: {cause}")
        self.error = error
        self.cause = cause
