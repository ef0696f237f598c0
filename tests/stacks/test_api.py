"""The API: what a client sends, what Step Functions is asked, and what the client is told."""

import json
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from jsonschema import Draft4Validator, Draft202012Validator

from tests.machine.test_run_input import GRAPH, inputs
from tests.stacks.gateway import Gateway
from tests.stacks.templates import Resolved
from tests.stacks.test_template_runs import deploy
from tests.stacks.velocity import render
from workflows.local.server import LocalWorld
from workflows.specification.run_input import check_input, input_schema
from workflows.specification.run_options import run_name

LIVE = "arn:aws:states:us-east-1:123456789012:stateMachine:digits:live"
RUN = "arn:aws:states:us-east-1:123456789012:execution:digits"
# It goes on until it is stopped, so what is asked of its runs is known.
WAITS = json.dumps(
    {
        "QueryLanguage": "JSONata",
        "StartAt": "wait",
        "States": {"wait": {"Type": "Wait", "Seconds": 30_000_000, "End": True}},
    }
)


@pytest.fixture(scope="module")
def world(triggered, tmp_path_factory):
    with LocalWorld(tmp_path_factory.mktemp("api") / "world", speed=1) as world:
        deploy(world, Resolved(triggered["relay-digits"]), WAITS)
        yield world


@pytest.fixture
def api(triggered, world):
    yield Gateway(Resolved(triggered["relay-digits"]), world.endpoint_url)
    states = world.client("stepfunctions")
    machine = LIVE.removesuffix(":live")
    for run in states.list_executions(stateMachineArn=machine, statusFilter="RUNNING")["executions"]:
        states.stop_execution(executionArn=run["executionArn"])


def given_to(world, answer):
    """The input of the run that an answer tells of."""
    described = world.client("stepfunctions").describe_execution(executionArn=f"{RUN}:{answer.body['id']}")
    return json.loads(described["input"])


# ----------------------------------------------------------------------------------------- POST /runs
def test_a_run_is_started_with_the_body_as_its_input(api, world):
    answer = api.request("POST", "/runs", '{"deadline": "36h", "reuse": true}')

    assert answer.status == 201
    assert answer.body["status"] == "RUNNING"
    assert answer.body["console"].endswith(f"#/v2/executions/details/{RUN}:{answer.body['id']}")
    assert given_to(world, answer) == {"deadline": "36h", "reuse": True}
    assert api.calls[0][1]["stateMachineArn"] == LIVE


@pytest.mark.parametrize("body", ["", "{}", " {\n} "])
def test_an_empty_body_runs_the_pipeline_as_it_is_written(api, world, body):
    assert given_to(world, api.request("POST", "/runs", body)) == {}


TEXTS = [
    "it's",
    "\\'",
    "\\\\'",
    'say "no"',
    "a\nb\r\tc\x01\x1f\x7f",
    "\u2028 é ü 漢字 😀",
    "</script>/*/",
    "#set($x = 1)$x #foreach($i in [1..9])$i#end ## gone",
    "$util.escapeJavaScript('x') $input.json('$') $!{context.identity.userArn}",
    '", "stateMachineArn": "arn:aws:states:us-east-1:1:stateMachine:other", "input": "',
    "{% $states.context %}",
    "\\u0027",
]


@pytest.mark.parametrize("text", TEXTS)
def test_whatever_a_value_holds_arrives_as_it_was_sent(api, world, text):
    sent = {"parameters": {"pretrain": {"epochs": text}}}

    answer = api.request("POST", "/runs", json.dumps(sent))

    assert answer.status == 201
    assert given_to(world, answer) == sent
    assert set(api.calls[0][1]) == {"stateMachineArn", "input"}


