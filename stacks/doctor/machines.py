"""What AWS itself says of a compiled machine before anything is deployed: no job starts, nothing is made.

    ValidateStateMachineDefinition   the text of the machine, and of its capacity watch
    TestState                        each state, with what a local run met there, and a mocked result

What differs from the local run is said state by state: the local world is then wrong about AWS, or AWS will
not do what the pipeline needs. TestState takes a context object only beside a mock: a Pass that reads the
context is asked as a Task with the same Assign and Output, a Choice that does is not asked.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from typing import Any

from botocore.exceptions import ClientError

from stacks.compiled import Compiled
from stacks.deployment.errors import DeploymentError
from stacks.deployment.place import Site
from stacks.doctor.findings import DENIED, FAIL, OK, UNKNOWN, WARN, Finding, looked
from stacks.doctor.visits import Visit, rehearse
from workflows.jobs.watch_pattern import watch_name

CLOCK = ("$millis(", "$now(", "$random(", "$uuid(")
CONTEXT = "$states.context"
STAND_IN = "arn:aws:states:::aws-sdk:sts:getCallerIdentity"
TO_DO = "relay's picture of AWS is wrong here: attach the file of --report to an issue before you deploy"
ROLE_NAME = "role/relay-job"
_TESTABLE = ("Task", "Pass", "Choice", "Succeed", "Wait")


@dataclass(frozen=True)
class Row:
    """What AWS makes of one way through a state. `ours` and `told` are shown where they differ."""

    machine: str
    state: str
    verdict: str
    ours: str
    told: str
    differs: tuple[str, ...] = ()
    request: Mapping[str, Any] = field(default_factory=dict)


def texts_of(site: Site, compiled: Compiled) -> dict[str, str]:
    """(name, text) of both machines, with the account in the place of what stands for it."""
    role = f"arn:{site.settings.partition}:iam::{site.account}:{ROLE_NAME}"
    machine, watch = compiled.texts(account=site.account, job_role=role)
    name = compiled.pipeline.name
    return {name: machine, watch_name(name): watch}


def validate(client: Any, texts: Mapping[str, str]) -> Iterator[Finding]:
    """A finding for each machine that AWS takes, and for each diagnostic of one that it does not take."""
    for name, text in texts.items():
        told = client.validate_state_machine_definition(definition=text, type="STANDARD")
        subject = f"machine {name}"
        for each in told["diagnostics"]:
            verdict = FAIL if each["severity"] == "ERROR" else WARN
            where = f" at {each['location']}" if each.get("location") else ""
            yield Finding(subject, verdict, f"{each['code']}: {each['message']}{where}", TO_DO)
        if told["result"] == "OK":
            yield Finding(subject, OK, f"AWS takes its definition of {len(text):,} bytes")


def judge(site: Site, compiled: Compiled) -> Iterator[Row]:
    """A row for each way through a state that a local run of the pipeline took.

    Raises ClientError where TestState may not be called.
    """
    client, texts = site.client("stepfunctions"), texts_of(site, compiled)
    machine, watch = texts.values()
    visits = rehearse(
        compiled.pipeline,
        machine,
        watch,
        bucket=site.bucket,
        table=site.settings.table_name,
        now=datetime.now(UTC),
    )
    known = {"machine": next(iter(texts)), "watch": list(texts)[1]}
    for visit in visits:
        name = known[visit.machine]
        yield judged(client, name, texts[name], visit)


def judged(client: Any, name: str, text: str, visit: Visit) -> Row:
    """What AWS makes of one visit."""
    state = find_state(json.loads(text), visit.state)
    ours = _shown("CAUGHT_ERROR" if visit.error else "SUCCEEDED", visit.next)
    reason = _not_asked(state)
    if reason:
        return Row(name, visit.state, UNKNOWN, ours, f"not asked: {reason}")
    request = request_of(text, state, visit)
    try:
        told = client.test_state(**request)
    except ClientError as error:
        if error.response["Error"]["Code"] in DENIED:
            raise
        said = error.response["Error"].get("Message", error.response["Error"]["Code"])
        return Row(name, visit.state, FAIL, ours, f"refused: {said}", ("refused",), request)
    differs = tuple(differences(state, visit, told))
    shown = _shown(told["status"], told.get("nextState"))
    return Row(name, visit.state, FAIL if differs else OK, ours, shown, differs, request)


def request_of(text: str, state: Mapping[str, Any], visit: Visit) -> dict[str, Any]:
    """The request to TestState that repeats a visit."""
    variables = ", ".join(f"{json.dumps(name)}: {value}" for name, value in visit.variables.items())
    request: dict[str, Any] = {
        "definition": text,
        "stateName": visit.state,
        "input": visit.input,
        "variables": f"{{{variables}}}",
        "inspectionLevel": "DEBUG",
    }
    if state["Type"] == "Pass" and CONTEXT in json.dumps(state):
        request["definition"] = json.dumps(_as_task(state))
        del request["stateName"]
    elif state["Type"] != "Task":
        return request
    request["mock"] = {"result": visit.result or "{}", "fieldValidationMode": "NONE"}
    if visit.error and visit.error[1] is not None:
        request["mock"] = {"errorOutput": {"error": visit.error[0], "cause": visit.error[1]}}
    request["context"] = json.dumps(visit.context)
    if visit.error:
        request["stateConfiguration"] = {"retrierRetryCount": visit.retries}
    return request


def differences(state: Mapping[str, Any], visit: Visit, told: Mapping[str, Any]) -> Iterator[str]:
    """What AWS says otherwise; values that follow from the clock or from chance are not compared."""
    status = "CAUGHT_ERROR" if visit.error else "SUCCEEDED"
    if told["status"] != status:
        why = f" ({told['error']}: {told.get('cause', '')[:500]})" if told.get("error") else ""
        yield f"status {told['status']}{why}, ours {status}"
        return
    by_the_clock = any(word in json.dumps(state) for word in CLOCK)
    if told.get("nextState") != visit.next and not (state["Type"] == "Choice" and by_the_clock):
        yield f"next state {told.get('nextState')}, ours {visit.next}"
    if by_the_clock or (visit.error and visit.error[1] is None):
        return
    if "output" in told and json.loads(told["output"]) != json.loads(visit.output):
        yield f"output {told['output'][:300]}, ours {visit.output[:300]}"
    seen = json.loads(told.get("inspectionData", {}).get("variables", "{}"))
    for name, value in visit.assigned.items():
        if name not in seen:
            yield f"${name} is not assigned"
        elif seen[name] != json.loads(value):
            yield f"${name} is {json.dumps(seen[name])[:300]}, ours {value[:300]}"


def find_state(block: Mapping[str, Any], name: str) -> dict[str, Any]:
    """The state of that name in a machine, or in what stands inside its states."""
    if name in block["States"]:
        return dict(block["States"][name])
    for state in block["States"].values():
        inner = [*state.get("Branches", ()), *([state["ItemProcessor"]] if "ItemProcessor" in state else [])]
        for each in inner:
            if found := find_state(each, name):
                return found
    return {}


def _not_asked(state: Mapping[str, Any]) -> str:
    if state["Type"] not in _TESTABLE:
        return f"what its branches gave is not in the history of a {state['Type']}"
    if state["Type"] in ("Choice", "Succeed", "Wait") and CONTEXT in json.dumps(state):
        return "it reads the context, which TestState takes only with a mock"
    return ""


def _as_task(state: Mapping[str, Any]) -> dict[str, Any]:
    kept = {key: state[key] for key in ("Assign", "Output", "Next", "End") if key in state}
    task = {"Type": "Task", "QueryLanguage": "JSONata", "Resource": STAND_IN, "Arguments": {}}
    return {**task, "Output": "{% $states.input %}", **kept}


def _shown(status: str, next_state: str | None) -> str:
    return f"{status} -> {next_state or 'the end'}"


def look_at_machines(
    site: Site, compiled: Sequence[Compiled], *, states: bool = True
) -> tuple[list[Finding], list[Row]]:
    """What AWS says of the machines of these pipelines, their states left out unless `states`."""
    findings: list[Finding] = []
    rows: list[Row] = []
    for each in compiled:
        name = each.pipeline.name
        check = partial(validate, site.client("stepfunctions"), texts_of(site, each))
        said = list(looked(f"machine {name}", check))
        findings += said
        if states and not any(finding.verdict == FAIL for finding in said):
            findings += looked(f"states of {name}", partial(_judge_into, rows, site, each))
    return findings, rows


def check_machines(site: Site, compiled: Sequence[Compiled], *, states: bool) -> list[Row]:
    """Raises DeploymentError for a machine that AWS would refuse; the states are told, and stop nothing."""
    findings, rows = look_at_machines(site, compiled, states=states)
    refused = [
        f"  {each.subject}: {each.seen}"
        for each in findings
        if each.verdict == FAIL and each.subject.startswith("machine ")
    ]
    if refused:
        raise DeploymentError("AWS refuses the machines, so nothing was begun:\n" + "\n".join(refused))
    return rows


def _judge_into(rows: list[Row], site: Site, compiled: Compiled) -> Iterator[Finding]:
    name, before = compiled.pipeline.name, len(rows)
    for row in judge(site, compiled):
        rows.append(row)
    told = Counter(row.verdict for row in rows[before:])
    words = f"{told[OK]} as in a local run, {told[FAIL]} differ, {told[UNKNOWN]} not asked"
    yield Finding(f"states of {name}", FAIL if told[FAIL] else OK, words, TO_DO if told[FAIL] else "")
