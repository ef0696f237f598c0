"""The account under test: its clients, by the names of their services, and patience."""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from typing import Any

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest

from stacks.deployment.place import Site

ENDED = {"SUCCEEDED", "FAILED", "ABORTED", "TIMED_OUT"}
JOB_ENDED = {"Completed", "Failed", "Stopped"}
LOOK_AGAIN = 10.0  # seconds


class Account:
    """`account.sqs` is boto3's client for SQS, and so for every service; `pause` waits real seconds."""

    def __init__(self, site: Site, pause: Callable[[float], None] = time.sleep) -> None:
        self.site, self.pause = site, pause
        self._clients: dict[str, Any] = {}

    def __getattr__(self, service: str) -> Any:
        if service.startswith("_"):
            raise AttributeError(service)
        if service not in self._clients:
            self._clients[service] = self.site.client(service)
        return self._clients[service]

    def until(self, what: str, look: Callable[[], Any], *, minutes: float) -> Any:
        """What `look` returns as soon as it is true. Raises TimeoutError."""
        for _ in range(int(minutes * 60 / LOOK_AGAIN) + 1):
            if found := look():
                return found
            self.pause(LOOK_AGAIN)
        raise TimeoutError(f"{what}: not after {minutes:g} minutes")

    def ended(self, execution: str, *, minutes: float = 60) -> dict[str, Any]:
        """The execution's description, once it has ended."""

        def look() -> dict[str, Any] | None:
            told = self.stepfunctions.describe_execution(executionArn=execution)
            return dict(told) if told["status"] in ENDED else None

        return dict(self.until(execution, look, minutes=minutes))

    def run(self, definition: str, name: str, role: str, *, minutes: float = 5) -> dict[str, Any]:
        """Makes a machine, runs it once, and returns the ended execution."""
        arn = self.stepfunctions.create_state_machine(name=name, definition=definition, roleArn=role)
        machine = str(arn["stateMachineArn"])
        started = self.stepfunctions.start_execution(stateMachineArn=machine, input="{}")
        return self.ended(started["executionArn"], minutes=minutes)

    def retries(self, execution: str) -> int:
        """How often its tasks were scheduled or entered beyond the first time."""
        pages = self.stepfunctions.get_paginator("get_execution_history").paginate(executionArn=execution)
        kinds = [event["type"] for page in pages for event in page["events"]]
        return max(kinds.count("EvaluationFailed"), kinds.count("TaskScheduled")) - 1

    def job_ended(self, name: str, *, minutes: float = 30) -> dict[str, Any]:
        """The job's description, once it has ended."""

        def look() -> dict[str, Any] | None:
            told = self.sagemaker.describe_training_job(TrainingJobName=name)
            return dict(told) if told["TrainingJobStatus"] in JOB_ENDED else None

        return dict(self.until(name, look, minutes=minutes))

    def call(self, url: str, method: str, body: str, headers: Mapping[str, str] = {}) -> tuple[int, Any]:
        """(status, JSON or text) of a request to an API, signed with the session's credentials."""
        request = AWSRequest(
            method=method, url=url, data=body, headers={"Content-Type": "application/json", **headers}
        )
        credentials = self.site.session.get_credentials()
        assert credentials is not None
        SigV4Auth(credentials.get_frozen_credentials(), "execute-api", self.site.region).add_auth(request)
        sent = urllib.request.Request(url, body.encode(), dict(request.headers), method=method)
        try:
            with urllib.request.urlopen(sent) as answer:
                status, text = answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            status, text = error.code, error.read().decode()
        try:
            return status, json.loads(text)
        except ValueError:
            return status, text