@settings(max_examples=150, deadline=None)
@given(st.text(st.characters(), max_size=40))
@example("\ud83d")
@example("\ud800'\udc00/")
def test_so_it_is_for_every_text_a_half_of_a_pair_included(triggered, text):
    method = _method(triggered, "StartExecution")
    body = json.dumps({"parameters": {"pretrain": {"epochs": text}}})

    rendered = render(
        method["Integration"]["RequestTemplates"]["application/json"],
        body,
        params={"path": {}, "querystring": {}, "header": {}},
        context={},
    )

    assert json.loads(json.loads(rendered)["input"]) == json.loads(body)
    assert rendered.isascii()  # nothing is left to how a service decodes it


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ('{"deadline": "soon"}', "does not match"),
        ('{"dealine": "3h"}', "'dealine' was unexpected"),
        ('{"stateMachineArn": "arn:aws:states:us-east-1:1:stateMachine:other"}', "was unexpected"),
        ('{"scheduled": "2026-01-01T00:00:00Z"}', "'scheduled' was unexpected"),
        ('{"from": "pretrain", "only": ["pretrain"]}', "should not be valid"),
        ("[]", "is not of type 'object'"),
        ("null", "is not of type 'object'"),
        ("{", "Invalid JSON"),
        ("{} {}", "Invalid JSON"),
        ('{"budget_usd": NaN}', "Invalid JSON"),
        ("[" * 100_000, "Invalid JSON"),
    ],
)
def test_what_is_no_run_input_is_refused_with_the_reason_before_step_functions_is_asked(api, body, words):
    answer = api.request("POST", "/runs", body)

    assert (answer.status, answer.content_type) == (400, "text/plain")
    assert words in answer.text
    assert api.calls == []


def test_a_body_that_says_to_be_something_else_does_not_get_past_the_model(api):
    answer = api.request("POST", "/runs", '{"dealine": 1}', headers={"Content-Type": "text/plain"})

    assert answer.status == 415
    assert api.calls == []


def test_an_input_that_is_too_long_for_step_functions_is_refused(api):
    body = json.dumps({"parameters": {"pretrain": {"epochs": "x" * 300_000}}})

    answer = api.request("POST", "/runs", body)

    assert answer.status == 400
    assert answer.body == {"message": "the run input is no JSON of at most 262144 bytes"}


def test_a_body_that_is_too_long_for_api_gateway_is_refused(api):
    assert api.request("POST", "/runs", b'{"key": "' + b"x" * 10_000_000 + b'"}').status == 413


# ---------------------------------------------------------------------------------------- idempotency
@pytest.mark.parametrize("header", ["Idempotency-Key", "idempotency-key", "IDEMPOTENCY-KEY"])
def test_a_key_names_the_run_as_the_command_names_it(api, header):
    key = f"by-{header}"

    answer = api.request("POST", "/runs", headers={header: key})

    assert answer.body["id"] == run_name("digits", key)


def test_the_key_of_the_input_names_the_run_too(api, world):
    answer = api.request("POST", "/runs", '{"key": "nightly_7"}')

    assert answer.body["id"] == "digits-nightly_7"
    assert given_to(world, answer) == {"key": "nightly_7"}


def test_a_request_that_is_sent_twice_starts_one_run(api):
    first, second = (api.request("POST", "/runs", headers={"Idempotency-Key": "twice"}) for _ in range(2))

    assert (second.status, second.body) == (201, first.body)


def test_a_key_that_was_used_for_another_input_is_a_conflict(api):
    api.request("POST", "/runs", headers={"Idempotency-Key": "taken"})

    answer = api.request("POST", "/runs", '{"reuse": true}', headers={"Idempotency-Key": "taken"})

    assert answer.status == 409
    assert answer.body["message"].startswith("a run with this key exists already")


def test_so_is_one_of_a_run_that_has_ended(api):
    api.request("POST", "/runs", headers={"Idempotency-Key": "ended"})
    api.request("POST", "/runs/digits-ended/stop")

    assert api.request("POST", "/runs", headers={"Idempotency-Key": "ended"}).status == 409


