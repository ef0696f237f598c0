"""Each template is synthesized once: to start CDK takes seconds."""

from __future__ import annotations

from typing import Any

import pytest

from tests.stacks.templates import DIGITS, GRAPH, KEY, ROOT, TRIGGERS, write_everything


@pytest.fixture(scope="session")
def synthesize():
    """`stacks.app.synthesize`; without CDK the tests that need it are skipped."""
    pytest.importorskip("aws_cdk", reason="./scripts/test installs CDK")
    from stacks.app import synthesize

    return synthesize


@pytest.fixture(scope="session")
def templates(synthesize) -> dict[str, Any]:
    """Stack -> template, for both examples as a fresh clone would deploy them."""
    from stacks.settings import Settings

    return dict(synthesize(Settings(pipelines=(DIGITS, GRAPH)), ROOT))


@pytest.fixture(scope="session")
def triggered(synthesize) -> dict[str, Any]:
    """The templates of the digits with a schedule and an API."""
    from stacks.settings import Settings

    return dict(synthesize(Settings(pipelines=(DIGITS,), triggers={"digits": TRIGGERS}), ROOT))


@pytest.fixture(scope="session")
def everything(synthesize, tmp_path_factory) -> dict[str, Any]:
    """The templates of a pipeline that uses all that stages can say, with every setting made."""
    from stacks.settings import Settings

    folder = tmp_path_factory.mktemp("everything")
    settings = Settings(
        pipelines=(write_everything(folder),),
        kms_key=KEY,
        network={"subnets": ["subnet-9"], "security_groups": ["sg-9"], "encrypt_traffic": True},
        permissions_boundary="arn:aws:iam::123456789012:policy/boundary",
        log_data=True,
        notify=("team@example.com",),
        notify_success=True,
        alarm_no_progress=3,
        tags={"team": "vision"},
        triggers={"everything": TRIGGERS},
        api_gateway_logs=True,
    )
    return dict(synthesize(settings, folder))
