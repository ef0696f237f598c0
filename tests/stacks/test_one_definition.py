"""What an account and the local world both have is the same in both: the template is held against it."""

import json

import pytest

from stacks.compiled import compile_for
from stacks.grants import Place, machine_grants, rule_grants, watch_grants
from stacks.job_grants import job_grants
from stacks.settings import Settings
from tests.stacks.templates import DIGITS, GRAPH, ROOT, Resolved
from workflows.jobs.site import Site
from workflows.jobs.watch_pattern import watch_name, watch_pattern
from workflows.local.server import ACCOUNT, REGION
from workflows.runs.rehearsal import compile_loaded, install_rule
from workflows.specification.loading import load
from workflows.specification.run_input import SCHEDULED, input_schema
from workflows.state_machine.watch import watch_of

PATHS = {"digits": DIGITS, "graph": GRAPH}


@pytest.fixture(params=list(PATHS))
def deployed(request, templates):
    """(pipeline, its file, its template resolved)."""
    path = ROOT / PATHS[request.param]
    return load(path), path, Resolved(templates[f"relay-{request.param}"])


def job_role(template):
    name = next(role for role in template.of_type("IAM::Role") if role.startswith("JobRole"))
    return f"arn:aws:iam::{ACCOUNT}:role/{name}"


class Recorded:
    """A client of EventBridge that keeps what it is asked."""

    def __init__(self):
        self.rules = {}

    def put_rule(self, **rule):
        self.rules[rule["Name"]] = json.loads(rule["EventPattern"])

    def put_targets(self, **_):
        pass


def test_the_rule_of_the_template_is_the_one_that_the_local_world_installs(deployed):
    """CDK drops what a template cannot hold, a null among it."""
    pipeline, _, template = deployed
    local = Recorded()
    install_rule(local, pipeline.name, "arn:of:the:watch")

    rules = template.of_type("Events::Rule").values()
    patterns = {r["Name"]: r["EventPattern"] for r in rules if r["Name"].endswith("-watch")}

    assert patterns == local.rules == {watch_name(pipeline.name): watch_pattern(pipeline.name)}


def test_both_machines_are_those_that_the_local_world_runs(deployed):
    pipeline, path, template = deployed
    settings = Settings()
    site = Site(settings.bucket_name(ACCOUNT), job_role(template), settings.partition, settings.table_name)

    compiled = compile_loaded(pipeline, path, site, REGION)

    machine, watch = (template.machine(name) for name in (pipeline.name, watch_name(pipeline.name)))
    assert json.loads(machine["DefinitionString"]) == compiled.definition
    assert json.loads(watch["DefinitionString"]) == watch_of(pipeline, site)


def test_the_api_takes_what_the_machine_and_the_command_take_but_for_what_only_a_schedule_says(triggered):
    (model,) = Resolved(triggered["relay-digits"]).of_type("ApiGateway::Model").values()
    schema = input_schema(load(ROOT / DIGITS))
    told = model["Schema"]

    assert schema["properties"].pop(SCHEDULED)
    assert {name: told[name] for name in schema} == json.loads(json.dumps(schema))
    assert set(told) - set(schema) == {"$schema", "title"}


def listed(value):
    return sorted([value] if isinstance(value, str) else value)


def shown(statements):
    """Statements by their ids, whatever shape CDK gave a single action or resource."""
    return {
        each["Sid"]: (listed(each["Action"]), listed(each["Resource"]), each.get("Condition", {}))
        for each in statements
    }


def test_the_roles_hold_the_statements_that_are_listed_for_them_and_no_other(deployed):
    pipeline, path, template = deployed
    place, job = Place(Settings(), ACCOUNT), job_role(template)
    wanted = {
        "JobRole": job_grants(pipeline, place, compile_for(path, Settings()).images),
        "PipelineRole": machine_grants(pipeline, place, job),
        "WatchRole": watch_grants(pipeline, place),
        "WatchRuleRole": rule_grants(pipeline, place),
    }

    found = {
        next(who for who in wanted if name.startswith(who)): shown(template.statements(f"/{name}"))
        for name in template.of_type("IAM::Role")
    }

    assert found == {
        who: {g.sid: (listed(g.actions), listed(g.resources), dict(g.condition)) for g in grants}
        for who, grants in wanted.items()
    }
