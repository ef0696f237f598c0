"""The capacity watch in virtual time: it ends a drought when the patience is over, whatever its events do."""

import json

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from tests.machine.pipelines import SITE, Run, pipeline, watch
from tests.machine.watched import LAUNCH, PATIENCE, READINGS, TRAIN, endings, job, scenario, seconds, tags
from workflows.jobs.job_names import job_base, job_prefix
from workflows.jobs.watch_pattern import watch_pattern
from workflows.local.front_door.event_patterns import matches
from workflows.local.virtual import VirtualWorld
from workflows.state_machine.watch import compile_watch


# ------------------------------------------------------------------------------------------- patience
@READINGS
def test_a_drought_ends_when_the_patience_is_over_and_not_at_max_wait(stopped_is_success):
    run = Run(
        pipeline(TRAIN), scenario=scenario("none"), watch=watch(), stopped_is_success=stopped_is_success
    )

    assert run.attempts("train") == [("spot", "no capacity", "spot"), ("spot", "completed", "done")]
    assert seconds(run) == PATIENCE
    assert job(run)["StoppingCondition"]["MaxWaitTimeInSeconds"] == 3600 + PATIENCE  # if events are lost
    assert "no capacity for 600 s" in run.view.stages["train"].attempts[0].message


@READINGS
def test_a_drought_after_an_interruption_ends_with_the_patience_too(stopped_is_success):
    run = Run(
        pipeline(TRAIN),
        scenario=scenario({"interrupt": "50%"}),
        watch=watch(),
        stopped_is_success=stopped_is_success,
    )

    assert run.attempts("train") == [("spot", "interrupted", "spot"), ("spot", "completed", "done")]
    assert seconds(run) == LAUNCH + 600 + PATIENCE  # half of the work of 1200 s, then nothing
    lost, last = run.view.stages["train"].attempts
    assert (lost.saved_step, last.resumed_step) == (50, 50)


@READINGS
def test_an_attempt_lost_to_the_watch_takes_eight_transitions(stopped_is_success):
    run = Run(
        pipeline(TRAIN), scenario=scenario("none"), watch=watch(), stopped_is_success=stopped_is_success
    )

    first, second = (i for i, state in enumerate(run.states) if state == "train: on spot")
    assert second - first == 8


def test_capacity_that_comes_within_the_patience_is_left_alone():
    run = Run(
        pipeline(TRAIN),
        scenario=scenario({"wait": "8m", "interrupt": ["30%", "60%"], "back": "8m"}),
        watch=watch(),
    )

    (only,) = run.view.stages["train"].attempts
    assert (only.outcome, only.interruptions) == ("completed", 2)
    assert set(endings(run)) == {"nothing to do"}


def test_an_undisturbed_job_costs_one_watch_of_four_transitions():
    run = Run(pipeline(TRAIN), watch=watch())

    assert endings(run) == ["nothing to do"]
    assert len(run.states_of(run.world.watches[0])) == 4


def test_the_shortest_patience_stops_no_job_that_is_still_being_launched():
    run = Run(pipeline(TRAIN, spot={"patience": "5m"}), watch=watch(), launch_seconds=180.0)

    assert run.attempts("train") == [("spot", "completed", "done")]


def test_patience_holds_for_scripts_and_stages_without_a_checkpoint():
    run = Run(pipeline({**TRAIN, "checkpoint": None}), scenario=scenario("none"), watch=watch())

    assert run.attempts("train") == [("spot", "no capacity", "spot"), ("spot", "completed", "done")]
    assert seconds(run) == PATIENCE


def test_the_watch_writes_nothing_into_the_checkpoint_prefix():
    run = Run(pipeline(TRAIN), scenario=scenario("none", {"interrupt": "50%"}), watch=watch())

    written = run.world.objects.list("bucket", "demo/runs/")
    assert {key.rpartition("/")[2] for key in written if "/checkpoints/" in key} == {
        "progress.json",
        "complete.json",
    }
    assert sum(key.endswith("/stopped-by-watch.json") for key in written) == 2


