"""Who may do what: the two machines, the jobs, and the rule that starts the watch.

    pipeline machine -> creates, describes, stops jobs of its own names; reads what they say in S3; writes
                        down and measures its attempts
    jobs             -> read code and inputs, write under the pipeline's own prefix
    capacity watch   -> describes jobs of those names, stops those with the pipeline's tag; writes its marks
    rule             -> starts the watch, and nothing else
    schedule, API    -> `trigger_grants.py`

The lists are data, made from the pipeline alone; `tests/stacks/test_least_privilege.py` holds them against
what the machines' texts call, in both directions. A `*` in a resource needs a reason.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from stacks.settings import Settings
from workflows.jobs.job_names import OWNER_TAG, job_prefix
from workflows.jobs.job_types import TRAINING, JobType
from workflows.jobs.kinds import job_of, job_types
from workflows.jobs.variables import MARK
from workflows.jobs.watch_pattern import watch_name
from workflows.ledger.attempts import NAMESPACE
from workflows.runs.deployed import ALIAS as ALIAS  # what triggers may start
from workflows.specification.pipeline import Pipeline
from workflows.specification.stages import RegisterStage
from workflows.state_machine.schedule_lock import schedule_key
from workflows.state_machine.worst_case import distributed
from workflows.state_machine.writer_lock import SUFFIX as LOCK

_OF_NAMES = "job names hold the run and the attempt: only their beginning is known"
OF_RUNS = "keys hold the run and the stage: only their beginning and their end are known"
NO_RESOURCE = "the action knows no resource (Service Authorization Reference)"

Condition = Mapping[str, Mapping[str, Any]]
# Step Functions authorizes an alias by its machine's ARN; the condition narrows it to the alias.
OF_LIVE: Condition = {"ForAnyValue:StringEquals": {"states:StateMachineQualifier": [ALIAS]}}


@dataclass(frozen=True)
class Grant:
    """One statement of a policy; `reason` says why a resource with a `*` cannot be named more closely."""

    sid: str
    actions: Sequence[str]
    resources: Sequence[str]
    reason: str = ""
    condition: Condition = field(default_factory=dict)

    def __post_init__(self) -> None:
        if any("*" in resource for resource in self.resources) and not self.reason:
            raise ValueError(f"the grant {self.sid} has a `*` in {self.resources} and no reason for it")


@dataclass(frozen=True)
class Place:
    """The account and region in which ARNs are; `account` may be a token of CDK."""

    settings: Settings
    account: str

    def arn(self, service: str, resource: str) -> str:
        """An ARN of this account and region."""
        return f"arn:{self.settings.partition}:{service}:{self.settings.region}:{self.account}:{resource}"

    def s3(self, place: str) -> str:
        """The ARN of a bucket, or of BUCKET/KEY."""
        return f"arn:{self.settings.partition}:s3:::{place}"

    @property
    def bucket(self) -> str:
        """The installation's bucket."""
        return self.settings.bucket_name(self.account)


# ------------------------------------------------------------------------------------ the pipeline's machine
def machine_grants(pipeline: Pipeline, place: Place, job_role: str) -> Iterator[Grant]:
    """What the pipeline's machine calls, and what Step Functions calls in its name."""
    for each in job_types(pipeline):
        yield from _run_jobs(pipeline, place, each)
    yield from _pass_roles(pipeline, job_role)
    yield from _read_results(pipeline, place)
    yield from _lock(pipeline, place)
    yield from _schedule(pipeline, place)
    yield from _register(pipeline, place)
    yield from _trials_of_their_own(pipeline, place)
    yield from _record(pipeline, place)
    yield from use_key(place, write=True)
    yield from _logs_and_traces()


def _run_jobs(pipeline: Pipeline, place: Place, job_type: JobType) -> Iterator[Grant]:
    """`.sync` asks, besides the create call, for the calls with which Step Functions follows and stops it."""
    kind = job_type.word
    calls = [f"sagemaker:{verb}{kind}Job" for verb in ("Create", "Describe")]
    own = [place.arn("sagemaker", f"{job_type.lower}-job/{job_prefix(pipeline.name)}*")]
    # Step Functions adds two tags of its own to those of the request.
    yield Grant(f"{kind}Jobs", [*calls, "sagemaker:AddTags", "sagemaker:ListTags"], own, _OF_NAMES)
    yield _stop_jobs(pipeline, place, job_type)
    yield Grant(f"Find{kind}Jobs", [f"sagemaker:List{kind}Jobs"], ["*"], NO_RESOURCE)
    rule = place.arn("events", f"rule/StepFunctionsGetEventsForSageMaker{kind}JobsRule")
    yield Grant(
        f"Follow{kind}Jobs", [f"events:{verb}" for verb in ("PutTargets", "PutRule", "DescribeRule")], [rule]
    )


