"""Where a command finds its runs: an AWS account, or a local world.

    --endpoint-url / RELAY_ENDPOINT_URL / AWS_ENDPOINT_URL   that address
    --profile, --region / RELAY_PROFILE, RELAY_REGION        AWS, with credentials as boto3 finds them
    nothing                                                  the `relay local` that is up on --root

Real credentials go to AWS alone: every other address gets dummy ones.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

from workflows.errors import RelayError
from workflows.local.clients import REGION, LocalClients
from workflows.local.presence import holder, present

DEFAULT_ROOT = Path(".relay/local")
HERE = {"127.0.0.1", "localhost", "::1"}
OF_AWS = (".amazonaws.com", ".amazonaws.com.cn", ".api.aws", ".api.amazonwebservices.com.cn")
ADDRESSES = ("RELAY_ENDPOINT_URL", "AWS_ENDPOINT_URL")  # the first one that is set counts
TRIES = 5  # of each call that AWS throttles, with boto3's own back-off between them


class ConnectionChoiceError(RelayError):
    """Nothing, or too much, says where to go."""


@dataclass(frozen=True)
class Target:
    """What a command was told about where its runs are; None where nothing was said."""

    root: Path  # of the local world
    profile: str | None = None
    region: str | None = None
    endpoint_url: str | None = None

    @property
    def address(self) -> str | None:
        """The endpoint that was named, by the option or by the environment."""
        named = [self.endpoint_url, *(os.environ.get(name) for name in ADDRESSES)]
        return next(filter(None, named), None)

    @property
    def named(self) -> bool:
        """Whether anything was said, so that the folder's own world is not meant."""
        return any((self.profile, self.region, self.address))


class Connection:
    """The clients of one place. `client` makes a boto3 client by its service name."""

    def __init__(
        self,
        client: Callable[[str], Any],
        *,
        where: str,
        region: str,
        root: Path | None = None,
        rehearsal: bool = False,
        world: Any = None,
    ) -> None:
        """Makes a connection. `where`: in words. `root`: the folder of a local world on this computer.

        `rehearsal`: whether runs cost nothing, and machines are installed as they are started. `world`: the
        LocalWorld itself, when this process holds it.
        """
        self.where, self.region, self.root, self.rehearsal, self.world = where, region, root, rehearsal, world
        self._make, self._clients = client, dict[str, Any]()
        self._seconds_ahead = 0.0  # of the other side's clock before ours

    def client(self, service: str) -> Any:
        """A boto3 client, made once."""
        if service not in self._clients:
            made = self._clients[service] = self._make(service)
            if service == "stepfunctions":
                made.meta.events.register("after-call.sfn", self._note_time)
        return self._clients[service]

    def now(self) -> datetime:
        """The time over there, as its last answer told: a local world's runs ahead of the wall's."""
        return datetime.fromtimestamp(datetime.now(UTC).timestamp() + self._seconds_ahead, UTC)

    def said(self, job: str, most: int = 3) -> list[str]:
        """The last lines that a job printed itself, where its log is on this computer."""
        logs = sorted((self.root / "logs" / job).glob("*.log")) if self.root else []
        lines = logs[0].read_text("utf-8", "replace").splitlines() if logs else []
        return [line for line in lines if line.strip() and not line.startswith("step=")][-most:]

    def gone(self) -> bool:
        """Whether nothing will answer any more: the local world has ended."""
        return self.root is not None and self.world is None and present(self.root) is None

    def options(self) -> str:
        """What to add to a command that shall come here again."""
        if self.root is None:
            return ""  # said by the user, who will say it again
        return "" if self.root == DEFAULT_ROOT else f" --root {self.root}"

    def _note_time(self, http_response: Any, **_: Any) -> None:
        told = http_response.headers.get("date")
        if told:
            ahead = parsedate_to_datetime(told).timestamp() - datetime.now(UTC).timestamp()
            # The header knows whole seconds: below two it says nothing.
            self._seconds_ahead = ahead if abs(ahead) >= 2 else 0.0


