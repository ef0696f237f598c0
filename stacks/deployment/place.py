"""Whose account it is, and its clients: the one place where a deployment meets boto3's session."""

from __future__ import annotations

import hashlib
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError

from stacks.deployment.errors import DeploymentError
from stacks.settings import Settings

AMAZON = ".amazonaws.com"  # and .amazonaws.com.cn
TEMPLATES = "deployments/"  # of the bucket; digests of contents, as everything that is uploaded


class CredentialsError(DeploymentError):
    """Nobody is signed in, or no longer."""


class Site:
    """An account and the region of the settings."""

    def __init__(self, session: boto3.Session, settings: Settings) -> None:
        """Raises CredentialsError with what to do."""
        self.session, self.settings = session, settings
        self.region = settings.region
        try:
            self.identity = dict(self.client("sts").get_caller_identity())
        except NoCredentialsError:
            raise CredentialsError(
                "no AWS credentials: sign in (aws sso login, aws configure), or name a --profile"
            ) from None
        except (BotoCoreError, ClientError) as error:
            raise CredentialsError(f"AWS does not take the credentials: {error}; sign in again") from None

    @property
    def account(self) -> str:
        """The account's number."""
        return str(self.identity["Account"])

    @property
    def bucket(self) -> str:
        """The installation's."""
        return self.settings.bucket_name(self.account)

    def client(self, service: str) -> Any:
        """boto3's, in the region of the settings.

        An address of one's own (AWS_ENDPOINT_URL) has one name for all: botocore would ask `sync-` and that
        name for TestState.
        """
        made = self.session.client(service, region_name=self.region)
        if AMAZON in made.meta.endpoint_url:
            return made
        config = Config(inject_host_prefix=False)
        return self.session.client(service, region_name=self.region, config=config)

    def put_template(self, text: str) -> str:
        """Lays a large template where CloudFormation reads it; its URL."""
        key = f"{TEMPLATES}{hashlib.sha256(text.encode()).hexdigest()[:32]}.json"
        s3 = self.client("s3")
        try:
            s3.put_object(Bucket=self.bucket, Key=key, Body=text.encode(), ContentType="application/json")
        except ClientError as error:
            if error.response["Error"]["Code"] != "NoSuchBucket":
                raise
            raise DeploymentError(
                f"the template is too large for a request, and the bucket {self.bucket} for it is not "
                "there: make it again, or name another as `bucket` in cdk.json"
            ) from None
        suffix = "amazonaws.com.cn" if self.settings.partition == "aws-cn" else "amazonaws.com"
        return f"https://{self.bucket}.s3.{self.region}.{suffix}/{key}"


def open_site(settings: Settings, *, profile: str | None, region: str | None) -> Site:
    """The site of a profile. Raises DeploymentError for another region than that of the settings."""
    if region and region != settings.region:
        raise DeploymentError(
            f"--region {region}, and cdk.json says {settings.region}: images and names hold the region, so "
            "change `region` in cdk.json (another region is another installation)"
        )
    try:
        session = boto3.Session(profile_name=profile)
    except BotoCoreError as error:  # ProfileNotFound
        raise CredentialsError(f"{error}; aws configure list-profiles names those that are there") from None
    return Site(session, settings)
