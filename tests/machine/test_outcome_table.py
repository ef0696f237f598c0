"""Every row of the outcome table, through the compiled machine: it counts and decides as Python does."""

import json
from typing import Any

import pytest

from tests.machine.pipelines import Run, pipeline, watch
from tests.oracle import policy
from workflows.local.sagemaker.work_model import PLATFORM_FAULT, Failure, WorkModel
from workflows.policy import decisions, tally
from workflows.policy.outcomes import Outcome

LATE: dict[str, Any] = {"after": 400}  # seconds into the training: a third of the work is saved by then
EARLY: dict[str, Any] = {"after": 30}  # nothing is saved yet

# (case, spot capacity, failures of the jobs, stage, input, what is expected of the first attempts)
ROWS = [
    ("completed", [], [], {}, ["completed: done"]),
    ("interrupted", [{"interrupt": "40%"}], [], {}, ["interrupted: spot", "completed: done"]),
    ("no capacity", ["none"], [], {}, ["no capacity: spot", "completed: done"]),
    ("CapacityError", [{"error": "CapacityError"}], [], {}, ["no capacity: spot", "completed: done"]),
    (
        "budget used up",
        ["none"] * 2,
        [],
        {"spot": {"retry_budget": 2}},
        ["no capacity: spot", "no capacity: on-demand", "completed: done"],
    ),
    (
        "budget used up, nowhere to go",
        ["none"] * 2,
        [],
        {"spot": {"retry_budget": 2}, "on_demand": {"enabled": False}},
        ["no capacity: spot", "no capacity: fail"],
    ),
    ("slice over", [], [], {"limit": "10m"}, ["slice over: spot", "slice over: spot", "completed: done"]),
    ("platform fault", [], [PLATFORM_FAULT], {}, ["platform fault: spot", "completed: done"]),
    (
        "platform faults",
        [],
        [PLATFORM_FAULT] * 3,
        {},
        ["platform fault: spot"] * 2 + ["platform fault: fail"],
    ),
    ("user error", [], [Failure(exit_code=3, **LATE)], {}, ["user error: fail"]),
    (
        "user error to be tried again",
        [],
        [Failure(exit_code=3, **EARLY)] * 4,
        {"retry_on_exit_codes": [3]},
        ["user error: spot"] * 3 + ["user error: fail"],
    ),
    (
        "a text that pretends",
        [],
        [Failure(exit_code=3, text="CapacityError: none, exit code: 9", **LATE)],
        {"retry_on_exit_codes": [9]},
        ["user error: fail"],
    ),
    (
        "memory",
        [],
        [Failure(fault="ClientError: Please use an instance type with more memory", **LATE)],
        {},
        ["bad request: fail"],
    ),
    (
        "a text with two spaces",
        [],
        [Failure(fault="InternalServerError:  We encountered an internal error.  Please try again.", **LATE)],
        {},
        ["platform fault: spot", "completed: done"],
    ),
    ("unfinished", [], [Failure(exit_code=0, **LATE)], {}, ["unfinished: spot", "completed: done"]),
    (
        "slice over without progress",
        [],
        [Failure(stuck=True)] * 9,
        {"limit": "5m"},
        ["slice over: fail"],
    ),
    (
        "no progress on spot",
        [{"interrupt": "40%"}] * 3,
        [Failure(stuck=True)] * 2,
        {},
        ["interrupted: spot", "interrupted: on-demand", "completed: done"],
    ),
    (
        "unknown",
        [],
        [Failure(fault="a text that nobody has seen", **EARLY)],
        {},
        ["unknown: spot", "completed: done"],
    ),
    (
        "unknown again",
        [],
        [Failure(fault="a text that nobody has seen", **EARLY)] * 2,
        {},
        ["unknown: spot", "unknown: fail"],
    ),
]


@pytest.mark.parametrize("stopped_is_success", [False, True], ids=["stopped fails", "stopped succeeds"])
@pytest.mark.parametrize(
    ("entries", "failures", "stage", "expected"), [r[1:] for r in ROWS], ids=[r[0] for r in ROWS]
)
def test_a_row_of_the_table(entries, failures, stage, expected, stopped_is_success):
    model = WorkModel(seconds=1200, steps=100, save_every=60, failures=tuple(failures))
    run = Run(
        pipeline({"name": "train", **stage}),
        scenario={"spot": {"train": entries}},
        models={"train": model},
        watch=watch(),
        stopped_is_success=stopped_is_success,
    )

    told = run.view.stages["train"].attempts
    assert [f"{entry.outcome}: {entry.decision}" for entry in told] == expected
    assert run.ended["status"] == ("FAILED" if expected[-1].endswith("fail") else "SUCCEEDED")
    assert_decided_as_in_python(run, stage.get("retry_on_exit_codes", ()))


