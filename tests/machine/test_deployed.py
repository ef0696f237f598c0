"""What `relay start` finds out of a deployed machine's text, and how it starts it."""

import copy
import json
from types import SimpleNamespace

import pytest

from tests.machine.aws_client import Client, runs_of
from tests.machine.pipelines import Run, definition, pipeline
from workflows.commands import looked_up, start
from workflows.commands.resume import start_anew
from workflows.errors import RelayError
from workflows.jobs.site import Site
from workflows.ledger.attempts import read
from workflows.runs.deployed import differing_states, site_of
from workflows.runs.executions import RunExistsError, Runs, UnknownRunError
from workflows.state_machine.watch import compile_watch

TRAIN = {"name": "train"}
SWEEP = {"name": "tune", "kind": "sweep", "grid": {"rate": [1, 2]}, "best": {"metric": "accuracy"}}
GRAPH = pipeline({"name": "prepare", "kind": "process"}, TRAIN, SWEEP)
ROLE = "arn:aws:iam::123456789012:role/machine"


@pytest.fixture
def deployed():
    """A finished run's world, in which the pipeline is deployed with the alias `live`."""
    run = Run(pipeline(TRAIN))
    states = run.world.step_functions

    def create(name, text):
        request = {"name": name, "roleArn": ROLE, "definition": json.dumps(text), "publish": True}
        return states.handle("CreateStateMachine", request)

    made = create("demo", run.definition)
    create("demo-watch", compile_watch("demo", Site("bucket", ROLE)))
    versions = [{"stateMachineVersionArn": made["stateMachineVersionArn"], "weight": 100}]
    states.handle("CreateStateMachineAlias", {"name": "live", "routingConfiguration": versions})
    return run


def connection(run):
    """To an account, as far as a command can tell."""
    own = runs_of(run.world)
    table = Client("dynamodb", run.world.table.call)
    clients = {
        "stepfunctions": own.states,
        "sagemaker": own.sagemaker,
        "s3": SimpleNamespace(head_bucket=lambda **_: {}),
        "dynamodb": table,
    }
    return SimpleNamespace(
        client=clients.__getitem__, where="AWS, us-east-1", region="us-east-1", rehearsal=False
    )


# --------------------------------------------------------------------------------------------- its text
def test_the_machines_text_names_the_bucket_the_table_and_the_role():
    found = site_of(definition(GRAPH))

    assert (found.bucket, found.table) == ("bucket", "relay-ledger")
    assert found.job_role_arn.startswith("arn:aws:iam::")


def test_the_same_pipeline_does_not_differ_wherever_its_roles_and_networks_are():
    ours, theirs = definition(pipeline(TRAIN)), copy.deepcopy(definition(pipeline(TRAIN)))
    for state in (theirs["States"]["train: on spot"], theirs["States"]["train: on demand"]):
        state["Arguments"]["RoleArn"] = "arn:aws:iam::210987654321:role/other"
        state["Arguments"]["VpcConfig"] = {"Subnets": ["subnet-1"], "SecurityGroupIds": ["sg-1"]}

    assert differing_states(ours, theirs) == []


def test_what_has_changed_is_told_by_its_states():
    changed = pipeline({"name": "prepare", "kind": "process"}, {**TRAIN, "limit": "2h"}, SWEEP)
    longer = pipeline({"name": "prepare", "kind": "process"}, TRAIN, SWEEP, {"name": "last"})

    states = differing_states(definition(changed), definition(GRAPH))

    assert {"train: on spot", "train: on demand"} <= set(states)
    assert not [state for state in states if state.startswith(("prepare", "tune"))]
    assert "last: on spot" in differing_states(definition(longer), definition(GRAPH))


# ------------------------------------------------------------------------------------------- its starts
def test_a_deployed_pipeline_is_started_by_its_name_through_its_alias(deployed):
    there = connection(deployed)

    arn = start._start_deployed(there, Runs(there.client), None, "demo", "mine", {"deadline": "36h"})

    found = deployed.world.describe(arn)
    assert found["stateMachineAliasArn"].endswith(":stateMachine:demo:live")
    assert json.loads(found["input"]) == {"deadline": "36h"}
    assert found["name"] == "mine"


def test_the_same_start_twice_starts_once_though_step_functions_would_not_mind(deployed):
    there = connection(deployed)
    start._start_deployed(there, Runs(there.client), None, "demo", "demo-key", {"key": "key"})

    with pytest.raises(RunExistsError) as told:
        start._start_deployed(there, Runs(there.client), None, "demo", "demo-key", {"key": "key"})

    assert told.value.exit_code == 3


def test_a_pipeline_that_is_not_deployed_is_told_with_those_that_are(deployed):
    there = connection(deployed)

    with pytest.raises(RelayError, match=r"unknown pipeline `dmo`; allowed: demo; did you mean `demo`.*AWS"):
        start._start_deployed(there, Runs(there.client), None, "dmo", "mine", {})


def test_a_new_run_has_the_input_of_the_old_one_but_for_what_named_it(deployed):
    there = connection(deployed)
    runs = Runs(there.client)
    given = {"key": "nightly", "budget_usd": 5}
    arn = start._start_deployed(there, runs, None, "demo", "demo-nightly", given)

    new = start_anew(runs, deployed.world.describe(arn))

    assert json.loads(deployed.world.describe(new)["input"]) == {"budget_usd": 5, "reuse": True}
    assert new.rpartition(":")[2] != "demo-nightly"


@pytest.mark.parametrize(
    ("partition", "page"),
    [
        (
            "aws",
            "https://eu-west-1.console.aws.amazon.com/states/home?region=eu-west-1#/v2/executions/details/",
        ),
        ("aws-cn", "https://console.amazonaws.cn/states/home?region=eu-west-1#/v2/executions/details/"),
    ],
)
def test_the_page_of_the_console_is_that_of_the_partition(partition, page):
    arn = f"arn:{partition}:states:eu-west-1:123456789012:execution:demo:run"

    assert start.link(arn) == page + arn


# ---------------------------------------------------------------------------- when its history has gone
def test_a_run_whose_history_has_gone_is_found_in_the_table(deployed):
    # given a run of the pipeline whose execution Step Functions does not know any more
    there = connection(deployed)
    with pytest.raises(UnknownRunError):
        Runs(there.client).find("run")  # it was of another machine
    # when
    found = looked_up.look_up(there, "run")
    # then
    assert found.source == "table"
    rows = list(read(there.client("dynamodb").query, "relay-ledger", "demo"))
    assert [entry.job for entry in found.view.stages["train"].attempts] == [row.job for row in rows]


def test_a_run_that_nothing_knows_is_told(deployed):
    with pytest.raises(UnknownRunError, match="no run `nobody`; the newest runs: none yet"):
        looked_up.look_up(connection(deployed), "nobody")
