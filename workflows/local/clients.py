"""boto3 clients of a local world: dummy credentials, nothing of the user's own configuration.

Whatever the endpoint turns out to be, no real key and no session token ever goes there.
"""

from __future__ import annotations

import os
import threading
from typing import Any

import boto3
import botocore.session
from botocore.config import Config

REGION = "us-east-1"
KEY = "relay"  # access key and secret: any will do


class LocalClients:
    """Makes each client once; any thread may call it."""

    def __init__(self, endpoint_url: str, region: str = REGION, *, attempts: int = 1) -> None:
        """`attempts` is how often a call is tried before its failure is raised."""
        self.endpoint_url, self.region = endpoint_url, region
        self._attempts = attempts
        self._session = _session()
        self._lock = threading.Lock()
        self._clients: dict[str, Any] = {}

    def __call__(self, service: str) -> Any:
        """The client of a service."""
        with self._lock:
            if service not in self._clients:
                self._clients[service] = self._session.client(
                    service,
                    endpoint_url=self.endpoint_url,
                    region_name=self.region,
                    aws_access_key_id=KEY,
                    aws_secret_access_key=KEY,
                    config=Config(
                        proxies={},  # the user's proxy is not on the way to this computer
                        s3={"addressing_style": "path"},
                        retries={"max_attempts": self._attempts},
                        max_pool_connections=32,
                    ),
                )
            return self._clients[service]


def exports(address: str) -> dict[str, str]:
    """What boto3 and the AWS CLI need in their environment to talk to a local world."""
    return {
        "AWS_ENDPOINT_URL": address,
        "AWS_REGION": REGION,
        "AWS_DEFAULT_REGION": REGION,
        "AWS_ACCESS_KEY_ID": KEY,
        "AWS_SECRET_ACCESS_KEY": KEY,
    }


def _session() -> boto3.Session:
    """A session that reads nothing of the user's: no profile, no configuration, no credentials."""
    nowhere = (None, None, os.devnull, None)
    core = botocore.session.Session(
        {"profile": (None, None, None, None), "config_file": nowhere, "credentials_file": nowhere}
    )
    return boto3.Session(botocore_session=core)
