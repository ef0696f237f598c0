"""What a user reads when AWS refuses, or cannot be asked: one message that says what to do."""

import boto3
import pytest
from botocore import exceptions as boto
from botocore.exceptions import ClientError
from botocore.stub import Stubber

from workflows.commands import cli
from workflows.errors import RelayError
from workflows.runs.aws_errors import AwsError, explained, passes_by_itself

DENIED = (
    "User: arn:aws:sts::123456789012:assumed-role/dev/me is not authorized to perform: "
    "states:StartExecution on resource: arn:aws:states:us-east-1:123456789012:stateMachine:digits because no "
    "identity-based policy allows the states:StartExecution action"
)


def refused(code, message="", status=400, service="stepfunctions", method="list_state_machines", **request):
    """The error as boto3 itself makes it of AWS's answer."""
    client = boto3.client(
        service, region_name="us-east-1", aws_access_key_id="test", aws_secret_access_key="test"
    )
    with Stubber(client) as stubber:
        stubber.add_client_error(method, code, message, http_status_code=status)
        with pytest.raises(ClientError) as caught:
            getattr(client, method)(**request)
    return caught.value


@pytest.mark.parametrize(
    ("code", "message", "told"),
    [
        ("ExpiredTokenException", "The security token included in the request is expired", "have expired"),
        ("ExpiredToken", "The provided token has expired.", "have expired"),
        ("UnrecognizedClientException", "The security token ... is invalid.", "does not know these"),
        ("InvalidSignatureException", "Signature expired", "does not know these credentials"),
        ("AccessDeniedException", DENIED, "not allowed: states:StartExecution (User: arn:aws:sts"),
        ("ThrottlingException", "Rate exceeded", "is busy and refused ListStateMachines at each try"),
        ("InternalServerError", "", "could not answer ListStateMachines"),
        ("ValidationException", "1 validation error", "AWS refused ListStateMachines: 1 validation error"),
    ],
)
def test_what_aws_refuses_is_told_with_what_to_do(code, message, told):
    error = explained(refused(code, message))

    assert told in str(error)
    assert len(str(error).splitlines()) == 1
    assert error.exit_code == 4


def test_a_bucket_that_was_deleted_is_told_with_what_went_with_it():
    error = refused("NoSuchBucket", "gone", 404, "s3", "list_objects_v2", Bucket="relay-1-us-east-1")
    error.response["Error"]["BucketName"] = "relay-1-us-east-1"  # as S3's answer has it

    assert "the bucket relay-1-us-east-1 does not exist (any more)" in str(explained(error))
    assert "deploy the stack `relay` again" in str(explained(error))


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (boto.NoCredentialsError(), "no credentials for AWS (Unable to locate credentials): sign in"),
        (boto.PartialCredentialsError(provider="env", cred_var="AWS_SECRET_ACCESS_KEY"), "no credentials"),
        (boto.ProfileNotFound(profile="team"), "(team) could not be found: name one of ~/.aws/config"),
        (boto.NoRegionError(), "no region: give --region"),
        (boto.UnauthorizedSSOTokenError(), "you are signed out of AWS"),
        (boto.SSOTokenLoadError(error_msg="token is old"), "sign in again, e.g. with `aws sso login`"),
        (boto.EndpointConnectionError(endpoint_url="https://states.us-east-1.amazonaws.com/"), "no answer"),
        (boto.ConnectTimeoutError(endpoint_url="https://states.us-east-1.amazonaws.com/"), "no answer"),
    ],
)
def test_what_keeps_aws_from_being_asked_is_told_with_what_to_do(error, told):
    assert told in str(explained(error))


@pytest.mark.parametrize(
    ("error", "passes"),
    [
        (boto.EndpointConnectionError(endpoint_url="https://x.amazonaws.com"), True),
        (boto.ReadTimeoutError(endpoint_url="https://x.amazonaws.com"), True),
        (boto.ConnectionClosedError(endpoint_url="https://x.amazonaws.com"), True),
        (refused("ThrottlingException", "Rate exceeded"), True),
        (refused("Whatever", "Bad gateway", 502), True),
        (refused("ExpiredTokenException", "expired"), False),
        (refused("AccessDeniedException", DENIED), False),
        (boto.NoCredentialsError(), False),
        (ValueError("a bug"), False),
    ],
)
def test_only_what_passes_by_itself_is_waited_for(error, passes):
    assert passes_by_itself(error) == passes


def test_a_bug_is_not_explained_away():
    assert explained(ValueError("a bug")) is None


@pytest.mark.parametrize(
    ("error", "code"),
    [(boto.NoCredentialsError(), 4), (AwsError("no"), 4), (RelayError("no"), 2)],
)
def test_the_command_prints_one_line_and_ends_with_the_documented_code(error, code, monkeypatch, capsys):
    def fail():
        raise error

    monkeypatch.setattr(cli, "app", fail)

    with pytest.raises(SystemExit) as ended:
        cli.main()

    assert ended.value.code == code
    assert len(capsys.readouterr().err.splitlines()) == 1