def _stop_jobs(pipeline: Pipeline, place: Place, job_type: JobType) -> Grant:
    """Jobs are the pipeline's by their name and by their tag: one that somebody gave such a name is not."""
    own = place.arn("sagemaker", f"{job_type.lower}-job/{job_prefix(pipeline.name)}*")
    tagged = {"StringEquals": {f"aws:ResourceTag/{OWNER_TAG}": pipeline.name}}
    stop = f"sagemaker:Stop{job_type.word}Job"
    return Grant(f"Stop{job_type.word}Jobs", [stop], [own], _OF_NAMES, tagged)


def _pass_roles(pipeline: Pipeline, job_role: str) -> Iterator[Grant]:
    roles = {stage.role or job_role: None for stage in pipeline.jobs}
    if roles:
        to = {"StringEquals": {"iam:PassedToService": "sagemaker.amazonaws.com"}}
        yield Grant("PassJobRoles", ["iam:PassRole"], list(roles), condition=to)


def _read_results(pipeline: Pipeline, place: Place) -> Iterator[Grant]:
    """Not models and not checkpoints: three small files by their names, and whether outputs are there."""
    runs = f"{pipeline.name}/runs/*"
    prefixes = [runs]
    if any(not stage.output_names for stage in pipeline.jobs):
        prefixes.append("")  # for want of an output such a stage asks whether there is any object
    listed = {"StringLike": {"s3:prefix": prefixes}}
    yield Grant("FindOutputs", ["s3:ListBucket"], [place.s3(place.bucket)], condition=listed)
    trained = [stage for stage in pipeline.jobs if job_of(stage).resumes]
    own = [stage for stage in trained if not stage.shared_prefix]
    files = [MARK] * bool(trained) + ["progress.json", "complete.json"] * bool(own)
    keys = [f"{place.bucket}/{runs}/{file}" for file in files]
    for shared in shared_prefixes(pipeline):
        keys += [f"{shared}/{file}" for file in ("progress.json", "complete.json")]
    if keys:
        yield Grant("ReadWhatJobsSay", ["s3:GetObject"], [place.s3(key) for key in keys], OF_RUNS)


def _lock(pipeline: Pipeline, place: Place) -> Iterator[Grant]:
    """The one writer of a prefix that outlives its runs (`state_machine/writer_lock.py`)."""
    keys = [place.s3(f"{shared}{LOCK}") for shared in shared_prefixes(pipeline)]
    if not keys:
        return
    yield Grant(
        "LockCheckpoints", ["s3:GetObject", "s3:PutObject"], keys, "one lock for each trial of a sweep"
    )
    why = "the holder may be a run of another pipeline, or of this one under an earlier name"
    yield Grant("SeeHolder", ["states:DescribeExecution"], [place.arn("states", "execution:*")], why)


def _schedule(pipeline: Pipeline, place: Place) -> Iterator[Grant]:
    """A run that a schedule starts (`state_machine/schedule_lock.py`)."""
    key = place.s3(f"{place.bucket}/{schedule_key(pipeline.name)}")
    yield Grant("TakeSchedule", ["s3:GetObject", "s3:PutObject"], [key])
    own = [place.arn("states", f"execution:{pipeline.name}:*")]
    yield Grant("SeeRuns", ["states:DescribeExecution"], own, "Step Functions names the executions")


def _register(pipeline: Pipeline, place: Place) -> Iterator[Grant]:
    stages = pipeline.of_kind(RegisterStage)
    if not stages:
        return
    groups = list(dict.fromkeys(stage.group or pipeline.name for stage in stages))
    arns = [place.arn("sagemaker", f"model-package-group/{group}") for group in groups]
    yield Grant("MakeModelGroups", ["sagemaker:CreateModelPackageGroup"], arns)
    versions = [place.arn("sagemaker", f"model-package/{group}/*") for group in groups]
    yield Grant(
        "RegisterModels",
        ["sagemaker:CreateModelPackage"],
        [*arns, *versions],
        "the registry gives a version its number",
    )
    model = [place.s3(f"{place.bucket}/{pipeline.name}/runs/*/model.tar.gz")]
    # The registry looks at the artifact in the caller's name.
    yield Grant("ShowModels", ["s3:GetObject"], model, OF_RUNS)


