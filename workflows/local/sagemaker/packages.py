"""Model packages and their groups: their state, the answers made from it, and the refusals of requests.

The texts of refusals that were seen are those of AWS.md 12.1 to 12.4. Texts that nobody quoted are marked as
ours: their code is AWS's, their words are not.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from workflows.local.sagemaker.job_records import echo
from workflows.local.sagemaker.refusals import invalid
from workflows.local.sagemaker.workload import JSON

PENDING = "PendingManualApproval"
"""ModelApprovalStatus of a version that names none (AWS.md 12.6)."""

NOT_HERE = (
    *("SourceAlgorithmSpecification", "ValidationSpecification", "CertifyForMarketplace"),
    *("SourceUri", "ModelCard", "ManagedStorageType"),
)
"""Members that need the marketplace, transform jobs, models, or a schema that botocore does not ship."""

CREATOR: JSON = {}
"""CreatedBy: a UserContext is filled for users of Studio only; a role's call leaves it empty."""


@dataclass
class Group:
    """One model package group; `last_version` only ever grows."""

    name: str
    arn: str
    created: datetime
    modified: datetime
    description: str | None = None
    tags: dict[str, str] = field(default_factory=dict)
    last_version: int = 0

    def describe(self) -> JSON:
        """The answer of DescribeModelPackageGroup."""
        return self.summary() | {"ModelPackageGroupName": self.name, "CreatedBy": CREATOR}

    def summary(self) -> JSON:
        """The entry in ListModelPackageGroups."""
        answer: JSON = {
            "ModelPackageGroupName": self.name,
            "ModelPackageGroupArn": self.arn,
            "CreationTime": self.created,
            "ModelPackageGroupStatus": "Completed",
        }
        return answer | ({"ModelPackageGroupDescription": self.description} if self.description else {})


@dataclass
class Package:
    """One model package: a version of a group, or one that has a name of its own.

    `body` is what was asked for at its creation and changed since; `asked` is the first request, by which one
    that comes again, with its ClientToken, is known.
    """

    arn: str
    created: datetime
    modified: datetime
    body: JSON
    asked: JSON
    name: str | None = None
    group: str | None = None
    version: int | None = None
    updated: bool = False
    tags: dict[str, str] = field(default_factory=dict)

    def describe(self) -> JSON:
        """The answer of DescribeModelPackage.

        There is nothing to validate here, so that a package is Completed at once; AWS takes seconds.
        """
        answer = echo("DescribeModelPackage", self.body) | self._identity()
        answer |= {
            "ModelPackageStatusDetails": {"ValidationStatuses": [], "ImageScanStatuses": []},
            "CertifyForMarketplace": False,
            "CreatedBy": CREATOR,
        }
        return answer | ({"LastModifiedTime": self.modified, "LastModifiedBy": {}} if self.updated else {})

    def summary(self) -> JSON:
        """Returns the entry in ListModelPackages: a version has no ModelPackageName (AWS.md 12.5)."""
        members = ("ModelPackageDescription", "ModelApprovalStatus", "ModelPackageRegistrationType")
        return self._identity() | {name: self.body[name] for name in members if name in self.body}

    def _identity(self) -> JSON:
        named: JSON = {"ModelPackageName": self.name}
        if self.group is not None:
            named = {"ModelPackageGroupName": self.group, "ModelPackageVersion": self.version}
        return named | {
            "ModelPackageArn": self.arn,
            "CreationTime": self.created,
            "ModelPackageStatus": "Completed",
        }


def refuse_package(request: Mapping[str, Any]) -> None:
    """Raise for a CreateModelPackage request that AWS, or this emulator, does not accept."""
    for message in (*_names(request), *_not_here(request), *_specifications(request)):
        raise invalid(message)


def refuse_update(request: Mapping[str, Any]) -> None:
    """Raise for an UpdateModelPackage request that this emulator cannot follow."""
    for message in _not_here(request):
        raise invalid(message)


def artifacts_of(request: Mapping[str, Any]) -> Iterator[tuple[str, bool]]:
    """(URI, whether it is a prefix) of every model artifact that a request names."""
    specifications = [
        request.get("InferenceSpecification", {}),
        *request.get("AdditionalInferenceSpecifications", []),
        *request.get("AdditionalInferenceSpecificationsToAdd", []),
    ]
    for container in (each for found in specifications for each in found.get("Containers", [])):
        if container.get("ModelDataUrl"):
            yield container["ModelDataUrl"], False
        source = container.get("ModelDataSource", {}).get("S3DataSource")
        if source:
            yield source["S3Uri"], source["S3DataType"] == "S3Prefix"


def _names(request: Mapping[str, Any]) -> Iterator[str]:
    given = [name for name in ("ModelPackageName", "ModelPackageGroupName") if name in request]
    if len(given) == 2:
        yield (
            "Both ModelPackageName and ModelPackageGroupName are provided in the input. "
            "Cannot determine which one to use."
        )
    if not given:
        yield "Missing ARN"


def _not_here(request: Mapping[str, Any]) -> Iterator[str]:
    for member in NOT_HERE:
        if request.get(member):
            yield f"relay local: {member} is not emulated"


def _specifications(request: Mapping[str, Any]) -> Iterator[str]:
    specification = request.get("InferenceSpecification")
    if specification is None:  # our words
        yield "InferenceSpecification or SourceAlgorithmSpecification must be given to create a model package"
        return
    yield from _containers(specification)
    for more in request.get("AdditionalInferenceSpecifications", []):
        yield from _containers(more)
    for container in specification["Containers"]:
        if container.get("AdditionalS3DataSource"):
            yield "AdditionalS3DataSource is not allowed in InferenceSpecification"
    if "ModelPackageName" in request:
        yield from _unversioned(request, specification)


def _containers(specification: Mapping[str, Any]) -> Iterator[str]:
    for place, container in enumerate(specification["Containers"], start=1):
        # The model has made Image optional, for containers of foundation models; without one nothing could
        # serve the model. Our words, like those that follow.
        if not container.get("Image"):
            yield f"Container {place} of the inference specification has no Image"
        if container.get("ModelDataUrl") and container.get("ModelDataSource"):
            yield f"Container {place} has both ModelDataUrl and ModelDataSource; give one of them"


def _unversioned(request: Mapping[str, Any], specification: Mapping[str, Any]) -> Iterator[str]:
    if any(container.get("Environment") for container in specification["Containers"]):
        # Seen in a public repository's comment on its own call, the missing blank included.
        yield (
            "1 validation errors detected:Environment variable map cannot be specified when using "
            "non-versioned ModelPackages"
        )
    for member in ("SupportedTransformInstanceTypes", "SupportedRealtimeInferenceInstanceTypes"):
        if not specification.get(member):  # required for unversioned models (API reference); our words
            yield f"InferenceSpecification.{member} is required for unversioned model packages"
    if request.get("ModelApprovalStatus"):
        yield "relay local: ModelApprovalStatus does not apply to unversioned models (API reference)"
