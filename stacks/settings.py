"""Everything that a team changes about its installation: the key `relay` of cdk.json's context."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import botocore.session
from pydantic import AfterValidator, Field, ValidationError, model_validator

from stacks.trigger_settings import Triggers
from workflows.errors import RelayError
from workflows.jobs.site import Site
from workflows.specification.mistakes import describe
from workflows.specification.settings import Model, Network, Tags, problem

CONTEXT_KEY = "relay"
REDRIVE_DAYS = 14  # after its end, in which Step Functions takes RedriveExecution of a run
ACCOUNT_DIGITS = 12
Email = Annotated[str, Field(pattern=r"^[^@\s]+@[^@\s]+\.[^@\s]+$")]
# Labels between single dots, as S3 takes them.
BUCKET = r"^[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*$"
# What CloudWatch Logs takes, up to two years.
LogDays = Literal[1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731]


class SettingsError(RelayError):
    """The settings in cdk.json cannot be used."""


def _as_region(region: str) -> str:
    if _partition(region) is None:
        raise problem("region", "expected an AWS region such as us-east-1")
    return region


def _as_days_of_old_versions(days: int) -> int:
    if days < REDRIVE_DAYS:
        raise problem(
            "too_few_days",
            f"found {days}; at least {REDRIVE_DAYS}: so long a run can be redriven, and it may need a "
            "checkpoint that was overwritten or pruned since",
        )
    return days


def _partition(region: str) -> str | None:
    """The partition of a region, as botocore's own tables have it: no credentials, no call."""
    core = botocore.session.Session()
    for partition in core.get_available_partitions():
        if region in core.get_available_regions("sagemaker", partition):
            return str(partition)
    return None


class Settings(Model):
    """One installation: a bucket, and the machines of its pipelines, in one region of one account."""

    region: Annotated[str, AfterValidator(_as_region)] = "us-east-1"
    pipelines: tuple[str, ...] = ()  # their files, relative to the folder of cdk.json

    # An existing bucket in the region; without it, the stack `relay` makes relay-ACCOUNT-REGION.
    bucket: Annotated[str, Field(pattern=BUCKET, min_length=3, max_length=63)] | None = None
    # An existing table of attempts, its keys as in `stacks/table.py`; without it, `relay` makes relay-ledger.
    table: Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]{3,255}$")] | None = None
    # For the bucket, what jobs leave in it, and the table. Its policy must let this account's roles use it.
    kms_key: Annotated[str, Field(pattern=r"^arn:aws[a-z-]*:kms:[a-z0-9-]+:[0-9]{12}:key/.+$")] | None = None
    # A run's checkpoints, outputs and models are removed so many days after they were written; None: never.
    # The runs of a pipeline that registers models are always kept, because the registry points at them.
    keep_runs_days: Annotated[int, Field(ge=1)] | None = 365
    # Days to get back what was overwritten or deleted. Each pruned checkpoint is paid for that much longer;
    # a run that is redriven may need one, as long as Step Functions redrives it.
    keep_old_versions_days: Annotated[int, AfterValidator(_as_days_of_old_versions)] = REDRIVE_DAYS

    network: Network = Network()  # of the jobs of every stage that names none
    permissions_boundary: (
        Annotated[str, Field(pattern=r"^arn:aws[a-z-]*:iam::[0-9]{12}:policy/.+$")] | None
    ) = None
    # Pipeline -> its schedule, its API; without them a run is started at the console, or by the AWS CLI.
    triggers: dict[str, Triggers] = Field(default_factory=dict)
    # API Gateway writes no logs, and makes no stage that asks for them, before the account has named a role
    # for it in the region: one, for all its APIs. True: the stack `relay` names one, in the place of any that
    # was named before. Leave it out where the account has one.
    api_gateway_logs: bool = False

    log_days: LogDays = 90
    log_data: bool = False  # also what states are given and return: hyperparameters are among it

    # Who is told of runs that end badly and of alarms; each address gets a mail that it has to confirm.
    notify: tuple[Email, ...] = ()
    notify_success: bool = False  # also of runs that went well
    # Attempts in an hour that trained and left the checkpoint where it was: from so many on it is an alarm.
    alarm_no_progress: Annotated[int, Field(ge=1)] = 2

    tags: Tags = Field(default_factory=dict)

    @model_validator(mode="after")
    def _arns_of_the_region(self) -> Settings:
        """Bucket and table take a key of their own region only; CloudFormation would say so half way."""
        if self.kms_key and self.kms_key.split(":")[3] != self.region:
            words = f"found {self.kms_key}; expected the ARN of a key in {self.region}"
            raise problem("elsewhere", words, at=["kms_key"])
        boundary = self.permissions_boundary
        if boundary and boundary.split(":")[1] != self.partition:
            words = f"found {boundary}; expected the ARN of a policy in the partition {self.partition}"
            raise problem("elsewhere", words, at=["permissions_boundary"])
        return self

    @property
    def partition(self) -> str:
        """`aws`, `aws-cn` or `aws-us-gov`."""
        return _partition(self.region) or "aws"

    @property
    def table_name(self) -> str:
        """The table of attempts; one account and region has one."""
        return self.table or Site.table

    def bucket_name(self, account: str) -> str:
        """The bucket of an account of that number."""
        return self.bucket or f"relay-{account}-{self.region}"


def read(context: Mapping[str, Any]) -> Settings:
    """The settings in a CDK context. Raises SettingsError, a line for each mistake."""
    given = context.get(CONTEXT_KEY)
    try:
        return Settings.model_validate({} if given is None else given)
    except ValidationError as error:
        lines = [f"cdk.json: {line}" for line in describe(error)]
        raise SettingsError("\n".join(lines)) from None


def load(folder: Path) -> Settings:
    """The settings in the folder's cdk.json. Raises SettingsError."""
    path = folder / "cdk.json"
    try:
        content = json.loads(path.read_text("utf-8"))
    except OSError as error:
        raise SettingsError(f"{path}: cannot be read: {error.strerror}") from None
    except ValueError as error:
        raise SettingsError(f"{path}: not JSON: {error}") from None
    context = content.get("context", {}) if isinstance(content, dict) else None
    if not isinstance(context, dict):
        raise SettingsError(
            f"{path}: expected an object that holds the settings as "
            f'{{"context": {{"{CONTEXT_KEY}": {{...}}}}}}'
        )
    return read(context)
