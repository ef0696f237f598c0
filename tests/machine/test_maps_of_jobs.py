"""Maps whose iterations run SageMaker jobs: what they see, how they end together, how they go on."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.machine.world import machine
from tests.training_jobs import training_job
from workflows.local.sagemaker.work_model import Failure, WorkModel
from workflows.local.virtual import VirtualWorld

TRAIN = "arn:aws:states:::sagemaker:createTrainingJob.sync"
DISTRIBUTED = {"ProcessorConfig": {"Mode": "DISTRIBUTED", "ExecutionType": "STANDARD"}}
NAME = "{% $states.input.name & '-' & $string($states.context.Execution.RedriveCount) %}"


def train(**more: Any) -> dict[str, Any]:
    """One job, named after its item and the redrives of its execution, a stage of its own."""
    request = training_job("-", **more)
    request |= {"TrainingJobName": NAME, "HyperParameters": "{% $states.input.parameters %}"}
    request["Tags"] = [{"Key": "relay:stage", "Value": "{% $states.input.name %}"}]
    request["AlgorithmSpecification"] |= {"MetricDefinitions": [{"Name": "loss", "Regex": "loss=(.*)"}]}
    return {"Type": "Task", "Resource": TRAIN, "Arguments": request}


def sweep(rates: list[float], *states: tuple[str, dict[str, Any]], **more: Any) -> dict[str, Any]:
    """A Map over rates whose items are {name: job-0, parameters: {rate: "0.1"}}."""
    return {
        "Type": "Map",
        "Items": rates,
        "ItemSelector": {
            "name": "{% 'job-' & $string($states.context.Map.Item.Index) %}",
            "parameters": {"rate": "{% $string($states.context.Map.Item.Value) %}"},
        },
        "ItemProcessor": {**machine(*states), **(DISTRIBUTED if more.pop("distributed", False) else {})},
        **more,
    }


def world(**models: WorkModel) -> VirtualWorld:
    """Jobs of 1000 s whose loss is twice their rate, but for those that have a model here."""
    usual = WorkModel(
        seconds=1000, steps=100, metrics={"loss": lambda parameters: 2 * float(parameters["rate"])}
    )
    work = {f"job-{place}": usual for place in range(10)}
    return VirtualWorld(
        {**work, **{name.replace("_", "-"): model for name, model in models.items()}}, bucket="bucket"
    )


def jsonata(*states: tuple[str, dict[str, Any]]) -> dict[str, Any]:
    return {"QueryLanguage": "JSONata", **machine(*states)}


def statuses(found: VirtualWorld) -> dict[str, str]:
    listed = found.sagemaker.handle("ListTrainingJobs", {"MaxResults": 100})["TrainingJobSummaries"]
    return {job["TrainingJobName"]: job["TrainingJobStatus"] for job in listed}


BEST = {
    "Output": (
        "{% $sort($states.result, function($a, $b) { "
        "$a.FinalMetricDataList[0].Value > $b.FinalMetricDataList[0].Value })[0].TrainingJobName %}"
    )
}


@pytest.mark.parametrize("distributed", [False, True])
def test_the_best_of_a_sweep_is_found_by_the_metric_that_each_job_leaves(distributed: bool) -> None:
    found = world()
    arn = found.run(
        jsonata(("tune", {**sweep([0.3, 0.1, 0.2], ("train", train()), distributed=distributed), **BEST}))
    )
    assert json.loads(found.describe(arn)["output"]) == "job-1-0"


def test_no_more_jobs_run_at_once_than_an_expression_allows() -> None:
    found = world()
    limit = {"Type": "Pass", "Assign": {"most": 2}}
    arn = found.run(
        jsonata(("set", limit), ("tune", sweep([0.1] * 6, ("train", train()), MaxConcurrency="{% $most %}")))
    )
    # three times a launch of 60 s and 1000 s of work
    ended = found.describe(arn)
    assert (ended["stopDate"] - ended["startDate"]).total_seconds() == 3 * 1060


@pytest.mark.parametrize("distributed", [False, True])
def test_a_failing_iteration_stops_the_jobs_of_the_others_and_a_redrive_goes_on_with_those_alone(
    distributed: bool,
) -> None:
    # given four jobs, two at once, of which the second fails after 300 s, once
    once = WorkModel(seconds=500, failures=(Failure(3, "no data", after=300),))
    short = WorkModel(seconds=100)
    found = world(job_0=short, job_1=once)
    states = jsonata(
        ("tune", sweep([0.1] * 4, ("train", train()), MaxConcurrency=2, distributed=distributed))
    )
    # when
    arn = found.run(states)
    # then the first is done, the third was stopped, the fourth never began
    found.clock.run(found.clock.seconds() + 600)
    before = statuses(found)
    assert before == {"job-0-0": "Completed", "job-1-0": "Failed", "job-2-0": "Stopped"}
    assert found.describe(arn)["status"] == "FAILED"
    # and a redrive runs these three; an iteration that is an execution of its own counts its own redrives
    found.step_functions.handle("RedriveExecution", {"executionArn": arn})
    found.wait(arn)
    last = "job-3-0" if distributed else "job-3-1"
    assert found.describe(arn)["status"] == "SUCCEEDED"
    assert statuses(found) == before | {"job-1-1": "Completed", "job-2-1": "Completed", last: "Completed"}
    types = [event["type"] for event in found.history(arn)]
    assert types.count("MapRunRedriven") == (1 if distributed else 0)
    assert types.count("MapStateEntered") == types.count("MapStateStarted") == 1


@pytest.mark.parametrize("distributed", [False, True])
def test_stopping_a_run_stops_the_jobs_of_all_its_iterations(distributed: bool) -> None:
    found = world()
    states = jsonata(("tune", sweep([0.1] * 3, ("train", train()), distributed=distributed)))

    def person() -> Any:
        yield found.clock.env.timeout(500)
        arn = "arn:aws:states:us-east-1:000000000000:execution:machine:run"
        found.step_functions.handle("StopExecution", {"executionArn": arn})

    found.clock.env.process(person())
    arn = found.run(states)
    found.clock.run(found.clock.seconds() + 600)
    assert found.describe(arn)["status"] == "ABORTED"
    assert set(statuses(found).values()) == {"Stopped"}


def test_every_event_of_an_inline_iteration_leads_back_to_its_beginning() -> None:
    # given a run whose middle iteration fails, redriven
    failing = WorkModel(seconds=500, failures=(Failure(3),))
    found = world(job_1=failing)
    arn = found.run(jsonata(("tune", sweep([0.1] * 3, ("train", train()), ("after", {"Type": "Pass"})))))
    found.step_functions.handle("RedriveExecution", {"executionArn": arn})
    found.wait(arn)
    events = {event["id"]: event for event in found.history(arn)}

    def index_of(event: dict[str, Any]) -> int:
        while event["type"] != "MapIterationStarted":
            event = events[event["previousEventId"]]
        return int(event["mapIterationStartedEventDetails"]["index"])

    # when the event with which each job was submitted is followed back
    places = {}
    for event in events.values():
        if event["type"] == "TaskSubmitted":
            arn_of_job = json.loads(event["taskSubmittedEventDetails"]["output"])["TrainingJobArn"]
            places[arn_of_job.rpartition("/")[2]] = index_of(event)
    # then it ends at the start of the iteration that it belongs to
    jobs = ("job-0-0", "job-1-0", "job-2-0", "job-0-1", "job-1-1", "job-2-1")
    assert places == {name: int(name[4]) for name in jobs}
    ended = {
        (event["type"], event[key]["index"])
        for event in events.values()
        for key in event
        if key.startswith("mapIteration") and not key.startswith("mapIterationStarted")
    }
    assert {("MapIterationFailed", 1), ("MapIterationSucceeded", 1)} <= ended


def test_an_iteration_of_a_distributed_map_sees_only_its_own_execution() -> None:
    # given an outer variable, and iterations that look around, also from within a Parallel
    found = world()
    look = {
        "Type": "Pass",
        "Output": {
            "outer": "{% $exists($outer) %}",
            "map": "{% $exists($states.context.Map) %}",
            "execution": "{% $states.context.Execution %}",
            "machine": "{% $states.context.StateMachine.Name %}",
        },
    }
    both = {"Type": "Parallel", "Branches": [machine(("look", look))], "Output": "{% $states.result[0] %}"}
    tune = sweep(
        [0.1], ("job", {**train(), "Output": "{% $states.input %}"}), ("both", both), distributed=True
    )
    arn = found.run(jsonata(("set", {"Type": "Pass", "Assign": {"outer": 1}}), ("tune", tune)))
    # then
    [seen] = json.loads(found.describe(arn)["output"])
    assert (seen["outer"], seen["map"], seen["machine"]) == (False, False, "machine/tune")
    assert seen["execution"]["Input"] == {"name": "job-0", "parameters": {"rate": "0.1"}}
    assert seen["execution"]["Id"].startswith("arn:aws:states:us-east-1:000000000000:execution:machine/tune:")
    # and its job names it as the execution that started it
    tags = found.sagemaker.handle(
        "ListTags", {"ResourceArn": "arn:aws:sagemaker:us-east-1:000000000000:training-job/job-0-0"}
    )["Tags"]
    assert {"Key": "AWS_STEP_FUNCTIONS_EXECUTION_ARN", "Value": seen["execution"]["Id"]} in tags


def test_reading_an_outer_variable_in_a_distributed_map_is_an_evaluation_error() -> None:
    found = world()
    read = {"Type": "Pass", "Output": "{% $outer %}"}
    tune = sweep([0.1], ("read", read), distributed=True, ToleratedFailureCount=1)
    arn = found.run(jsonata(("set", {"Type": "Pass", "Assign": {"outer": 1}}), ("tune", tune)))
    [failed] = json.loads(found.describe(arn)["output"])
    assert (failed["Status"], failed["Error"]) == ("FAILED", "States.QueryEvaluationError")
    assert (
        "The JSONata expression '$outer' specified for the field 'Output' returned nothing" in failed["Cause"]
    )


def test_a_tolerated_failure_stands_in_the_result_as_the_execution_that_it_was() -> None:
    found = world(job_1=WorkModel(seconds=500, failures=(Failure(3, "no data"),)))
    tune = sweep([0.1] * 3, ("train", train()), distributed=True, ToleratedFailureCount=1)
    arn = found.run(jsonata(("tune", tune)))
    first, failed, last = json.loads(found.describe(arn)["output"])
    assert first["TrainingJobStatus"] == last["TrainingJobStatus"] == "Completed"
    assert (failed["Status"], failed["Error"]) == ("FAILED", "States.TaskFailed")
    assert json.loads(failed["Cause"])["FailureReason"] == "AlgorithmError: no data, exit code: 3"
    assert json.loads(failed["Input"])["name"] == "job-1"


def test_the_redrive_of_an_inline_map_knows_nothing_of_a_map_run_before_it() -> None:
    found = world()
    first = sweep([0.1], ("look", {"Type": "Pass"}), distributed=True)
    arn = found.run(jsonata(("first", first), ("second", sweep([0.1], ("fail", {"Type": "Fail"})))))
    found.step_functions.handle("RedriveExecution", {"executionArn": arn})
    found.wait(arn)
    types = [event["type"] for event in found.history(arn)]
    assert ("ExecutionRedriven" in types, "MapRunRedriven" in types) == (True, False)


def test_a_tolerated_iteration_that_fails_in_the_moment_of_its_redrive_is_in_the_result() -> None:
    # given an iteration whose choice finds no match, whatever happens, and another that fails once
    found = world(job_1=WorkModel(seconds=500, failures=(Failure(3),)))
    choice = {
        "Type": "Choice",
        "Choices": [{"Condition": "{% $states.input.name != 'job-0' %}", "Next": "job"}],
    }
    tune = sweep([0.1, 0.2], ("which", choice), ("job", train()), distributed=True, ToleratedFailureCount=1)
    arn = found.run(jsonata(("tune", tune)))
    assert found.describe(arn)["error"] == "States.ExceedToleratedFailureThreshold"
    # when
    found.step_functions.handle("RedriveExecution", {"executionArn": arn})
    found.wait(arn)
    # then
    failed, done = json.loads(found.describe(arn)["output"])
    assert (failed["Error"], failed["RedriveCount"]) == ("States.NoChoiceMatched", 1)
    assert done["TrainingJobName"] == "job-1-1"