@contextmanager
def connect(target: Target, *, own_world: bool = False) -> Iterator[Connection]:
    """The place that the target means.

    `own_world`: without a `relay local`, open the folder's world for as long as the command lasts; enough to
    read what earlier runs left. Raises RelayError where there is no place.
    """
    if target.address:
        yield at_address(target)
    elif target.named:
        yield at_aws(target.profile, target.region)
    elif found := present(target.root):
        yield _at_root(target.root, found.address)
    elif own_world:
        with _opened(target.root) as connection:
            yield connection
    else:
        raise ConnectionChoiceError(_nowhere(target.root))


def at_address(target: Target) -> Connection:
    """A local world or another AWS at that address, which gets dummy credentials; or AWS itself."""
    address = str(target.address)
    url = urlparse(address)
    host = url.hostname or ""
    if url.scheme not in {"http", "https"} or not host:
        raise ConnectionChoiceError(f"--endpoint-url: found {address!r}, expected e.g. http://127.0.0.1:4566")
    if is_aws(host):
        return at_aws(target.profile, target.region, address)
    if target.profile:
        raise ConnectionChoiceError(
            f"the profile `{target.profile}` and the address {address}, which is not AWS's, exclude each "
            f"other: leave out --profile, or unset {' and '.join(ADDRESSES)}"
        )
    clients = LocalClients(address, target.region or REGION, attempts=2)
    found = present(target.root)
    return Connection(
        clients,
        where=address,
        region=clients.region,
        root=target.root if found and found.address == address.rstrip("/") else None,
        rehearsal=host in HERE,
    )


def at_aws(profile: str | None, region: str | None, address: str | None = None) -> Connection:
    """An account. Raises what boto3 does for a profile that is not there, and RelayError without a region."""
    import boto3
    from botocore.config import Config

    session = boto3.Session(profile_name=profile, region_name=region)
    if not session.region_name:
        raise ConnectionChoiceError("no region: give --region, or set `region` in the profile")
    config = Config(
        retries={"mode": "standard", "max_attempts": TRIES}, connect_timeout=10, user_agent_extra="relay"
    )

    def make(service: str) -> Any:
        made = session.client(service, endpoint_url=address, config=config)
        _refuse_strangers(made.meta.endpoint_url)
        return made

    return Connection(make, where=f"AWS, {session.region_name}", region=session.region_name)


def is_aws(host: str) -> bool:
    """Whether a host is one of AWS's own."""
    return f".{host.lower()}".endswith(OF_AWS)


def _refuse_strangers(address: str) -> None:
    """The user's AWS configuration may name an address for a service, too."""
    url = urlparse(address)
    if not is_aws(url.hostname or "") or url.scheme != "https":
        raise ConnectionChoiceError(
            f"the AWS configuration names {address}, which is not AWS's, and credentials go to AWS alone: "
            "remove `endpoint_url` there, or name the address with --endpoint-url (it gets dummy credentials)"
        )


def _at_root(root: Path, address: str) -> Connection:
    return Connection(
        LocalClients(address, attempts=2),
        where=f"the local world at {address}",
        region=REGION,
        root=root,
        rehearsal=True,
    )


@contextmanager
def _opened(root: Path) -> Iterator[Connection]:
    from workflows.local.server import LocalWorld

    if not root.is_dir():
        raise ConnectionChoiceError(
            f"no local world in {root}: start a run first, or name its folder with --root; runs on AWS are "
            "found with --region or --profile"
        )
    with LocalWorld(root) as world:
        yield Connection(
            world.client,
            where=f"the local world in {root}",
            region=REGION,
            root=root,
            rehearsal=True,
            world=world,
        )


def _nowhere(root: Path) -> str:
    if holder(root) is not None:
        return (
            f"the local world in {root} belongs to another command, which will end with its run: wait for "
            "it, or keep a world with `relay local up` and start runs there"
        )
    return (
        f"no `relay local` is up in {root}, and AWS was not named: `relay local up`, or name AWS with "
        "--region or --profile (or RELAY_REGION, RELAY_PROFILE)"
    )