@pytest.mark.parametrize(
    "key",
    [
        "-begins-with-a-hyphen",
        "a b",
        "a:b",
        "../x",
        'a", "name": "b',
        "é",
        "x" * 65,
        "$context.requestId",
        "'",
    ],
)
def test_a_key_that_is_none_is_refused(api, key):
    answer = api.request("POST", "/runs", headers={"Idempotency-Key": key})

    assert answer.status == 400
    assert answer.body["message"].startswith("the key is 1 to 64 letters, digits, hyphens and underscores")


def test_two_keys_that_differ_are_refused_and_two_that_do_not_are_one(api):
    body = '{"key": "one"}'

    assert api.request("POST", "/runs", body, headers={"Idempotency-Key": "two"}).status == 400
    assert api.request("POST", "/runs", body, headers={"Idempotency-Key": "one"}).status == 201


# ------------------------------------------------------------------------------------------ GET /runs
def test_runs_are_listed_newest_first_page_by_page(api):
    for key in ("p1", "p2", "p3"):
        api.request("POST", "/runs", headers={"Idempotency-Key": key})

    first = api.request("GET", "/runs", query={"limit": "2", "status": "RUNNING"})
    more = {"limit": "2", "status": "RUNNING", "next": first.body["next"]}
    second = api.request("GET", "/runs", query=more)

    assert (first.status, second.status) == (200, 200)
    shown = [run["id"] for page in (first, second) for run in page.body["runs"]]
    assert shown == ["digits-p3", "digits-p2", "digits-p1"]
    assert "next" not in second.body
    assert {"id", "status", "started"} == set(first.body["runs"][0])


def test_a_list_without_a_wish_is_of_the_usual_length(api):
    assert api.request("GET", "/runs").status == 200
    assert api.calls[0][1]["maxResults"] == 20


@pytest.mark.parametrize(
    "query",
    [
        {"status": "running"},
        {"status": 'RUNNING", "stateMachineArn": "other'},
        {"limit": "0"},
        {"limit": "101"},
        {"limit": "-5"},
        {"limit": '1, "stateMachineArn": "other"'},
        {"next": "made-up"},
        {"next": "it's #set($x=1)"},
    ],
)
def test_a_wrong_wish_is_refused_with_what_is_allowed(api, query):
    answer = api.request("GET", "/runs", query=query)

    assert answer.status == 400
    assert answer.body["message"].startswith("status is RUNNING, SUCCEEDED, FAILED")
    assert api.calls[0][1]["stateMachineArn"] == LIVE.removesuffix(":live")


# ---------------------------------------------------------------------- GET /runs/{id}, POST .../stop
def test_a_run_is_shown_and_stopped(api):
    started = api.request("POST", "/runs").body
    running = api.request("GET", f"/runs/{started['id']}")
    stopped = api.request("POST", f"/runs/{started['id']}/stop")
    after = api.request("GET", f"/runs/{started['id']}")

    assert (running.status, stopped.status) == (200, 200)
    assert running.body == started
    assert after.body["status"] == "ABORTED"
    assert after.body["error"] == "Relay.Stopped"
    assert after.body["cause"].endswith("assumed-role/team/o'brien")
    assert after.body["ended"] == stopped.body["stopped"]


def test_a_run_that_has_ended_can_be_stopped_again(api):
    started = api.request("POST", "/runs").body
    answers = [api.request("POST", f"/runs/{started['id']}/stop") for _ in range(2)]

    assert [answer.status for answer in answers] == [200, 200]


IDS = [
    "nobody",
    "a:b",
    "%3A",
    "%2e%2e%2fx",
    "..",
    "x%22%7d",
    "%0a",
    "%24context.requestId",
    "x" * 81,
    "%F0%9F%98%80",
]


