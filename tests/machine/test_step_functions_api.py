"""The Step Functions API answers as AWS does."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest

from tests.machine.world import ROLE, TASK, World, assert_shape, machine
from workflows.local.json_texts import Unwritten
from workflows.local.service_errors import ServiceError
from workflows.local.step_functions.execution_store import latest_moment

WAIT = machine(("wait", {"Type": "Wait", "Seconds": 100}))
END = machine(("end", {"Type": "Succeed"}))
ARN = "arn:aws:states:us-east-1:000000000000"


def ask(world: World, operation: str, **request: Any) -> dict[str, Any]:
    answer = world.api.handle(operation, request)
    assert_shape(operation, answer)
    return answer


def refusal(world: World, operation: str, **request: Any) -> str:
    with pytest.raises(ServiceError) as refused:
        world.api.handle(operation, request)
    return f"{refused.value.code}: {refused.value.message}"


def text(definition: dict[str, Any]) -> str:
    return json.dumps({"QueryLanguage": "JSONata", **definition})


def test_a_machine_is_created_described_updated_listed_and_deleted() -> None:
    # given
    world = World()
    arn = world.create(END, "m")
    assert arn == f"{ARN}:stateMachine:m"
    first = ask(world, "DescribeStateMachine", stateMachineArn=arn)
    # when
    updated = ask(world, "UpdateStateMachine", stateMachineArn=arn, definition=text(WAIT))
    # then
    second = ask(world, "DescribeStateMachine", stateMachineArn=arn)
    assert second["revisionId"] == updated["revisionId"] != first["revisionId"]
    assert json.loads(second["definition"])["StartAt"] == "wait"
    assert [m["name"] for m in ask(world, "ListStateMachines")["stateMachines"]] == ["m"]
    assert ask(world, "DeleteStateMachine", stateMachineArn=arn) == {}
    assert refusal(world, "DescribeStateMachine", stateMachineArn=arn) == (
        f"StateMachineDoesNotExist: State Machine Does Not Exist: '{arn}'"
    )
    assert refusal(world, "UpdateStateMachine", stateMachineArn=arn).startswith("StateMachineDoes")


def test_who_has_the_input_at_hand_starts_the_same_execution_as_with_its_text() -> None:
    # given one world that is sent the text, one that is given the value
    value = {"n": 1, "text": "ü"}
    sent, given = World(), World()
    # when
    by_text = ask(
        sent,
        "StartExecution",
        stateMachineArn=sent.create(END, "m"),
        name="a",
        input='{"n":1,"text":"ü"}',
    )["executionArn"]
    by_value = given.api.start(given.create(END, "m"), "a", value, Unwritten(value, 100))
    for world in (sent, given):
        world.clock.run()
    # then
    assert by_text == by_value
    assert given.events(by_value) == sent.events(by_text)
    assert given.describe(by_value) == sent.describe(by_text)
    # and what AWS refuses of a text is refused of a value
    long = {"long": "ü" * 140_000}
    with pytest.raises(ServiceError, match="larger than 262144"):
        given.api.start(f"{ARN}:stateMachine:m", "b", long, Unwritten(long, 300_000))
    # but not what only might have been too long
    assert given.api.start(f"{ARN}:stateMachine:m", "c", {"n": 1}, Unwritten({"n": 1}, 300_000))


def test_creating_the_same_machine_again_is_no_error_another_definition_is() -> None:
    world = World()
    assert world.create(END, "m") == world.create(END, "m")
    with pytest.raises(ServiceError) as refused:
        world.create(WAIT, "m")
    assert refused.value.code == "StateMachineAlreadyExists"


@pytest.mark.parametrize(
    ("operation", "request_", "starts"),
    [
        (
            "StartExecution",
            {},
            "ValidationException: 1 validation error detected: Value null at 'stateMachineArn' "
            "failed to satisfy constraint: Member must not be null",
        ),
        ("StartExecution", {"stateMachineArn": 5}, "SerializationException: stateMachineArn: int can not be"),
        ("StartExecution", {"stateMachineArn": "m"}, "InvalidArn: Invalid Arn: 'Invalid ARN"),
        ("StartExecution", {"stateMachineArn": f"{ARN}:execution:m:x"}, "InvalidArn: Invalid Arn"),
        ("StartExecution", {"stateMachineArn": f"{ARN}:stateMachine:no"}, "StateMachineDoesNot"),
        (
            "StartExecution",
            {"stateMachineArn": f"{ARN}:stateMachine:m", "name": "a b"},
            "InvalidName: Invalid Name: 'a b'",
        ),
        (
            "StartExecution",
            {"stateMachineArn": f"{ARN}:stateMachine:m", "name": "x" * 81},
            "ValidationException: 1 validation error detected: Value 'xxx",
        ),
        (
            "StartExecution",
            {"stateMachineArn": f"{ARN}:stateMachine:m", "input": "{"},
            "InvalidExecutionInput: Invalid State Machine Execution Input",
        ),
        ("DescribeExecution", {"executionArn": f"{ARN}:execution:m:no"}, "ExecutionDoesNotExist"),
        (
            "ListExecutions",
            {"stateMachineArn": f"{ARN}:stateMachine:m", "statusFilter": "DONE"},
            "ValidationException: 1 validation error detected: Value 'DONE' at 'statusFilter' "
            "failed to satisfy constraint: Member must satisfy enum value set: [RUNNING, ",
        ),
        (
            "ListExecutions",
            {"stateMachineArn": f"{ARN}:stateMachine:m", "nextToken": "made up"},
            "InvalidToken",
        ),
        ("ListExecutions", {}, "ValidationException: Exactly one of"),
        ("CreateActivity", {"name": "a"}, "UnknownOperationException"),
        (
            "CreateStateMachine",
            {"name": "e", "definition": "{}", "roleArn": ROLE, "type": "EXPRESS"},
            "StateMachineTypeNotSupported",
        ),
    ],
)
def test_what_aws_refuses_is_refused_with_its_code(
    operation: str, request_: dict[str, Any], starts: str
) -> None:
    world = World()
    world.create(END, "m")
    assert refusal(world, operation, **request_).startswith(starts)


def test_a_start_is_idempotent_for_the_same_name_and_input_while_it_runs() -> None:
    # given a running execution
    world = World()
    arn = world.create(WAIT, "m")
    first = ask(world, "StartExecution", stateMachineArn=arn, name="a", input='{"n": 1}')
    # then the same start is the same execution, another input is refused
    again = ask(world, "StartExecution", stateMachineArn=arn, name="a", input='{"n":1}')
    assert again == first
    taken = f"ExecutionAlreadyExists: Execution Already Exists: '{first['executionArn']}'"
    assert refusal(world, "StartExecution", stateMachineArn=arn, name="a", input="{}") == taken
    # and when it ended the name stays taken for 90 days
    world.finish(first["executionArn"])
    same = {"stateMachineArn": arn, "name": "a", "input": '{"n": 1}'}
    assert refusal(world, "StartExecution", **same) == taken
    world.clock.run(91 * 86400)
    assert ask(world, "StartExecution", **same)["startDate"] > first["startDate"]


def test_executions_are_listed_newest_first_in_pages_and_by_status() -> None:
    # given three executions, one of them ended
    world = World()
    arn = world.create(WAIT, "m")
    for name in "abc":
        ask(world, "StartExecution", stateMachineArn=arn, name=name)
        world.clock.run(world.clock.seconds() + 1)
    world.stop(f"{ARN}:execution:m:a")
    # then
    page = ask(world, "ListExecutions", stateMachineArn=arn, maxResults=2)
    rest = ask(world, "ListExecutions", stateMachineArn=arn, nextToken=page["nextToken"])
    assert [e["name"] for e in page["executions"] + rest["executions"]] == ["a", "c", "b"]
    running = ask(world, "ListExecutions", stateMachineArn=arn, statusFilter="RUNNING")
    assert [e["name"] for e in running["executions"]] == ["c", "b"]


def test_a_history_is_read_in_pages_backwards_and_without_data() -> None:
    world = World()
    execution = world.start(machine(*[(f"s{n}", {"Type": "Pass"}) for n in range(60)]))
    world.finish(execution)
    # then pages hold 100 events unless asked otherwise, and join up
    first = ask(world, "GetExecutionHistory", executionArn=execution)
    second = ask(world, "GetExecutionHistory", executionArn=execution, nextToken=first["nextToken"])
    assert [e["id"] for e in first["events"] + second["events"]] == list(range(1, 123))
    newest = ask(world, "GetExecutionHistory", executionArn=execution, reverseOrder=True, maxResults=1)
    assert newest["events"][0]["type"] == "ExecutionSucceeded"
    bare = ask(world, "GetExecutionHistory", executionArn=execution, includeExecutionData=False)
    assert bare["events"][1]["stateEnteredEventDetails"] == {"name": "s0"}


def test_an_execution_shows_its_input_and_output_or_only_its_metadata() -> None:
    world = World()
    execution = world.start(END, {"n": 1})
    assert "output" not in world.describe(execution)
    ended = world.finish(execution)
    assert (ended["input"], ended["output"]) == ('{"n": 1}', '{"n":1}')
    bare = ask(world, "DescribeExecution", executionArn=execution, includedData="METADATA_ONLY")
    assert "input" not in bare
    assert bare["inputDetails"] == {"included": False}
    shown = ask(world, "DescribeStateMachineForExecution", executionArn=execution)
    assert shown["name"] == "machine-of-run"


def test_versions_and_aliases_start_what_they_were_published_as() -> None:
    # given version 1 that gives 1, a current revision that gives 2, and an alias to version 1
    world = World()
    arn = world.create(machine(("a", {"Type": "Pass", "Output": 1})), "m")
    version = ask(world, "PublishStateMachineVersion", stateMachineArn=arn)
    assert version["stateMachineVersionArn"] == f"{arn}:1"
    assert ask(world, "PublishStateMachineVersion", stateMachineArn=arn) == version
    second = text(machine(("a", {"Type": "Pass", "Output": 2})))
    published = ask(world, "UpdateStateMachine", stateMachineArn=arn, definition=second, publish=True)
    assert published["stateMachineVersionArn"] == f"{arn}:2"
    routing = [{"stateMachineVersionArn": f"{arn}:1", "weight": 100}]
    alias = ask(world, "CreateStateMachineAlias", name="live", routingConfiguration=routing)[
        "stateMachineAliasArn"
    ]
    # when each is started
    outputs = []
    for target in (arn, f"{arn}:1", alias):
        execution = ask(world, "StartExecution", stateMachineArn=target)["executionArn"]
        outputs.append(world.finish(execution)["output"])
    # then
    assert outputs == ["2", "1", "1"]
    assert world.describe(execution)["stateMachineVersionArn"] == f"{arn}:1"
    listed = ask(world, "ListExecutions", stateMachineArn=alias)["executions"]
    assert [item["executionArn"] for item in listed] == [execution]
    # and a version in use cannot be deleted
    in_use = refusal(world, "DeleteStateMachineVersion", stateMachineVersionArn=f"{arn}:1")
    assert in_use.startswith("ConflictException")
    routing[0]["stateMachineVersionArn"] = f"{arn}:2"
    ask(world, "UpdateStateMachineAlias", stateMachineAliasArn=alias, routingConfiguration=routing)
    ask(world, "DeleteStateMachineVersion", stateMachineVersionArn=f"{arn}:1")
    described = ask(world, "DescribeStateMachineAlias", stateMachineAliasArn=alias)
    assert described["routingConfiguration"] == routing
    versions = ask(world, "ListStateMachineVersions", stateMachineArn=arn)
    assert [v["stateMachineVersionArn"] for v in versions["stateMachineVersions"]] == [f"{arn}:2"]
    aliases = ask(world, "ListStateMachineAliases", stateMachineArn=arn)["stateMachineAliases"]
    assert [item["stateMachineAliasArn"] for item in aliases] == [alias]


def test_tags_are_added_listed_and_removed() -> None:
    world = World()
    arn = world.create(END, "m")
    tags = [{"key": "a", "value": "1"}, {"key": "b", "value": "2"}]
    ask(world, "TagResource", resourceArn=arn, tags=tags)
    ask(world, "UntagResource", resourceArn=arn, tagKeys=["a"])
    assert ask(world, "ListTagsForResource", resourceArn=arn) == {"tags": tags[1:]}


def test_subscribers_hear_of_each_change_of_status() -> None:
    # given
    world = World()
    heard: list[dict[str, Any]] = []
    world.api.subscribers.append(heard.append)
    # when one execution fails and is redriven
    execution = world.start(machine(("no", {"Type": "Fail", "Error": "No"})))
    world.finish(execution)
    world.redrive(execution)
    world.finish(execution)
    # then
    statuses = [event["detail"]["status"] for event in heard]
    assert statuses == ["RUNNING", "FAILED", "RUNNING", "FAILED"]
    assert heard[0]["detail-type"] == "Step Functions Execution Status Change"
    assert json.loads(json.dumps(heard)) == heard


def test_machines_aliases_and_tags_outlive_the_process(tmp_path: Path) -> None:
    # given
    world = World(tmp_path)
    arn = world.create(END, "m")
    version = ask(world, "PublishStateMachineVersion", stateMachineArn=arn)
    routing = [{"stateMachineVersionArn": version["stateMachineVersionArn"], "weight": 100}]
    ask(world, "CreateStateMachineAlias", name="live", routingConfiguration=routing)
    ask(world, "TagResource", resourceArn=arn, tags=[{"key": "a", "value": "1"}])
    execution = world.start(END)
    ended = world.finish(execution)
    # when another process reads the folder
    later = World(tmp_path)
    # then
    for operation, request in (
        ("DescribeStateMachine", {"stateMachineArn": arn}),
        ("DescribeStateMachineAlias", {"stateMachineAliasArn": f"{arn}:live"}),
        ("ListTagsForResource", {"resourceArn": arn}),
        ("ListStateMachineVersions", {"stateMachineArn": arn}),
    ):
        assert ask(later, operation, **request) == ask(world, operation, **request)
    assert later.describe(execution) == ended
    assert latest_moment(tmp_path) == ended["stopDate"]
    # and a deleted machine is gone from it
    ask(later, "DeleteStateMachine", stateMachineArn=arn)
    assert refusal(World(tmp_path), "DescribeStateMachine", stateMachineArn=arn)


def test_deleting_a_machine_ends_its_executions() -> None:
    world = World()
    task = {"Type": "Task", "Resource": TASK, "Arguments": {"seconds": 50}}
    execution = world.start(machine(("act", task)))
    world.clock.run(1)
    ask(world, "DeleteStateMachine", stateMachineArn=f"{ARN}:stateMachine:machine-of-run")
    world.clock.run(2)
    assert world.script.stopped == [("act", "aborted")]
    assert refusal(world, "DescribeExecution", executionArn=execution).startswith("ExecutionDoes")


def test_three_thousand_transitions_a_second_are_not_too_many_to_ask() -> None:
    # given a loop of 8,000 transitions with an expression in each; measured at over 30,000 a second

    world = World()
    states = machine(
        ("set", {"Type": "Pass", "Assign": {"n": 0}}),
        ("add", {"Type": "Pass", "Assign": {"n": "{% $n + 1 %}"}}),
        (
            "again",
            {
                "Type": "Choice",
                "Choices": [{"Condition": "{% $n < 4000 %}", "Next": "add"}],
                "Default": "end",
            },
        ),
        ("end", {"Type": "Succeed"}),
    )
    # when its own processor time is measured, which other processes do not disturb
    begun = time.process_time()
    world.output(states)
    # then
    assert 8000 / (time.process_time() - begun) > 3000
