"""Deploying to an account: the order, what is asked, what is shown, what a second time does."""

import json

import pytest

from stacks.deployment import stack as stacks
from stacks.deployment.deploy import Options, deploy, how_to_start, left_over
from stacks.deployment.errors import DeploymentError

BUCKET = "relay-123456789012-us-east-1"


@pytest.fixture
def templates(shared, pipeline):
    return {"relay-digits": pipeline, "relay": shared}


@pytest.fixture
def run(site, templates):
    """Deploys; what was uploaded, and when, stands in `run.uploads`."""

    uploads: list[object] = []

    def run(dialogue, options=Options(), made=None):
        return deploy(
            site,
            made or templates,
            lambda: uploads.append(status(site, "relay")),
            dialogue,
            options,
            never,
        )

    run.uploads = uploads  # type: ignore[attr-defined]
    return run


def never(seconds):
    raise AssertionError("moto is done at once")


def status(site, name):
    found = site.client("cloudformation").describe_stacks()["Stacks"]
    return next((each["StackStatus"] for each in found if each["StackName"] == name), None)


def test_the_bucket_comes_first_then_what_machines_name_then_the_machines(run, site, screen):
    done = run(screen.yes())

    assert [(each.stack, each.outcome) for each in done] == [
        ("relay", "created"),
        ("relay-digits", "created"),
    ]
    assert run.uploads == ["CREATE_COMPLETE"]
    assert [b["Name"] for b in site.client("s3").list_buckets()["Buckets"]] == [BUCKET]
    assert list(how_to_start(done)) == [
        "relay-digits starts with: aws stepfunctions start-execution --state-machine-arn "
        "arn:aws:states:us-east-1:123456789012:stateMachine:digits:live --input '{}'"
    ]


def test_every_change_is_shown_and_so_is_that_roles_are_made(run, screen):
    run(screen.yes())

    assert "relay-digits: new, 2 resources to change" in screen.text
    assert "IAM::Role" in screen.text
    assert "1 role among them" in screen.text
    assert "S3::Bucket" in screen.text


def test_the_second_time_there_is_nothing_to_change_and_nothing_is_asked(run, screen):
    run(screen.yes())
    asks_nobody = screen.typing()

    done = run(asks_nobody)

    assert [each.outcome for each in done] == ["unchanged", "unchanged"]
    assert "relay-digits: nothing to change" in screen.text
    assert done[1].outputs["Start"].endswith(":digits:live")


def test_a_change_is_an_update(run, templates, screen):
    run(screen.yes())
    templates["relay-digits"]["Resources"]["Told"]["Properties"]["DisplayName"] = "Digits"

    done = run(screen.typing("y"))

    assert [each.outcome for each in done] == ["unchanged", "updated"]
    assert [(c.action, c.logical_id) for c in done[1].changes] == [("Modify", "Told")]


def test_the_shared_stack_is_protected_and_a_pipelines_is_not(run, site, screen):
    run(screen.yes())

    found = site.client("cloudformation").describe_stacks()["Stacks"]
    protected = {each["StackName"]: each.get("EnableTerminationProtection", False) for each in found}
    assert protected == {"relay": True, "relay-digits": False}


@pytest.mark.parametrize("answer", ["n", "", "no", "yes please"])
def test_whoever_does_not_say_yes_deploys_nothing_and_leaves_nothing(run, site, screen, answer):
    done = run(screen.typing(answer))

    assert [(each.stack, each.outcome) for each in done] == [("relay", "declined")]
    assert run.uploads == []
    assert site.client("s3").list_buckets()["Buckets"] == []
    assert status(site, "relay") in {None, "DELETE_COMPLETE"}


def test_without_a_terminal_nothing_is_asked_and_nothing_is_done(run, site, screen, monkeypatch):
    dialogue = screen.typing("y")
    monkeypatch.setattr("sys.stdin.isatty", lambda: False)

    with pytest.raises(DeploymentError, match="this is no terminal: look, then say --yes"):
        run(dialogue)

    assert site.client("s3").list_buckets()["Buckets"] == []
    assert status(site, "relay") in {None, "DELETE_COMPLETE"}


def test_a_dry_run_shows_and_changes_nothing(run, site, screen):
    done = run(screen.typing(), Options(dry_run=True))

    assert [each.outcome for each in done] == ["shown", "shown"]
    assert run.uploads == []
    assert site.client("s3").list_buckets()["Buckets"] == []


def test_a_large_template_goes_through_the_bucket(run, templates, site, screen):
    templates["relay-digits"]["Metadata"] = {"long": "x" * stacks.LARGEST_BODY}

    done = run(screen.yes())

    assert done[1].outcome == "created"
    (laid,) = site.client("s3").list_objects_v2(Bucket=BUCKET)["Contents"]
    assert laid["Key"].startswith("deployments/")
    body = site.client("s3").get_object(Bucket=BUCKET, Key=laid["Key"])["Body"].read()
    assert json.loads(body) == templates["relay-digits"]


def test_a_dry_run_in_a_fresh_account_shows_a_large_template_too_and_makes_nothing(
    run, templates, site, screen
):
    templates["relay-digits"]["Metadata"] = {"long": "x" * stacks.LARGEST_BODY}
    calls = []
    site.session.events.register("before-call.cloudformation", lambda model, **_: calls.append(model.name))

    done = run(screen.typing(), Options(dry_run=True))

    assert [(each.stack, each.outcome, len(each.changes)) for each in done] == [
        ("relay", "shown", len(templates["relay"]["Resources"])),
        ("relay-digits", "shown", 2),
    ]
    assert "relay-digits: new, 2 resources to change" in screen.text
    assert set(calls) == {"DescribeStacks"}
    assert site.client("s3").list_buckets()["Buckets"] == []


def test_pipelines_that_are_no_longer_in_the_settings_are_told(run, site, templates, screen):
    run(screen.yes())

    assert list(left_over(site, list(templates))) == []
    assert list(left_over(site, ["relay"])) == ["digits"]
