"""A run that is watched from afar: the network goes and comes back, and nothing is told twice."""

import io
import itertools
from types import SimpleNamespace

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError
from rich.console import Console

from tests.machine.aws_client import runs_of
from tests.machine.pipelines import Run, pipeline
from workflows.runs.executions import Runs
from workflows.runs.watching import GoneError, Watcher

LOST = {"interrupt": "50%"}


class Flaky:
    """A client whose n-th call fails where `fails(n)` gives an error; all clients count together."""

    def __init__(self, client, count, fails):
        self.client, self.count, self.fails = client, count, fails

    def __getattr__(self, name):
        found = getattr(self.client, name)
        if name == "get_paginator":
            return lambda method: SimpleNamespace(
                paginate=lambda **request: self._pages(found(method).paginate(**request))
            )
        return lambda **request: self._checked(lambda: found(**request))

    def _pages(self, pages):
        yield from self._checked(lambda: list(pages))

    def _checked(self, call):
        number = self.count[0] = self.count[0] + 1
        if error := self.fails(number):
            raise error
        return call()


def watched(run, fails=lambda number: None, **more):
    """(view, text, pauses) of a watch of an ended run, whose calls fail as told."""
    pauses: list[float] = []
    clean, out, count = runs_of(run.world), io.StringIO(), [0]
    clients = {"stepfunctions": clean.states, "sagemaker": clean.sagemaker, "s3": clean.s3}
    runs = Runs(lambda service: Flaky(clients[service], count, fails))
    console = Console(file=out, width=200)
    view = Watcher(runs, run.arn, console, pause=pauses.append, **more).follow()
    return view, out.getvalue(), pauses


def away(number):
    return EndpointConnectionError(endpoint_url="https://states.us-east-1.amazonaws.com")


@pytest.fixture(scope="module")
def run():
    return Run(pipeline({"name": "train"}), scenario={"spot": {"train": [LOST]}})


def test_the_network_that_goes_is_said_once_and_its_return_too(run):
    # given a network that is away for the first call, and for the third to the ninth
    view, text, _ = watched(run, lambda n: away(n) if n == 1 or 3 <= n <= 9 else None)
    # then
    assert view.status == "SUCCEEDED"
    assert text.count("no answer") == text.count("There it is again.") == 1
    assert "The run goes on; trying again until it answers." in text


def test_the_pauses_grow_up_to_half_a_minute_and_begin_anew(run):
    _, _, pauses = watched(run, lambda n: away(n) if n <= 12 else None)

    waits = pauses[:12]
    assert len(waits) == 12
    assert waits[0] == 0.2
    assert all(later == min(30.0, 2 * sooner) for sooner, later in itertools.pairwise(waits))
    assert waits[-1] == 30.0


def test_what_was_seen_before_the_network_went_is_not_told_again(run):
    calm = watched(run)[1]

    stormy = watched(run, lambda n: away(n) if n % 2 else None)[1]

    told = [line.partition("train")[2] for line in stormy.splitlines() if "train" in line]
    assert told == [line.partition("train")[2] for line in calm.splitlines() if "train" in line]


def test_credentials_that_expire_end_the_watch_at_once(run):
    expired = ClientError({"Error": {"Code": "ExpiredTokenException", "Message": "expired"}}, "X")

    with pytest.raises(ClientError):
        watched(run, lambda n: expired if n > 1 else None)


def test_a_local_world_that_has_ended_is_not_waited_for(run):
    with pytest.raises(GoneError, match="`relay local up`, then `relay resume run`"):
        watched(run, away, gone=lambda: True)


def test_who_joins_later_is_told_what_was_before(run):
    _, text, _ = watched(run, joined=True)

    assert "  before  train        attempt 1 on spot: interrupted" in text