def test_the_rows_cover_the_table():
    covered = {line.partition(":")[0] for row in ROWS for line in row[4]}
    elsewhere = {
        Outcome.STOPPED,  # test_compiled_pipeline, test_watch_races
        Outcome.STOPPED_WITH_RUN,  # test_one_writer
        Outcome.STILL_RUNNING,  # test_one_writer
        Outcome.NOT_STARTED,  # test_deadline, test_spending_limit, test_reuse
        Outcome.THROTTLED,  # below
        Outcome.QUOTA,
    }

    assert covered | elsewhere == {outcome.value for outcome in Outcome}


@pytest.mark.parametrize(
    ("code", "message", "expected"),
    [
        ("ThrottlingException", "Rate exceeded", "throttled"),
        (
            "ResourceLimitExceeded",
            "The account-level service limit 'ml.m5.xlarge for spot training job usage' is 0 Instances, with "
            "current utilization of 0 Instances and a request delta of 1 Instances.",
            "quota",
        ),
    ],
)
def test_a_create_call_that_is_refused_for_a_while_waits_and_then_gives_up(code, message, expected):
    from workflows.local.service_errors import ServiceError

    refused = []

    def refuse(world):
        create = world.sagemaker.handle

        def handle(operation, request):
            if operation == "CreateTrainingJob" and request["EnableManagedSpotTraining"]:
                refused.append(request["TrainingJobName"])
                raise ServiceError(code, message)
            return create(operation, request)

        world.sagemaker.handle = handle

    run = Run(pipeline({"name": "train", "spot": {"backoff": {"first": "1s", "max": "2s"}}}), before=refuse)

    outcomes = [entry.outcome for entry in run.view.stages["train"].attempts]
    assert set(outcomes[: decisions.WAIT_BUDGET + 1]) == {expected}
    assert len(refused) > decisions.WAIT_BUDGET
    if expected == "quota":
        assert outcomes[-1] == "completed"  # on demand
    else:
        assert "still throttled" in run.ended["cause"]
    assert_decided_as_in_python(run)


def assert_decided_as_in_python(run, codes=()):
    """What the machine made of each attempt's facts is what the oracle makes of them."""
    limits = json.loads(assigned(run, "start")["run"])["stages"]["train"]
    before: dict[str, Any] = {}
    checked = []
    for name, variables in exits(run):
        after = json.loads(variables.get("stage_train", "null"))
        if name == "train: what follows from it":
            entry = after["ledger"][-1]
            facts = facts_of(before, after, entry, limits, codes)
            counted = policy.tally(facts)
            assert {name: after[name] for name in tally.COUNTERS} == counted
            decision = policy.decide({**facts, **counted})
            assert (entry["decision"], entry["why"]) == (decision.next, decision.why)
            checked.append(entry["job"])
        before = after or before
    # A completed attempt needs no decision: its stage is done.
    told = run.view.stages["train"].attempts
    assert told
    assert checked == [each.job for each in told if each.outcome != Outcome.COMPLETED]


def facts_of(before, after, entry, limits, codes):
    listed = any(entry["message"].endswith(f"exit code: {code}") for code in codes)
    return {
        **before,
        "outcome": entry["outcome"],
        "held": "",
        "money": "",
        "reported": True,
        "progressed": after["step"] > before["step"],
        "trained": after["end"]["trained"],
        "seen": after["end"]["seen"],
        "exit_listed": listed,
        "late": False,
        "retry_budget": limits["retry_budget"],
        "no_progress_limit": limits["no_progress_limit"],
        "on_demand_enabled": entry["why"].find("not enabled") < 0,
    }


def exits(run):
    for event in run.world.history(run.arn):
        if "stateExitedEventDetails" in event:
            details = event["stateExitedEventDetails"]
            yield details["name"], details.get("assignedVariables", {})


def assigned(run, state):
    return next(variables for name, variables in exits(run) if name == state)
