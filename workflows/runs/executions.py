"""Runs over the AWS APIs: install a machine, start, follow, stop, resume.

The module that holds boto3 clients. The same calls serve the local world and an account: only the endpoint
differs.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import tarfile
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlparse

from botocore.exceptions import ClientError

from workflows.errors import RelayError
from workflows.jobs.job_types import JOB_TYPES
from workflows.jobs.kinds import JOBS
from workflows.ledger.run_view import RunView
from workflows.ledger.stage_view import stages_in
from workflows.ledger.vocabulary import CANNOT_START, RUN_STOPPED
from workflows.runs.aws_errors import AwsError, bucket_is_gone, code_of
from workflows.runs.deployed import ALIAS, site_of
from workflows.runs.stopped_jobs import complete
from workflows.specification.pipeline import WATCH_SUFFIX

MOST_NAMED = 5  # runs in a message
ENDED = {"SUCCEEDED", "FAILED", "ABORTED", "TIMED_OUT"}


class RunError(RelayError):
    """AWS (or the local world) refused."""

    exit_code = 1


class UnknownRunError(RunError):
    """No run has that name, or several begin with it."""

    exit_code = 2


class NotRedrivableError(RunError):
    """Step Functions will not let the run go on from where it was; it says why."""


class RunExistsError(RunError):
    """A run of that name exists: nothing was started."""

    exit_code = 3

    def __init__(self, run: str, status: str = "", error: str = "") -> None:
        known = "was refused at its start" if error == CANNOT_START else f"is {status}" if status else ""
        resumable = status in ENDED - {"SUCCEEDED"} and error != CANNOT_START
        onward = f". Go on with it: relay resume {run}" if resumable else ""
        told = " and ".join(filter(None, ["exists already", known]))
        super().__init__(f"the run `{run}` {told}: nothing was started{onward}")


@dataclass(frozen=True)
class Progress:
    """How far a stage is, as its script reports it; None where unknown."""

    step: int
    total: int | None
    fraction: float | None


class Runs:
    """The runs of an installation. `client` makes a boto3 client by its service name.

    `bucket`: what they write to; without it, the one that the machine of the first run names.
    """

    def __init__(self, client: Callable[[str], Any], bucket: str = "") -> None:
        self.states, self.sagemaker, self.s3 = client("stepfunctions"), client("sagemaker"), client("s3")
        self.bucket = bucket

    # ----------------------------------------------------------------------------------- the machine
    def install(self, name: str, definition: Mapping[str, Any], role_arn: str) -> str:
        """Creates the state machine, or updates it to this definition; returns its ARN."""
        text = json.dumps(definition)
        for machine in self._machines():
            if machine["name"] == name:
                arn = str(machine["stateMachineArn"])
                self.states.update_state_machine(stateMachineArn=arn, definition=text, roleArn=role_arn)
                return arn
        made = self.states.create_state_machine(name=name, definition=text, roleArn=role_arn)
        return str(made["stateMachineArn"])

    def _machines(self) -> Iterator[dict[str, Any]]:
        for page in self.states.get_paginator("list_state_machines").paginate():
            yield from page["stateMachines"]

    def pipelines(self) -> dict[str, str]:
        """Pipeline -> ARN of its machine: of all machines there, those beside which a watch stands."""
        found = {str(machine["name"]): str(machine["stateMachineArn"]) for machine in self._machines()}
        return {name: arn for name, arn in sorted(found.items()) if name + WATCH_SUFFIX in found}

    def live(self, machine_arn: str) -> tuple[str, dict[str, Any]]:
        """What is to be started, and its text: the alias of a deployed machine, else the machine itself."""
        for arn in (f"{machine_arn}:{ALIAS}", machine_arn):
            try:
                found = self.states.describe_state_machine(stateMachineArn=arn)
            except ClientError as error:
                if arn == machine_arn or code_of(error) != "StateMachineDoesNotExist":
                    raise
                continue
            return arn, json.loads(found["definition"])
        raise AssertionError("unreachable: the machine itself answers or raises")

    # --------------------------------------------------------------------------------------- one run
    def start(self, machine_arn: str, name: str, run_input: Mapping[str, Any]) -> str:
        """Starts a run; its name is its id. Raises RunError when that id was used before."""
        try:
            started = self.states.start_execution(
                stateMachineArn=machine_arn, name=name, input=json.dumps(run_input)
            )
        except self.states.exceptions.ExecutionAlreadyExists:
            raise RunExistsError(name) from None
        except self.states.exceptions.InvalidName:
            raise RelayError(
                f"a run cannot be named {name!r}: 1 to 80 characters, no spaces, none of < > {{ }} [ ] ? * "
                '" # % \\ ^ | ~ ` $ & , ; : /'
            ) from None
        return str(started["executionArn"])

    def refuse_existing(self, machine: str, name: str) -> None:
        """Raises RunExistsError when the machine of that name has had a run of that name."""
        found = next((m["stateMachineArn"] for m in self._machines() if m["name"] == machine), None)
        if found is None:
            return
        known = self._execution(found, name)  # None, too, for no name for a run; the start says so
        if known:
            raise RunExistsError(name, known["status"], known.get("error", ""))

    def find(self, run: str) -> dict[str, Any]:
        """The execution with this id, or this beginning of one, as DescribeExecution tells it.

        Raises UnknownRunError when none or several fit.
        """
        machines = list(self.pipelines().values())
        exact = list(filter(None, (self._execution(machine, run) for machine in machines)))
        if len(exact) == 1:
            return exact[0]
        found = exact or [
            execution
            for machine in machines
            for execution in self._executions(machine)
            if execution["name"].startswith(run)
        ]
        if not found:
            newest = self.listed(machines, limit=MOST_NAMED)
            known = ", ".join(execution["name"] for execution in newest) or "none yet"
            raise UnknownRunError(f"no run `{run}`; the newest runs: {known}")
        if len(found) > 1:
            told = ", ".join(_told_apart(execution, found) for execution in found[:MOST_NAMED])
            more = f" and {len(found) - MOST_NAMED} more" if len(found) > MOST_NAMED else ""
            raise UnknownRunError(f"`{run}` fits several runs: {told}{more}: give more of the name")
        described: dict[str, Any] = self.states.describe_execution(executionArn=found[0]["executionArn"])
        return described

    def listed(
        self, machines: Iterable[str], *, limit: int, status: str | None = None
    ) -> list[dict[str, Any]]:
        """The newest executions of machines, by their start."""
        found = [
            execution
            for machine in machines
            for execution in itertools.islice(self._executions(machine, status), limit)
        ]
        return sorted(found, key=lambda each: each["startDate"], reverse=True)[:limit]

    def _executions(self, machine_arn: str, status: str | None = None) -> Iterator[dict[str, Any]]:
        """Newest first, as AWS lists them."""
        wanted = {"statusFilter": status} if status else {}
        pages = self.states.get_paginator("list_executions").paginate(stateMachineArn=machine_arn, **wanted)
        for page in pages:
            yield from page["executions"]

    def _execution(self, machine_arn: str, name: str) -> dict[str, Any] | None:
        """The execution of that very name; None where there is none, or can be none."""
        arn = f"{machine_arn.replace(':stateMachine:', ':execution:')}:{name}"
        try:
            found: dict[str, Any] = self.states.describe_execution(executionArn=arn)
        except ClientError as error:
            if code_of(error) in {
                "ExecutionDoesNotExist",
                "InvalidArn",
                "ValidationException",
            }:
                return None
            raise
        return found

    def view(self, execution_arn: str) -> RunView:
        """An empty view of a run, to be filled with its events; the stages come from its machine's text."""
        machine = self.states.describe_state_machine_for_execution(executionArn=execution_arn)
        definition = json.loads(machine["definition"])
        stages = stages_in(definition)
        self.bucket = self.bucket or site_of(definition).bucket
        return RunView(execution_arn.rsplit(":", 1)[1], str(machine["name"]), stages)

    def trial_executions(self, map_run_arn: str) -> list[dict[str, Any]]:
        """The executions of a large sweep's trials, as far as they were started; usually one call."""
        pages = self.states.get_paginator("list_executions").paginate(
            mapRunArn=map_run_arn, PaginationConfig={"PageSize": 1000}
        )
        return [execution for page in pages for execution in page["executions"]]

    def events(self, execution_arn: str, after: int, *, page_size: int = 200) -> list[dict[str, Any]]:
        """The events of an execution with an id above `after`; one call when a page holds them."""
        found: list[dict[str, Any]] = []
        pages = self.states.get_paginator("get_execution_history").paginate(
            executionArn=execution_arn,
            includeExecutionData=True,
            reverseOrder=True,
            PaginationConfig={"PageSize": page_size},
        )
        for page in pages:
            found += [event for event in page["events"] if event["id"] > after]
            if page["events"] and page["events"][-1]["id"] <= after:
                break
        return sorted(found, key=lambda event: int(event["id"]))

    def stop(self, execution_arn: str, cause: str) -> None:
        """Stops a run; Step Functions stops its jobs."""
        self.states.stop_execution(executionArn=execution_arn, error=RUN_STOPPED, cause=cause)

    def redrive(self, execution_arn: str) -> None:
        """Lets a failed or stopped run go on from where it was. Raises NotRedrivableError."""
        try:
            self.states.redrive_execution(executionArn=execution_arn)
        except ClientError as error:
            if code_of(error) != "ExecutionNotRedrivable":
                raise
            raise NotRedrivableError(error.response["Error"]["Message"]) from None

    # -------------------------------------------------------------------------------- what it writes
    def refuse_without_bucket(self, bucket: str) -> None:
        """Raises AwsError when the bucket has been deleted: before jobs start that could save nothing."""
        try:
            self.s3.head_bucket(Bucket=bucket)
        except ClientError as error:
            if code_of(error) in {"404", "NoSuchBucket"}:
                raise AwsError(bucket_is_gone(bucket)) from None
            # Who may start runs need not be allowed to look at the bucket.

    def job_status(self, job: str, kind: str) -> str:
        """SecondaryStatus of a training job, status of a processing job; "" when it is not there yet."""
        try:
            its = JOBS[kind].type
            described = its.call(self.sagemaker, "describe", **{its.name: job})
            return str(described.get("SecondaryStatus") or described[its.status])
        except ClientError:
            return ""

    def jobs_in_progress(self) -> int:
        """Jobs that run or are being stopped, of every run."""
        sums = 0
        for status in ("InProgress", "Stopping"):
            for its in JOB_TYPES:
                pages = its.pages(self.sagemaker, StatusEquals=status)
                sums += sum(len(page[its.summaries]) for page in pages)
        return sums

    def add_stopped_jobs(self, view: RunView) -> None:
        """Completes a view of an ended run by the jobs that ran when it was stopped: they cost money, too."""
        complete(view, self.sagemaker)

    def progress(self, checkpoints: str) -> Progress | None:
        """What the progress.json in this folder of checkpoints (its URI) says; None when there is none."""
        if not checkpoints:
            return None
        place = urlparse(checkpoints)
        key = f"{place.path.strip('/')}/progress.json"
        try:
            report = json.loads(self.s3.get_object(Bucket=place.netloc, Key=key)["Body"].read())
            return Progress(int(report["step"]), report["total"], report["fraction"])
        except (ClientError, ValueError, KeyError):
            return None  # not written yet, or cut while it was uploaded

    def digests(self, view: RunView) -> dict[str, str]:
        """Stage -> SHA-256 of the contents of its model, for the stages that have one; downloads each."""
        models = {stage.name: stage.outputs.get("model") for stage in view.stages.values()}
        found = {name: self.model_digest(uri) for name, uri in models.items() if uri}
        return {name: digest for name, digest in found.items() if digest}

    def model_digest(self, uri: str) -> str | None:
        """SHA-256 over the names and contents in a model.tar.gz; its own bytes differ by the files' times."""
        place = urlparse(uri)
        with tempfile.TemporaryFile() as file:
            try:
                self.s3.download_fileobj(place.netloc, place.path.lstrip("/"), file)
            except ClientError:
                return None
            file.seek(0)
            return contents_digest(file)


def _told_apart(execution: Mapping[str, Any], found: list[dict[str, Any]]) -> str:
    """The run's name, with the pipeline's where another pipeline has had a run of the same name."""
    name = str(execution["name"])
    if [each["name"] for each in found].count(name) == 1:
        return name
    return f"{name} (of {str(execution['stateMachineArn']).rpartition(':')[2]})"


def contents_digest(archive: Any) -> str:
    """SHA-256 over the sorted names and contents of the files in a .tar.gz."""
    digest = hashlib.sha256()
    with tarfile.open(fileobj=archive, mode="r:gz") as tar:
        for member in sorted(tar.getmembers(), key=lambda m: m.name.removeprefix("./")):
            if content := tar.extractfile(member):
                data = content.read()
                name = member.name.removeprefix("./")
                digest.update(f"{name}\0{hashlib.sha256(data).hexdigest()}\n".encode())
    return digest.hexdigest()
