"""The bucket of an installation: code, inputs, and under each pipeline's name its runs."""

from __future__ import annotations

from collections.abc import Mapping

import aws_cdk as cdk
from aws_cdk import aws_kms as kms
from aws_cdk import aws_s3 as s3
from constructs import Construct

DAYS_OF_UPLOAD = 7  # after which a multipart upload that nobody completed is given up


class Storage(Construct):
    """Private, encrypted, versioned, TLS only; and never deleted with its stack."""

    def __init__(
        self,
        scope: Construct,
        id_: str,
        *,
        bucket_name: str,
        kms_key_arn: str | None,
        expiring: Mapping[str, int],
        keep_old_versions_days: int,
    ) -> None:
        """Makes the bucket. `expiring`: pipeline -> days after which what its runs left is removed."""
        super().__init__(scope, id_)
        key = kms.Key.from_key_arn(self, "Key", kms_key_arn) if kms_key_arn else None
        self.bucket = s3.Bucket(
            self,
            "Bucket",
            bucket_name=bucket_name,
            block_public_access=s3.BlockPublicAccess.BLOCK_ALL,
            object_ownership=s3.ObjectOwnership.BUCKET_OWNER_ENFORCED,
            encryption=s3.BucketEncryption.KMS if key else s3.BucketEncryption.S3_MANAGED,
            encryption_key=key,
            bucket_key_enabled=True if key else None,
            enforce_ssl=True,
            minimum_tls_version=1.2,
            versioned=True,
            removal_policy=cdk.RemovalPolicy.RETAIN,
            lifecycle_rules=[
                s3.LifecycleRule(
                    id="old-versions",
                    abort_incomplete_multipart_upload_after=cdk.Duration.days(DAYS_OF_UPLOAD),
                    noncurrent_version_expiration=cdk.Duration.days(keep_old_versions_days),
                    expired_object_delete_marker=True,
                ),
                *(
                    s3.LifecycleRule(
                        id=f"runs-of-{pipeline}",
                        prefix=f"{pipeline}/runs/",
                        expiration=cdk.Duration.days(days),
                    )
                    for pipeline, days in expiring.items()
                ),
            ],
        )
        if self.bucket.policy:  # it holds the rule on TLS, which the bucket keeps
            self.bucket.policy.apply_removal_policy(cdk.RemovalPolicy.RETAIN)
        cdk.Validations.of(self.bucket).acknowledge(
            cdk.Acknowledgment(
                id="AwsSolutions-S1",
                reason="Access logs need a second bucket that grows without bound; CloudTrail's data events "
                "tell the same where a team wants it.",
            )
        )
