"""What runs is the template: machines, rule and target are taken out of it and put into the local world."""

import functools
import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.local.worlds import until
from tests.stacks.gateway import Gateway, needs_of
from tests.stacks.needs import of_call
from tests.stacks.policy import allowed
from tests.stacks.templates import DIGITS, ROOT, Resolved
from workflows.jobs.materials import upload
from workflows.ledger.run_view import RunView
from workflows.local.scenario import parse_scenario
from workflows.local.server import ACCOUNT, LocalWorld
from workflows.local.step_functions.integrations import AwsIntegrations
from workflows.runs.executions import ENDED, Runs

# Taken away once, and not given back: the watch must end that attempt.
SCENARIO = {"spot": {"finetune": [{"interrupt": "40%"}]}}


@pytest.fixture
def calls(monkeypatch):
    """Every call of a task: (machine, resource, Arguments)."""
    made, run = [], AwsIntegrations.run

    def recorded(self, task):
        made.append((task.execution_arn.split(":")[6], task.resource, task.arguments))
        return run(self, task)

    monkeypatch.setattr(AwsIntegrations, "run", recorded)
    return made


@pytest.mark.processes
def test_the_digits_run_from_the_template_with_an_empty_input_and_are_denied_nothing(
    templates, calls, tmp_path
):
    shared, own = Resolved(templates["relay"]), Resolved(templates["relay-digits"])
    with LocalWorld(tmp_path / "world", speed=2000, scenario=parse_scenario(SCENARIO)) as world:
        bucket = deploy_bucket(world, shared)
        arns = deploy(world, own)

        started = world.client("stepfunctions").start_execution(stateMachineArn=arns["digits"], input="{}")

        runs = Runs(world.client, bucket)
        ended = until(lambda: in_the_end(runs, started["executionArn"]), 240)
        view = runs.view(started["executionArn"])
        view.update(runs.events(started["executionArn"], 0))

    assert ended["status"] == "SUCCEEDED", ended
    assert attempts(view) == {
        "prepare": [("on-demand", "completed")],
        "pretrain": [("spot", "completed")],
        "finetune": [("spot", "interrupted"), ("spot", "completed")],
    }
    # The rule of the template has started the watch, and it stopped the job that waited.
    assert ("digits-watch", "arn:aws:states:::aws-sdk:sagemaker:stopTrainingJob") in {
        call[:2] for call in calls
    }
    for machine, resource, arguments in calls:
        statements = own.statements(own.machine(machine)["RoleArn"])
        for need in of_call(resource, arguments):
            assert allowed(need, statements), (machine, need)


@pytest.mark.processes
def test_the_digits_run_through_the_api_and_through_the_schedule_which_is_delivered_twice(
    triggered, calls, tmp_path
):
    shared, own = Resolved(triggered["relay"]), Resolved(triggered["relay-digits"])
    with LocalWorld(tmp_path / "world", speed=2000) as world:
        bucket = deploy_bucket(world, shared)
        deploy(world, own)
        runs, gateway = Runs(world.client, bucket), Gateway(own, world.endpoint_url)

        # when a client asks for a run, and a while later the schedule's time comes, twice
        answer = gateway.request("POST", "/runs", "", headers={"Idempotency-Key": "first"})
        assert (answer.status, answer.body["id"]) == (201, "digits-first")
        asked = f"/runs/{answer.body['id']}"
        shown = until(lambda: ended_through(gateway, asked), 240)
        moment = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        arns = [deliver_schedule(world, own, moment) for _ in range(2)]
        ended = [until(functools.partial(in_the_end, runs, arn), 240) for arn in arns]

    # then the client's run is done, and of the schedule's there is one
    assert shown["status"] == "SUCCEEDED", shown
    outputs = [json.loads(each["output"]) for each in ended]
    assert set(outputs[0]["stages"]) == {"prepare", "pretrain", "finetune"}
    assert outputs[1] == {
        "run": ended[1]["name"],
        "dropped": f"the run {ended[0]['name']} was started for {moment}",
    }
    assert json.loads(ended[0]["input"]) == {"budget_usd": 20, "scheduled": moment}
    for machine, resource, arguments in calls:
        statements = own.statements(own.machine(machine)["RoleArn"])
        for need in of_call(resource, arguments):
            assert allowed(need, statements), (machine, need)


def ended_through(gateway, path):
    shown = gateway.request("GET", path).body
    return shown if shown["status"] in ENDED else None


def deliver_schedule(world, template, moment):
    """Does what EventBridge Scheduler does at that moment; the ARN of what it started."""
    (schedule,) = template.of_type("Scheduler::Schedule").values()
    target = schedule["Target"]
    asked = json.loads(target["Input"].replace("<aws.scheduler.scheduled-time>", moment))
    request = {name[0].lower() + name[1:]: value for name, value in asked.items()}
    for need in needs_of("StartExecution", request):
        assert allowed(need, template.statements(target["RoleArn"])), need
    return world.client("stepfunctions").start_execution(**request)["executionArn"]


def in_the_end(runs, arn):
    found = runs.states.describe_execution(executionArn=arn)
    return found if found["status"] in ENDED else None


def attempts(view: RunView):
    return {
        name: [(attempt.market, attempt.outcome) for attempt in stage.attempts]
        for name, stage in view.stages.items()
    }


# -------------------------------------------------------------------------------- CloudFormation, in short
def deploy_bucket(world, template):
    """The bucket of the template, with what `scripts.upload` puts into it; its name."""
    from stacks.compiled import compile_for
    from stacks.settings import Settings

    (bucket,) = template.of_type("S3::Bucket").values()
    name = bucket["BucketName"]
    settings = Settings()
    assert name == settings.bucket_name(ACCOUNT)
    world.client("s3").create_bucket(Bucket=name)
    upload(compile_for(ROOT / Path(DIGITS), settings).packed, world.client("s3"), name)
    return name


def deploy(world, template, definition=None):
    """Machines with version and alias, then the rule; machine name -> ARN of its alias.

    `definition` takes the place of the machines' texts where a test is about what starts them.
    """
    states, arns = world.client("stepfunctions"), {}
    versions = template.of_type("StepFunctions::StateMachineVersion")
    for machine in template.of_type("StepFunctions::StateMachine").values():
        made = states.create_state_machine(
            name=machine["StateMachineName"],
            definition=definition or machine["DefinitionString"],
            roleArn=machine["RoleArn"],
            publish=True,
        )
        assert made["stateMachineVersionArn"] in {
            f"{version['StateMachineArn']}:1" for version in versions.values()
        }
    for alias in template.of_type("StepFunctions::StateMachineAlias").values():
        (route,) = alias["RoutingConfiguration"]
        made = states.create_state_machine_alias(
            name=alias["Name"],
            routingConfiguration=[
                {"stateMachineVersionArn": route["StateMachineVersionArn"], "weight": route["Weight"]}
            ],
        )
        arns[made["stateMachineAliasArn"].split(":")[6]] = made["stateMachineAliasArn"]
    events = world.client("events")
    for rule in template.of_type("Events::Rule").values():
        if not rule["Name"].endswith("-watch"):
            continue  # messages to people: `test_monitoring.py`
        pattern = json.dumps(rule["EventPattern"])
        events.put_rule(Name=rule["Name"], EventPattern=pattern, State=rule["State"])
        targets = [{key: target[key] for key in ("Id", "Arn", "RoleArn")} for target in rule["Targets"]]
        events.put_targets(Rule=rule["Name"], Targets=targets)
    return arns
