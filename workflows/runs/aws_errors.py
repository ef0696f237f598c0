"""What went wrong between a command and AWS, in one message that says what to do about it.

Pure: takes the exception of boto3, gives ours. The local world answers with AWS's own errors, so the same
words serve both.
"""

from __future__ import annotations

import re
from typing import Any

from botocore import exceptions as boto
from botocore.exceptions import BotoCoreError, ClientError

from workflows.errors import RelayError

UNREACHABLE = (
    boto.HTTPClientError,  # no connection, one that broke, a proxy, TLS, a time-out
    boto.ConnectionError,
)
BUSY = {
    *("Throttling", "ThrottlingException", "ThrottledException", "TooManyRequestsException", "SlowDown"),
    *("RequestLimitExceeded", "RequestThrottledException", "ProvisionedThroughputExceededException"),
}
DOWN = {"InternalServerError", "InternalFailure", "InternalError", "ServiceUnavailable", "503", "500", "502"}
_EXPIRED = {"ExpiredToken", "ExpiredTokenException", "RequestExpired", "TokenRefreshRequired"}
_STRANGE = {
    *("InvalidClientTokenId", "UnrecognizedClientException", "InvalidAccessKeyId", "SignatureDoesNotMatch"),
    *("InvalidSignatureException", "AuthFailure", "InvalidToken", "MissingAuthenticationToken"),
}
_REFUSED = {
    *("AccessDenied", "AccessDeniedException", "UnauthorizedOperation", "AuthorizationError"),
    *("NotAuthorized", "403"),
}
_NO_CREDENTIALS = (boto.NoCredentialsError, boto.PartialCredentialsError, boto.CredentialRetrievalError)
_SIGNED_OUT = (boto.SSOError, boto.TokenRetrievalError, boto.NoAuthTokenError)
_ACTION = re.compile(r"not authorized to perform: ([a-z0-9-]+:[A-Za-z*]+)")


class AwsError(RelayError):
    """AWS, or the local world, could not be asked, or refused: nothing is wrong with the run itself."""

    exit_code = 4


def explained(error: Exception) -> AwsError | None:
    """The error in words, None for one that is not boto3's."""
    if isinstance(error, ClientError):
        return AwsError(_of_the_answer(error))
    if isinstance(error, BotoCoreError):
        return AwsError(_without_an_answer(error))
    return None


def passes_by_itself(error: Exception) -> bool:
    """Whether to ask again later is the cure: the network was away, AWS was busy or failed."""
    if isinstance(error, ClientError):
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        return code_of(error) in BUSY | DOWN or status >= 500
    return isinstance(error, UNREACHABLE)


def bucket_is_gone(name: str) -> str:
    """What to say when the bucket that the machines name is not there."""
    return (
        f"the bucket {name or 'of the installation'} does not exist (any more): with it went the runs' code, "
        "checkpoints and models; deploy the stack `relay` again, or name another bucket in cdk.json, then "
        "start anew"
    )


def code_of(error: ClientError) -> str:
    """AWS's own name of the error."""
    return str(error.response.get("Error", {}).get("Code", ""))


def _without_an_answer(error: BotoCoreError) -> str:
    if isinstance(error, boto.ProfileNotFound):
        return f"{error}: name one of ~/.aws/config with --profile"
    if isinstance(error, boto.NoRegionError):
        return "no region: give --region, or set `region` in the profile"
    if isinstance(error, _SIGNED_OUT):
        return f"you are signed out of AWS ({_line(error)}): sign in again, e.g. with `aws sso login`"
    if isinstance(error, _NO_CREDENTIALS):
        return (
            f"no credentials for AWS ({_line(error)}): sign in (`aws sso login`, `aws configure`) or name a "
            "profile with --profile"
        )
    if isinstance(error, UNREACHABLE):
        return f"no answer: {_line(error)}: is the network there, and the region right?"
    return _line(error)


def _of_the_answer(error: ClientError) -> str:
    code, action = code_of(error), _action(error)
    if code in _EXPIRED:
        return (
            "the credentials have expired: sign in to AWS again (e.g. `aws sso login`) and repeat the command"
        )
    if code in _STRANGE:
        return f"AWS does not know these credentials ({code}): sign in again, or name another --profile"
    if code in _REFUSED:
        return f"not allowed: {action} ({_said(error)}): ask for this permission, or name another --profile"
    if code in BUSY:
        return f"AWS is busy and refused {action} at each try ({code}): repeat the command in a minute"
    if code == "NoSuchBucket":
        return bucket_is_gone(error.response["Error"].get("BucketName", ""))
    if passes_by_itself(error):
        return f"AWS could not answer {action} ({_said(error)}): repeat the command in a minute"
    return f"AWS refused {action}: {_said(error)}"


def _action(error: ClientError) -> str:
    """The IAM action where AWS names it, else the operation."""
    named = _ACTION.search(_said(error))
    return named[1] if named else str(error.operation_name)


def _said(error: ClientError) -> str:
    told: Any = error.response.get("Error", {})
    message = " ".join(str(told.get("Message") or told.get("Code") or error).split())
    return message.rstrip(".")


def _line(error: Exception) -> str:
    return " ".join(str(error).split()).rstrip(".")