# ------------------------------------------------------------------------------------- retry budget
def test_a_job_that_used_up_the_retry_budget_by_itself_goes_on_demand_at_once():
    often = {"interrupt": ["20%", "40%", "60%", "80%"], "back": "2m"}
    run = Run(pipeline(TRAIN, spot={"retry_budget": 3}), scenario=scenario(often), watch=watch())

    assert run.attempts("train") == [
        ("spot", "interrupted", "on-demand"),
        ("on-demand", "completed", "done"),
    ]
    lost, last = run.view.stages["train"].attempts
    assert lost.interruptions == 3
    assert last.resumed_step == 60
    assert "retry budget used up (3 of 3 interruptions)" in lost.why


def test_earlier_attempts_count_against_what_a_job_may_take():
    twice = {"interrupt": ["60%", "80%"], "back": "2m"}
    run = Run(
        pipeline(TRAIN, spot={"retry_budget": 3}),
        scenario=scenario("none", twice),
        watch=watch(),
    )

    assert [(a.outcome, a.interruptions) for a in run.view.stages["train"].attempts] == [
        ("no capacity", 0),
        ("interrupted", 2),
        ("completed", 0),
    ]
    assert job(run, 1)["Environment"]["RELAY_INTERRUPTIONS_LEFT"] == "2"
    assert tags(run, 1).items() >= {"relay:look-after": "600", "relay:interruptions-left": "2"}.items()
    # On-demand there is nothing to watch.
    assert "RELAY_PATIENCE" not in job(run, 2)["Environment"]
    assert "relay:look-after" not in tags(run, 2)


# ------------------------------------------------------------------------------------------- events
@pytest.mark.parametrize(
    ("arrivals", "expected"),
    [
        pytest.param(lambda event: (0.0, 0.0, 0.5, 7.0), PATIENCE, id="duplicate"),
        pytest.param(lambda event: (200.0,), PATIENCE, id="late"),
        pytest.param(lambda event: (900.0, 900.0), 900, id="later than the patience"),
        pytest.param(lambda event: (0.0, 10_000.0), PATIENCE, id="long after the end"),
        pytest.param(lambda event: (), 3600 + PATIENCE, id="lost"),
    ],
)
def test_events_that_come_twice_late_or_never_change_when_the_wait_ends_and_nothing_else(arrivals, expected):
    run = Run(pipeline(TRAIN), scenario=scenario("none"), watch=watch(arrivals))

    assert run.attempts("train") == [("spot", "no capacity", "spot"), ("spot", "completed", "done")]
    assert seconds(run) == pytest.approx(expected, abs=1)
    assert endings(run).count("stopped") <= 1 or arrivals(None)[0] == arrivals(None)[1]


def test_the_mark_of_one_attempt_says_nothing_of_the_next():
    run = Run(pipeline(TRAIN), scenario=scenario("none"), watch=watch(), stop_after=PATIENCE + 400)

    assert run.attempts("train") == [("spot", "no capacity", "spot"), ("spot", "stopped by a person", "fail")]


def tagless(event):
    del event["detail"]["Tags"]


def listed_tags(event):
    event["detail"]["Tags"] = [{"Key": key, "Value": item} for key, item in event["detail"]["Tags"].items()]


def timeless(event):
    del event["time"]


def bare(event):
    event["detail"] = {"TrainingJobName": event["detail"]["TrainingJobName"]}


@pytest.mark.parametrize("lose", [tagless, listed_tags, timeless, bare])
def test_an_event_that_does_not_tell_how_long_to_wait_has_the_watch_look_at_once(lose):
    run = Run(pipeline(TRAIN), scenario=scenario("none"), watch=watch(lambda event: lose(event) or (0.0,)))

    assert run.attempts("train") == [("spot", "no capacity", "spot"), ("spot", "completed", "done")]
    assert seconds(run) == PATIENCE
    assert run.states_of(run.world.watches[0])[:6] == [
        "wait for capacity",
        "look at the job",
        "does it wait for capacity",
        "wait for the patience that is left",
        "look at the job",
        "does it wait for capacity",
    ]