@pytest.mark.parametrize("id_", IDS)
@pytest.mark.parametrize(("verb", "end"), [("GET", ""), ("POST", "/stop")])
def test_an_id_that_is_no_runs_is_not_found_and_reaches_no_other_machine(api, verb, end, id_):
    answer = api.request(verb, f"/runs/{id_}{end}")

    assert (answer.status, answer.body) == (404, {"message": "no run has this id"})
    for _, request in api.calls:
        assert request["executionArn"].startswith(f"{RUN}:")
        assert request["executionArn"].count(":") == 7


def test_a_path_that_leads_elsewhere_is_no_resource(api):
    for path in ("/", "/runs/", "/runs/../runs", "/runs/a/b", "/other"):
        assert api.request("GET", path).status == 403


# ------------------------------------------------------------------------------------------- refusals
@pytest.mark.parametrize(
    ("status", "kind", "told"),
    [
        (400, "com.amazonaws.swf.service.v2.model#ExecutionAlreadyExists", 409),
        (400, "ExecutionDoesNotExist", 404),
        (400, "InvalidArn", 404),
        (400, "ThrottlingException", 429),
        (400, "ExecutionLimitExceeded", 429),
        (400, "InvalidName", 400),
        (400, "ValidationException", 400),
        (413, "RequestEntityTooLargeException", 400),
        (400, "AccessDeniedException", 502),
        (400, "StateMachineDoesNotExist", 502),
        (403, "InvalidSignatureException", 502),
        (400, None, 502),
        (500, "InternalFailure", 502),
        (503, "ServiceUnavailable", 502),
        (302, None, 502),
    ],
)
@pytest.mark.parametrize("action", ["StartExecution", "ListExecutions", "DescribeExecution", "StopExecution"])
def test_each_refusal_of_step_functions_has_its_status_and_its_words_stay_inside(
    triggered, monkeypatch, action, status, kind, told
):
    secret = "arn:aws:sts::123456789012:assumed-role/relay-digits-ApiRole is not authorized"
    gateway = Gateway(Resolved(triggered["relay-digits"]))
    content = {"message": secret, "Message": secret, **({"__type": kind} if kind else {})}
    monkeypatch.setattr(gateway, "_call", lambda *_: (status, json.dumps(content)))
    paths = {
        "StartExecution": ("POST", "/runs"),
        "ListExecutions": ("GET", "/runs"),
        "DescribeExecution": ("GET", "/runs/a"),
        "StopExecution": ("POST", "/runs/a/stop"),
    }

    answer = gateway.request(*paths[action])

    assert answer.status == told
    assert set(answer.body) == {"message"}
    assert "assumed-role" not in answer.text


def test_the_reason_of_a_failed_run_is_told_whatever_it_holds(triggered, monkeypatch):
    gateway = Gateway(Resolved(triggered["relay-digits"]))
    cause = 'pretrain: it\'s "over" \\ #end $input\n\u2028 漢'
    shown = {
        "name": "a",
        "executionArn": f"{RUN}:a",
        "status": "FAILED",
        "startDate": 1764105000.123,
        "stopDate": 1764105001.5,
        "error": "Relay.StageFailed",
        "cause": cause,
    }
    monkeypatch.setattr(gateway, "_call", lambda *_: (200, json.dumps(shown)))

    answer = gateway.request("GET", "/runs/a")

    assert answer.body["cause"] == cause
    assert answer.body["ended"] == 1764105001.5


# ------------------------------------------------------------------------------------------ the model
@settings(max_examples=300, deadline=None)
@given(inputs)
def test_the_model_accepts_what_the_one_schema_accepts(value):
    from stacks.api_mappings import run_input_model

    model = Draft4Validator(run_input_model(GRAPH))

    # Draft 4 calls no number with a decimal point an integer; later ones call 1.0 one.
    assert model.is_valid(value) == Draft202012Validator(input_schema(GRAPH)).is_valid(value)


