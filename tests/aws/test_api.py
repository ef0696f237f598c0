"""What API Gateway does with the API of a pipeline."""

import os

import pytest

from stacks.deployment.deploy import API_OUTPUT
from tests.aws.assumptions import settle


@pytest.fixture(scope="module")
def url(outputs):
    return next(value for key, value in outputs.items() if key.startswith(API_OUTPUT)) + "runs"


@pytest.fixture(scope="module")
def first(account, url):
    """(key, status, body) of a run that is started by its key, and stopped at the end."""
    key = f"probe-{os.urandom(4).hex()}"
    status, body = account.call(url, "POST", "{}", {"Idempotency-Key": key})
    yield key, status, body
    account.call(f"{url}/digits-{key}/stop", "POST", "{}")


def test_the_role_of_the_api_can_be_assumed(first):
    _, status, body = first

    settle("api-source-account", status < 500, f"{status}: {body}")


def test_answers_are_chosen_by_their_status(account, url, first):
    key, status, body = first
    again = account.call(url, "POST", '{"budget_usd": 5}', {"Idempotency-Key": key})

    settle("selection-pattern", (status, again[0]) == (201, 409), f"{status}: {body}; again: {again}")


def test_an_empty_body_starts_a_run(account, url):
    key = f"empty-{os.urandom(4).hex()}"

    status, body = account.call(url, "POST", "", {"Idempotency-Key": key})

    account.call(f"{url}/digits-{key}/stop", "POST", "{}")
    settle("empty-body", status == 201, f"{status}: {body}")