def test_a_drought_costs_one_look_at_the_end_of_the_patience():
    run = Run(pipeline(TRAIN), scenario=scenario("none"), watch=watch())

    assert seconds(run) == PATIENCE
    assert run.states_of(run.world.watches[0]) == [
        "wait for capacity",
        "look at the job",
        "does it wait for capacity",
        "how far did it get",
        "mark the stop",
        "stop the job",
        "stopped",
    ]


def test_a_deadline_is_reckoned_with_the_job_before_its_eyes_and_not_from_the_event():
    run = Run(
        pipeline({**TRAIN, "expected": "20m"}, deadline="30h"),
        scenario=scenario({"wait": "8m"}),
        watch=watch(),
    )

    assert tags(run)["relay:look-after"] == "0"
    looked = run.states_of(run.world.watches[0])
    assert looked.count("look at the job") == 2


# --------------------------------------------------------------------------------------- other jobs
@pytest.mark.parametrize(
    "change",
    [
        {"EnableManagedSpotTraining": False, "StoppingCondition": {"MaxRuntimeInSeconds": 60}},
        {"Environment": {}},
        {"OutputDataConfig": {"S3OutputPath": "s3://bucket/demo-two/runs/x/train/output"}},
        {"RoleArn": "arn:aws:iam::123456789012:role/somebody-elses"},
        {"TrainingJobName": "demo-foreign"},
    ],
    ids=["on demand", "not watched", "writes elsewhere", "another role", "another name"],
)
def test_a_job_that_is_not_the_pipelines_is_left_alone(change):
    request = {
        "TrainingJobName": NAMED,
        "AlgorithmSpecification": {"TrainingImage": "image", "TrainingInputMode": "File"},
        "RoleArn": SITE.job_role_arn,
        "OutputDataConfig": {"S3OutputPath": "s3://bucket/demo/runs/x/train/output"},
        "ResourceConfig": {"InstanceType": "ml.m5.xlarge", "InstanceCount": 1, "VolumeSizeInGB": 1},
        "StoppingCondition": {"MaxRuntimeInSeconds": 60, "MaxWaitTimeInSeconds": 60},
        "EnableManagedSpotTraining": True,
        "Environment": {"RELAY_PATIENCE": "1"},
    }
    world = VirtualWorld({}, bucket="bucket")
    found = {**request, **change}
    world.sagemaker.handle("CreateTrainingJob", found)

    assert look(world, found["TrainingJobName"])["why"] == "no spot job of this pipeline"


def test_a_job_under_a_role_that_its_stage_names_is_the_pipelines_too():
    own = {**TRAIN, "role": "arn:aws:iam::123456789012:role/of-the-team"}
    run = Run(pipeline(own), scenario=scenario("none"), watch=watch(roles=[own["role"]]))

    assert run.attempts("train") == [("spot", "no capacity", "spot"), ("spot", "completed", "done")]
    assert seconds(run) == PATIENCE


def test_a_job_that_is_gone_is_nothing_to_do():
    assert "not found" in look(VirtualWorld({}, bucket="bucket"), "demo-gone")["why"]


# ---------------------------------------------------------------------------------- which events wake it
def statuses(run):
    """What the event of each watch said of the job."""
    told = (json.loads(run.world.describe(arn)["input"]) for arn in run.world.watches)
    return [event["detail"]["SecondaryStatus"] for event in told]


TWICE = {"wait": "2m", "interrupt": ["30%", "60%"], "back": "8m"}


@pytest.mark.parametrize("changes", [{}, {"deadline": "30h"}], ids=["without a deadline", "with one"])
def test_both_signs_of_a_wait_wake_a_watch(changes):
    run = Run(pipeline({**TRAIN, "expected": "20m"}, **changes), scenario=scenario(TWICE), watch=watch())

    assert statuses(run) == ["Starting", *["Interrupted", "Starting"] * 2]
    assert set(endings(run)) == {"nothing to do"}