def test_the_model_is_a_schema_of_draft_4_and_knows_no_schedule(triggered):
    (model,) = Resolved(triggered["relay-digits"]).of_type("ApiGateway::Model").values()

    Draft4Validator.check_schema(model["Schema"])
    assert model["Schema"]["$schema"] == "http://json-schema.org/draft-04/schema#"
    assert "scheduled" not in model["Schema"]["properties"]
    check_input(GRAPH, {"scheduled": "2026-01-01T00:00:00Z"})


def test_the_method_goes_before_the_model_that_it_names_by_a_text(triggered):
    resources = triggered["relay-digits"]["Resources"]
    (model,) = [name for name, each in resources.items() if each["Type"] == "AWS::ApiGateway::Model"]
    naming = [each for each in resources.values() if each.get("Properties", {}).get("RequestModels")]

    assert len(naming) == 1
    assert model in naming[0]["DependsOn"]


# ------------------------------------------------------------------------------------------ the stage
def test_every_method_wants_a_signature_and_checks_what_it_is_sent(triggered):
    template = Resolved(triggered["relay-digits"])
    methods = template.of_type("ApiGateway::Method").values()

    assert {(m["HttpMethod"], _action(m)) for m in methods} == {
        ("POST", "StartExecution"),
        ("GET", "ListExecutions"),
        ("GET", "DescribeExecution"),
        ("POST", "StopExecution"),
    }
    assert {m["AuthorizationType"] for m in methods} == {"AWS_IAM"}
    assert all("RequestValidatorId" in m for m in methods)


def test_principals_of_other_accounts_are_denied_and_nobody_is_let_in_by_the_api_itself(triggered):
    (api,) = Resolved(triggered["relay-digits"]).of_type("ApiGateway::RestApi").values()
    (statement,) = api["Policy"]["Statement"]

    assert statement["Effect"] == "Deny"
    assert statement["Condition"] == {"StringNotEquals": {"aws:PrincipalAccount": "123456789012"}}


def test_the_stage_throttles_traces_and_logs_who_asked_but_not_what(triggered):
    (stage,) = Resolved(triggered["relay-digits"]).of_type("ApiGateway::Stage").values()
    (everywhere,) = stage["MethodSettings"]

    assert (everywhere["ThrottlingRateLimit"], everywhere["ThrottlingBurstLimit"]) == (2, 4)
    assert (everywhere["DataTraceEnabled"], everywhere["LoggingLevel"]) == (False, "ERROR")
    assert stage["TracingEnabled"] is True
    log = stage["AccessLogSetting"]
    assert log["DestinationArn"] == (
        "arn:aws:logs:us-east-1:123456789012:log-group:/aws/vendedlogs/apigateway/relay-digits"
    )
    logged = json.loads(log["Format"])
    assert "$context.identity.userArn" in logged.values()
    assert not [
        value for value in logged.values() if "input" in value or "userAgent" in value or value == "path"
    ]


def test_a_changed_schema_is_deployed(synthesize, tmp_path):
    from stacks.settings import Settings

    found = []
    for epochs in ("epochs", "passes"):
        (tmp_path / "train.py").write_text("")
        (tmp_path / "pipeline.yaml").write_text(
            "name: small\nstages:\n  - {name: train, script: train.py, hyperparameters: {"
            + epochs
            + ": 1}, image: 123456789012.dkr.ecr.us-east-1.amazonaws.com/a:1}\n"
        )
        triggers: dict[str, Any] = {"small": {"api": {}}}
        made = synthesize(Settings(pipelines=("pipeline.yaml",), triggers=triggers), tmp_path)["relay-small"]
        found.append(set(Resolved(made).of_type("ApiGateway::Deployment")))

    assert found[0] != found[1]


def _method(triggered, action):
    methods = Resolved(triggered["relay-digits"]).of_type("ApiGateway::Method").values()
    return next(method for method in methods if _action(method) == action)


def _action(method):
    return method["Integration"]["Uri"].rpartition("/")[2]
