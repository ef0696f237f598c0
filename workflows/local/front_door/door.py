"""One door for every AWS service on this computer: ours for two of them, moto for the rest.

Bound to 127.0.0.1 only. Web pages that a browser here shows may send requests to it too, so those
are refused by their Host (DNS rebinding) and by their Origin (which boto3 never sends).
"""

from __future__ import annotations

import io
import json
import logging
import socket
import threading
from collections.abc import Callable, Iterable, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any, Protocol

from werkzeug.http import http_date
from werkzeug.serving import BaseWSGIServer, WSGIRequestHandler, make_server
from werkzeug.test import Client
from werkzeug.wrappers import Request, Response

from workflows.errors import RelayError
from workflows.local.clock import ClockError, RealClock
from workflows.local.front_door.journal import Journal
from workflows.local.front_door.mirror import Mirror, WsgiApp
from workflows.local.front_door.protocol import answer, decode, refusal
from workflows.local.service_errors import ServiceError

log = logging.getLogger(__name__)

HOSTS = ("127.0.0.1", "localhost")
LARGEST_BODY = 5 * 1024**3
"""S3's own limit for one PUT; the JSON services take a megabyte, as Step Functions does."""
LARGEST_JSON = 2 * 1024**2


class PortError(RelayError):
    """The port that was asked for cannot be served."""


class Handler(Protocol):
    """One of our services."""

    def handle(self, operation: str, request: dict[str, Any]) -> dict[str, Any]:
        """Answer one API call on the clock's thread."""
        ...


class Reader(Handler, Protocol):
    """A service that only reads what lies on the disk, on whatever thread, and shares its API with moto."""

    def answers(self, operation: str, request: Mapping[str, Any]) -> bool:
        """Whether it has what the request is about."""
        ...


# Signing name -> (target prefix, botocore's service name, version of the JSON protocol)
PROTOCOLS = {
    "sagemaker": ("SageMaker", "sagemaker", "1.1"),
    "states": ("AWSStepFunctions", "stepfunctions", "1.0"),
    "logs": ("Logs_20140328", "logs", "1.1"),
}


class FrontDoor:
    """The WSGI application and its server."""

    def __init__(
        self, clock: RealClock, services: dict[str, Handler], *, objects: Path, tables: Path
    ) -> None:
        """`objects`: the folder that keeps S3's contents; `tables`: the file that keeps DynamoDB's."""
        self._clock = clock
        self._services = services
        self._others = moto_application()
        self.mirror = Mirror(self._others, objects)
        self.journal = Journal(self._others, tables)
        self.readers: dict[str, Reader] = {}  # signing name -> who answers before moto does
        self._closed = False
        self._server: BaseWSGIServer | None = None
        self._thread: threading.Thread | None = None

    def load(self) -> None:
        """Forget what an earlier world of this process left in moto; bring back objects and tables."""
        Client(self._others).post("/moto-api/reset")
        self.mirror.load()
        self.journal.load()

    def open(self, port: int = 0) -> str:
        """Start to serve; the endpoint's URL. Raises PortError for one that is taken; 0 takes a free one."""
        try:
            listener = socket.create_server(("127.0.0.1", port))
        except (OSError, OverflowError) as error:
            raise PortError(f"port {port} of this computer cannot be used ({error}): give another") from None
        with listener:
            self._server = make_server(
                "127.0.0.1", port, self, threaded=True, request_handler=_Quiet, fd=listener.fileno()
            )
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.05,), name="relay-front-door", daemon=True
        )
        self._thread.start()
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def close(self) -> None:
        """Stop to serve, also on connections that are still open."""
        self._closed = True
        if self._server is not None and self._thread is not None:
            self._server.shutdown()
            self._thread.join()
            self._server.server_close()

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        """Route one request."""
        request = Request(environ)
        refused = self._refuse(request)
        if refused is not None:
            return refused(environ, start_response)
        service = signing_name(request.headers.get("Authorization", ""))
        operation = request.headers.get("X-Amz-Target", "").partition(".")[2]
        if service == "s3":
            return self.mirror(environ, start_response)  # type: ignore[no-any-return]
        if service == "dynamodb":
            return self.journal(environ, start_response)
        if (service in self._services and operation) or self._read_here(service, operation, request):
            response = self._ours(service, operation, request)
            # As of every server, the answer's date is the time where the server is: deadlines are in it.
            now = self._clock.epoch + timedelta(seconds=self._clock.machine_seconds())
            response.headers["Date"] = http_date(now)
            return response(environ, start_response)
        return self._others(environ, start_response)

    def _refuse(self, request: Request) -> Response | None:
        if self._closed:
            return Response("This world is closed", 503, headers={"Connection": "close"})
        host = request.host.rpartition(":")[0] or request.host
        if host not in HOSTS:
            return Response(f"Host {host!r} is not this computer", 403)
        if request.headers.get("Origin") or request.path.startswith("/moto-api"):
            return Response("Requests from web pages are refused", 403)
        if (request.content_length or 0) > LARGEST_BODY:
            return Response("The request is too large", 413)
        return None

    def _read_here(self, service: str, operation: str, request: Request) -> bool:
        """Whether a reader has it; who reads the body keeps it for moto, too."""
        reader = self.readers.get(service)
        if reader is None or (request.content_length or 0) > LARGEST_JSON:
            return False
        try:
            content = json.loads(request.get_data(cache=True) or b"{}")
        except ValueError:
            return False
        found = isinstance(content, dict) and reader.answers(operation, content)
        request.environ["wsgi.input"] = io.BytesIO(request.get_data(cache=True))
        return found

    def _ours(self, service: str, operation: str, request: Request) -> Response:
        prefix, name, version = PROTOCOLS[service]
        try:
            if not request.headers.get("X-Amz-Target", "").startswith(f"{prefix}."):
                raise ServiceError("UnknownOperationException", "")
            if (request.content_length or 0) > LARGEST_JSON:
                raise ServiceError("RequestEntityTooLargeException", "Request too large", 413)
            content = decode(name, operation, request.get_data())
            if service in self.readers:
                return answer(self.readers[service].handle(operation, content), version)
            handler = self._services[service]
            return answer(self._clock.call(handler.handle, operation, content), version)
        except ServiceError as error:
            return refusal(error, version)
        except ClockError as error:
            return refusal(ServiceError("ServiceUnavailable", str(error), 503), version)
        except Exception:
            log.exception("%s: %s", service, operation)
            return refusal(ServiceError("InternalFailure", "relay local: the emulator failed", 500), version)


class _Quiet(WSGIRequestHandler):
    """Keeps connections open, as boto3 likes it, and writes no line for each request."""

    protocol_version = "HTTP/1.1"

    def log_request(self, code: object = "-", size: object = "-") -> None:
        """Say nothing."""


def signing_name(authorization: str) -> str:
    """The service in `Credential=key/date/region/service/aws4_request`; empty without one."""
    _, found, rest = authorization.partition("Credential=")
    parts = rest.partition(",")[0].split("/")
    return parts[3] if found and len(parts) >= 5 else ""


def moto_application() -> WsgiApp:
    """moto's own server application, as its documentation gives it; its import takes half a second."""
    import moto.server

    server: Any = moto.server  # moto's types do not say what it exports
    application: WsgiApp = server.DomainDispatcherApplication(server.create_backend_app)
    return application
