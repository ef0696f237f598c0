"""What API Gateway does with a request, as a template has configured it; Step Functions is the local world's.

request -> resource -> method -> signature -> model -> mapping -> role -> Step Functions
        <-                       mapping <- integration response <-
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.error import HTTPError
from urllib.parse import unquote
from urllib.request import ProxyHandler, Request, build_opener

import jsonschema

from tests.stacks.needs import Need
from tests.stacks.policy import allowed
from tests.stacks.templates import Resolved
from tests.stacks.velocity import render
from workflows.local.server import ACCOUNT, REGION

JSON = "application/json"
LARGEST_BODY = 10_000_000  # bytes, API Gateway's quota
CALLER = f"arn:aws:sts::{ACCOUNT}:assumed-role/team/o'brien"


@dataclass(frozen=True)
class Answer:
    """What the client gets."""

    status: int
    text: str
    content_type: str = JSON

    @property
    def body(self) -> Any:
        assert self.content_type == JSON
        return json.loads(self.text)


@dataclass
class Gateway:
    """The API of a template; `calls` are those that reached Step Functions: (action, request)."""

    template: Resolved
    endpoint: str = ""
    calls: list[tuple[str, dict[str, Any]]] = field(default_factory=list)

    def request(
        self,
        verb: str,
        path: str,
        body: str | bytes = "",
        *,
        query: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """A signed request of a principal of the account."""
        found = self._method(verb, path)
        if found is None:
            return Answer(403, '{"message":"Missing Authentication Token"}')
        method, in_path = found
        assert method["AuthorizationType"] == "AWS_IAM"
        raw = body.encode() if isinstance(body, str) else body
        headers = dict(headers or {})
        kind = headers.pop("Content-Type", JSON).partition(";")[0]
        integration = method["Integration"]
        assert integration["PassthroughBehavior"] == "NEVER"
        if kind not in integration["RequestTemplates"]:
            return Answer(415, '{"message": "Unsupported Media Type"}')
        if len(raw) > LARGEST_BODY:
            return Answer(413, '{"message":"Request Too Long"}')
        refused = self._refused(method, kind, raw)
        if refused:
            return refused
        params = {"path": in_path, "querystring": dict(query or {}), "header": headers}
        return self._integrate(integration, raw.decode(), params)

    # --------------------------------------------------------------------------------------- the request
    def _method(self, verb: str, path: str) -> tuple[dict[str, Any], dict[str, str]] | None:
        at, in_path = "root", {}
        resources = self.template.of_type("ApiGateway::Resource")
        for part in path.removeprefix("/").split("/"):
            children = {r["PathPart"]: name for name, r in resources.items() if r["ParentId"] == at}
            wild = next((name for name in children if name.startswith("{")), None)
            chosen = part if part in children else wild
            if not part or chosen is None:
                return None
            if chosen == wild:
                in_path[chosen.strip("{}")] = unquote(part)
            at = children[chosen].lower()
        for method in self.template.of_type("ApiGateway::Method").values():
            if (method["ResourceId"], method["HttpMethod"]) == (at, verb):
                return method, in_path
        return None

    def _refused(self, method: dict[str, Any], kind: str, raw: bytes) -> Answer | None:
        """What the validator says of the body; an empty one is that of `{}`."""
        (validator,) = self.template.of_type("ApiGateway::RequestValidator").values()
        name = method.get("RequestModels", {}).get(kind)
        if not name or not validator["ValidateRequestBody"]:
            return None
        (model,) = [m for m in self.template.of_type("ApiGateway::Model").values() if m["Name"] == name]
        try:
            content = json.loads(raw or b"{}", parse_constant=_no_constant)
        except (ValueError, RecursionError):
            return self._bad_body("Invalid JSON")
        errors = jsonschema.Draft4Validator(model["Schema"]).iter_errors(content)
        problems = ", ".join(error.message for error in errors)
        return self._bad_body(f"[{problems}]") if problems else None

    def _bad_body(self, problems: str) -> Answer:
        (response,) = self.template.of_type("ApiGateway::GatewayResponse").values()
        assert response["ResponseType"] == "BAD_REQUEST_BODY"
        ((kind, text),) = response["ResponseTemplates"].items()
        shown = text.replace("$context.error.validationErrorString", problems)
        return Answer(int(response["StatusCode"]), shown, kind)

    # ----------------------------------------------------------------------------------- the integration
    def asked(self, integration: dict[str, Any], body: str, params: Any) -> tuple[str, bytes]:
        """(action, request) of the call that an integration makes."""
        assert integration["Type"] == "AWS"
        head, _, action = integration["Uri"].rpartition("/")
        assert head == f"arn:aws:apigateway:{REGION}:states:action"
        context = {"identity": {"userArn": CALLER}, "requestId": "request-1"}
        text = render(integration["RequestTemplates"][JSON], body, params=params, context=context)
        return action, text.encode("utf-8", "surrogatepass")

    def _integrate(self, integration: dict[str, Any], body: str, params: Any) -> Answer:
        action, request = self.asked(integration, body, params)
        status, answer = self._call(integration["Credentials"], action, request)
        response = _chosen(integration["IntegrationResponses"], str(status))
        context: dict[str, Any] = {"responseOverride": {}, "requestId": "request-1"}
        template = response["ResponseTemplates"][JSON]
        text = render(template, answer, params=params, context=context)
        return Answer(context["responseOverride"].get("status", int(response["StatusCode"])), text)

    def _call(self, role: str, action: str, request: bytes) -> tuple[int, str]:
        """(status, body) of Step Functions' answer, as it comes over the wire."""
        content = json.loads(request)
        self.calls.append((action, content))
        for need in needs_of(action, content):
            assert allowed(need, self.template.statements(role)), need
        credential = f"AWS4-HMAC-SHA256 Credential=relay/20260101/{REGION}/states/aws4_request"
        headers = {
            "X-Amz-Target": f"AWSStepFunctions.{action}",
            "Content-Type": "application/x-amz-json-1.0",
            "Authorization": credential,
        }
        sent = Request(self.endpoint, data=request, headers=headers, method="POST")
        try:
            with build_opener(ProxyHandler({})).open(sent) as answer:
                return answer.status, answer.read().decode()
        except HTTPError as error:
            return error.code, error.read().decode()


def needs_of(action: str, request: Mapping[str, Any]) -> list[Need]:
    """What a call needs to be allowed; an alias is its machine, under a condition."""
    arn = request.get("stateMachineArn") or request["executionArn"]
    if action == "StartExecution":
        machine, _, alias = arn.rpartition(":")
        return [Need(f"states:{action}", machine, {"states:StateMachineQualifier": alias})]
    return [Need(f"states:{action}", arn)]


def _chosen(responses: list[dict[str, Any]], status: str) -> dict[str, Any]:
    """The first whose pattern fits the whole status; the one without a pattern is the default."""
    fitting = [
        r for r in responses if "SelectionPattern" in r and re.fullmatch(r["SelectionPattern"], status)
    ]
    (default,) = [r for r in responses if "SelectionPattern" not in r]
    return fitting[0] if fitting else default


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON")
