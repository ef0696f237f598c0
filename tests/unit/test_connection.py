"""Where a command goes, and that real credentials go to AWS alone."""

import fcntl
import json
import os
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from types import SimpleNamespace

import pytest
from botocore.exceptions import ProfileNotFound

from workflows.errors import RelayError
from workflows.local.presence import Presence, announce, present
from workflows.runs.connection import Connection, Target, at_address, at_aws, connect, is_aws

LOCAL = "http://127.0.0.1:4566"


@pytest.fixture(autouse=True)
def _environment(monkeypatch, tmp_path):
    """A user with real keys, whose configuration is in the test's folder."""
    for name in [name for name in os.environ if name.startswith(("AWS_", "RELAY_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAREALREALREAL")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "real-secret")
    monkeypatch.setenv("AWS_SESSION_TOKEN", "real-token")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))


@pytest.fixture
def up(tmp_path):
    """A folder in which a world says that it is up; this process holds its lock."""
    root = tmp_path / "world"
    root.mkdir()
    announce(root, Presence(os.getpid(), LOCAL, "2026-01-01T00:00:00+00:00", 60.0))
    with (root / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        lock.write(str(os.getpid()))
        lock.flush()
        yield root


def keys(connection, service="stepfunctions"):
    found = connection.client(service)._request_signer._credentials
    return found.access_key, found.secret_key, found.token


# ------------------------------------------------------------------------------------------- where it goes
def test_without_a_word_a_command_goes_to_the_world_that_is_up_in_the_folder(up):
    with connect(Target(up)) as connection:
        assert connection.client("s3").meta.endpoint_url == LOCAL
        assert connection.rehearsal
        assert not connection.gone()


def test_without_a_word_and_without_a_world_both_ways_are_told(tmp_path):
    with pytest.raises(RelayError, match="`relay local up`, or name AWS with --region") as told:
        connect(Target(tmp_path / "none")).__enter__()

    assert told.value.exit_code == 2


def test_a_world_that_was_killed_is_not_taken_for_one_that_is_up(up, tmp_path):
    killed = tmp_path / "killed"
    killed.mkdir()
    announce(killed, Presence(os.getpid(), LOCAL, "2026-01-01T00:00:00+00:00", 60.0))
    (killed / "lock").write_text(str(os.getpid()))  # nobody holds it

    assert present(up)
    assert present(killed) is None


def test_a_file_that_another_program_has_written_is_no_world(tmp_path):
    (tmp_path / "up.json").write_text('{"pid": 1}')

    assert present(tmp_path) is None


@pytest.mark.parametrize("name", ["RELAY_ENDPOINT_URL", "AWS_ENDPOINT_URL"])
def test_the_exports_of_a_world_lead_to_it(name, monkeypatch, tmp_path):
    monkeypatch.setenv(name, LOCAL)

    with connect(Target(tmp_path)) as connection:
        assert connection.client("dynamodb").meta.endpoint_url == LOCAL


def test_a_region_or_a_profile_leads_to_aws(up, tmp_path):
    (tmp_path / "config").write_text("[profile team]\nregion = eu-west-1\n")

    for target in (Target(up, region="eu-west-1"), Target(up, profile="team")):
        with connect(target) as connection:
            assert connection.client("stepfunctions").meta.endpoint_url == (
                "https://states.eu-west-1.amazonaws.com"
            )
            assert not connection.rehearsal


def test_a_profile_that_is_not_there_and_a_missing_region_are_told(tmp_path):
    (tmp_path / "config").write_text("[profile nowhere]\nsso_start_url = https://x\n")

    with pytest.raises(ProfileNotFound):
        at_aws("team", None)
    with pytest.raises(RelayError, match="no region: give --region"):
        at_aws("nowhere", None)


@pytest.mark.parametrize("address", ["127.0.0.1:4566", "ftp://127.0.0.1", "http://"])
def test_an_address_that_is_none_is_told(address, tmp_path):
    with pytest.raises(RelayError, match="expected e\\.g\\. http"):
        at_address(Target(tmp_path, endpoint_url=address))


# -------------------------------------------------------------------------------------------- credentials
@pytest.mark.parametrize(
    "address", [LOCAL, "http://localhost:1", "https://aws.example.com", "https://amazonaws.com.evil.example"]
)
def test_whatever_is_not_aws_gets_dummy_credentials(address, tmp_path):
    connection = at_address(Target(tmp_path, endpoint_url=address))

    for service in ("stepfunctions", "sagemaker", "s3", "dynamodb"):
        assert keys(connection, service) == ("relay", "relay", None)


def test_aws_gets_the_users_own(tmp_path):
    named = at_address(
        Target(
            tmp_path, endpoint_url="https://vpce-1.states.us-east-1.vpce.amazonaws.com", region="us-east-1"
        )
    )

    for connection in (at_aws(None, "us-east-1"), named):
        assert keys(connection) == ("AKIAREALREALREAL", "real-secret", "real-token")


def test_a_profile_and_an_address_that_is_not_aws_exclude_each_other(tmp_path, monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL", LOCAL)

    with pytest.raises(RelayError, match="exclude each other: leave out --profile, or unset"):
        at_address(Target(tmp_path, profile="team"))


@pytest.mark.parametrize(
    "address",
    ["http://127.0.0.1:9", "https://collector.example.com", "http://states.us-east-1.amazonaws.com"],
)
def test_an_address_in_the_aws_configuration_does_not_lead_credentials_astray(address, monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL_SFN", address)

    with pytest.raises(RelayError, match="credentials go to AWS alone"):
        at_aws(None, "us-east-1").client("stepfunctions")


def test_hosts_of_aws_are_told_from_those_that_look_alike():
    assert is_aws("states.us-east-1.amazonaws.com")
    assert is_aws("states.cn-north-1.amazonaws.com.cn")
    assert is_aws("s3.dualstack.us-east-1.api.aws")
    assert not is_aws("notamazonaws.com")
    assert not is_aws("states.amazonaws.com.example.com")


# --------------------------------------------------------------------------------------------------- time
def test_the_time_over_there_is_that_of_its_last_answer():
    connection = Connection(lambda service: None, where="", region="us-east-1")
    tomorrow = datetime.now(UTC) + timedelta(days=1)

    connection._note_time(SimpleNamespace(headers={"date": format_datetime(tomorrow, usegmt=True)}))

    assert abs((connection.now() - tomorrow).total_seconds()) < 60


def test_a_presence_is_read_back_as_it_was_announced(up):
    assert json.loads((up / "up.json").read_text())["address"] == LOCAL
    assert present(up).port == 4566