def _trials_of_their_own(pipeline: Pipeline, place: Place) -> Iterator[Grant]:
    """A Distributed Map starts the machine itself once more for each trial."""
    if not any(distributed(stage) for stage in pipeline.jobs):
        return
    name = pipeline.name
    yield Grant("StartTrials", ["states:StartExecution"], [place.arn("states", f"stateMachine:{name}")])
    yield Grant(
        "FollowTrials",
        ["states:DescribeExecution", "states:StopExecution"],
        [place.arn("states", f"execution:{name}:*")],
        "Step Functions names the executions",
    )
    yield Grant(
        "RedriveTrials",
        ["states:RedriveExecution"],
        [place.arn("states", f"execution:{name}/*")],
        "Step Functions names the executions and their Map runs",
    )


def _record(pipeline: Pipeline, place: Place) -> Iterator[Grant]:
    """Items and metrics of this pipeline's own; no machine reads them."""
    if not pipeline.jobs:
        return
    table = place.arn("dynamodb", f"table/{place.settings.table_name}")
    own = {"ForAllValues:StringEquals": {"dynamodb:LeadingKeys": [pipeline.name]}}
    yield Grant("WriteDown", ["dynamodb:PutItem"], [table], condition=own)
    ours = {"StringEquals": {"cloudwatch:namespace": NAMESPACE}}
    yield Grant("Measure", ["cloudwatch:PutMetricData"], ["*"], NO_RESOURCE, condition=ours)


def _logs_and_traces() -> Iterator[Grant]:
    verbs = ("CreateLogDelivery", "GetLogDelivery", "UpdateLogDelivery", "DeleteLogDelivery")
    more = ("ListLogDeliveries", "PutResourcePolicy", "DescribeResourcePolicies", "DescribeLogGroups")
    yield Grant("DeliverLogs", [f"logs:{verb}" for verb in (*verbs, *more)], ["*"], NO_RESOURCE)
    traced = ("PutTraceSegments", "PutTelemetryRecords", "GetSamplingRules", "GetSamplingTargets")
    yield Grant("Trace", [f"xray:{verb}" for verb in traced], ["*"], NO_RESOURCE)


# --------------------------------------------------------------------------------------- the capacity watch
def watch_grants(pipeline: Pipeline, place: Place) -> Iterator[Grant]:
    """What the capacity watch calls: it looks at jobs, marks those that it stops, and stops them."""
    jobs = [place.arn("sagemaker", f"training-job/{job_prefix(pipeline.name)}*")]
    yield Grant("Look", ["sagemaker:DescribeTrainingJob"], jobs, _OF_NAMES)
    yield _stop_jobs(pipeline, place, TRAINING)
    runs = f"{place.bucket}/{pipeline.name}/runs/*"
    own = any(stage.checkpoints and not stage.shared_prefix for stage in pipeline.jobs)
    progress = [f"{runs}/progress.json"] * own
    progress += [f"{shared}/progress.json" for shared in shared_prefixes(pipeline)]
    if progress:
        yield Grant("SeeProgress", ["s3:GetObject"], [place.s3(key) for key in progress], OF_RUNS)
    yield Grant("MarkStops", ["s3:PutObject"], [place.s3(f"{runs}/{MARK}")], OF_RUNS)
    yield from use_key(place, write=True)
    yield from _logs_and_traces()


def rule_grants(pipeline: Pipeline, place: Place) -> Iterator[Grant]:
    """It starts the watch."""
    machine = place.arn("states", f"stateMachine:{watch_name(pipeline.name)}")
    yield Grant("StartWatch", ["states:StartExecution"], [machine], condition=OF_LIVE)


# -------------------------------------------------------------------------------------------------- parts
def use_key(place: Place, *, write: bool) -> Iterator[Grant]:
    """The bucket's own key, to read what is in it and to write."""
    key = place.settings.kms_key
    if key:
        yield Grant("UseKey", ["kms:Decrypt", *["kms:GenerateDataKey"] * write], [key])


def shared_prefixes(pipeline: Pipeline) -> Iterator[str]:
    """BUCKET/PREFIX of the checkpoints that outlive their runs, each trial of a sweep with a part of it."""
    for stage in pipeline.jobs:
        if stage.shared_prefix:
            yield stage.shared_prefix + ("/*" if stage.has_trials else "")