def without(status):
    return lambda event: () if event["detail"]["SecondaryStatus"] == status else (0.0,)


@pytest.mark.parametrize("lost", ["Interrupted", "Starting"])
@pytest.mark.parametrize("changes", [{}, {"deadline": "30h"}], ids=["without a deadline", "with one"])
def test_one_lost_sign_of_a_wait_makes_it_no_longer(lost, changes):
    run = Run(
        pipeline({**TRAIN, "expected": "20m"}, **changes),
        scenario=scenario({"interrupt": "50%"}),
        watch=watch(without(lost)),
    )

    assert run.attempts("train") == [("spot", "interrupted", "spot"), ("spot", "completed", "done")]
    assert seconds(run) == LAUNCH + 600 + PATIENCE  # half of the work of 1200 s, then nothing


NAMED = "demo--train-0123456789-0-1"
KNOWN = {"Tags": {"relay:look-after": "600", "relay:interruptions-left": "5"}}


@pytest.mark.parametrize(
    ("detail", "wakes"),
    [
        ({"SecondaryStatus": "Starting"}, True),
        ({"SecondaryStatus": "Starting", **KNOWN}, True),
        ({"SecondaryStatus": "Starting", **KNOWN, "TrainingStartTime": None}, True),
        ({"SecondaryStatus": "Starting", **KNOWN, "TrainingStartTime": 1767614400000}, True),
        ({"SecondaryStatus": "Starting", "TrainingStartTime": 1767614400000}, True),
        ({"SecondaryStatus": "Starting", "Tags": [], "TrainingStartTime": 1767614400000}, True),
        (
            {
                "SecondaryStatus": "Starting",
                "Tags": {"relay:look-after": "0"},
                "TrainingStartTime": 1767614400000,
            },
            True,
        ),
        ({"SecondaryStatus": "Interrupted", **KNOWN, "TrainingStartTime": 1767614400000}, True),
        ({"SecondaryStatus": "Pending", **KNOWN}, True),
        ({"SecondaryStatus": "Training", **KNOWN}, False),
        ({"SecondaryStatus": "Interrupted", "TrainingJobStatus": "Stopping"}, False),
    ],
)
def test_the_rule_wakes_for_what_may_be_the_only_sign_of_a_wait(detail, wakes):
    event = {
        "source": "aws.sagemaker",
        "detail-type": "SageMaker Training Job State Change",
        "detail": {"TrainingJobName": NAMED, "TrainingJobStatus": "InProgress", **detail},
    }

    assert matches(watch_pattern("demo"), event) is wakes


names = st.from_regex(r"[a-z](-?[a-z0-9]){0,38}", fullmatch=True).map(lambda name: name[:40].rstrip("-"))


@given(names, names)
def test_every_waiting_job_of_a_pipeline_wakes_its_watch(pipeline_name, stage):
    detail = {
        "TrainingJobName": f"{job_base(pipeline_name, stage)}-0123456789-0-1",
        "TrainingJobStatus": "InProgress",
        "SecondaryStatus": "Starting",
    }
    event = {
        "source": "aws.sagemaker",
        "detail-type": "SageMaker Training Job State Change",
        "detail": detail,
    }

    assert matches(watch_pattern(pipeline_name), event)
    assert not matches(
        watch_pattern(pipeline_name), {**event, "detail": {**detail, "SecondaryStatus": "Training"}}
    )


@given(names, names, names, st.booleans())
def test_no_job_wakes_the_watch_of_a_pipeline_whose_name_begins_alike(one, rest, stage, hyphen):
    other = f"{one}{'-' * hyphen}{rest}"[:40].rstrip("-")
    assume(other != one)

    assert not job_base(other, stage).startswith(job_prefix(one))
    assert not job_base(one, stage).startswith(job_prefix(other))


def look(world, name):
    """What the watch, started by hand, says of a job."""
    arn = world.run(compile_watch("demo", SITE), {"detail": {"TrainingJobName": name}}, name="by-hand")
    return json.loads(world.describe(arn)["output"])
