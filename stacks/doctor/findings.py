"""What a check found: a verdict, what was seen, what to do. Not being allowed to look is no verdict."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from botocore.exceptions import BotoCoreError, ClientError

OK, WARN, FAIL, UNKNOWN = "ok", "warn", "fail", "unknown"
DENIED = frozenset(
    {
        "AccessDenied",
        "AccessDeniedException",
        "AuthorizationError",
        "UnauthorizedOperation",
        "UnauthorizedException",
        "403",  # HEAD requests have no body, and so no other code
    }
)


@dataclass(frozen=True)
class Finding:
    """One line of the report; `to_do` is empty where nothing is to be done."""

    subject: str
    verdict: str
    seen: str
    to_do: str = ""


Check = Callable[[], Iterable[Finding]]


def looked(subject: str, check: Check) -> Iterator[Finding]:
    """The findings of a check; where AWS does not let it look, or does not answer, that is `unknown`."""
    try:
        yield from check()
    except ClientError as error:
        call, code = error.operation_name, error.response["Error"]["Code"]
        if code in DENIED:
            yield Finding(
                subject, UNKNOWN, f"you may not call {call}", f"allow {call}, or have somebody look"
            )
        else:
            said = " ".join(error.response["Error"].get("Message", "").split())
            yield Finding(
                subject, UNKNOWN, f"{call}: {code}: {said}".rstrip(": "), "mend that and look again"
            )
    except BotoCoreError as error:
        yield Finding(subject, UNKNOWN, " ".join(str(error).split()), "look again when AWS can be reached")


def is_missing(error: ClientError, *codes: str) -> bool:
    """Whether AWS says that there is no such thing; other errors are raised on."""
    if error.response["Error"]["Code"] in codes:
        return True
    raise error
