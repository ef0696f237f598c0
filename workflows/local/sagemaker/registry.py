"""The model registry: groups of model versions, and packages without a group.

CreateModelPackageGroup -> CreateModelPackage: version 1, 2, ... -> UpdateModelPackage: Approved, Rejected

Everything is done at once, on the clock's thread. A version's number is never given again.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Any

from botocore.exceptions import ClientError

from workflows.local.objects import Objects
from workflows.local.sagemaker.json_files import read, write
from workflows.local.sagemaker.list_filters import cut
from workflows.local.sagemaker.packages import (
    PENDING,
    Group,
    Package,
    artifacts_of,
    refuse_package,
    refuse_update,
)
from workflows.local.sagemaker.refusals import invalid
from workflows.local.sagemaker.workload import JSON, s3_location
from workflows.local.service_errors import ServiceError

_GROUP_ORDERS: dict[str, Callable[[Group], Any]] = {
    "CreationTime": lambda group: (group.created, group.name),
    "Name": lambda group: group.name,
}
_PACKAGE_ORDERS: dict[str, Callable[[Package], Any]] = {
    "CreationTime": lambda package: (package.created, package.version or 0, package.arn),
    "Name": lambda package: (package.name or package.group, package.version or 0),
}

UPDATED = (
    *("ModelApprovalStatus", "ApprovalDescription", "ModelPackageRegistrationType"),
    *("InferenceSpecification", "ModelLifeCycle"),
)


class Registry:
    """`changed` is called with a package that was created or updated; `arn` is `arn:aws:sagemaker:R:A`."""

    def __init__(
        self,
        now: Callable[[], datetime],
        objects: Objects,
        arn: str,
        changed: Callable[[Package], None],
        state_dir: Path | None = None,
    ) -> None:
        self._now = now
        self._objects = objects
        self._arn = arn
        self._changed = changed
        self._folder = state_dir
        self._groups: dict[str, Group] = {}
        self._packages: dict[str, Package] = {}
        if state_dir is not None:
            for path in sorted(state_dir.glob("model-package-groups/*.json")):
                group = Group(**read(path))
                self._groups[group.arn] = group
            for path in sorted(state_dir.glob("model-packages/*.json")):
                package = Package(**read(path))
                self._packages[package.arn] = package
        self.operations: dict[str, Callable[[JSON], JSON]] = {
            "CreateModelPackageGroup": self._create_group,
            "DescribeModelPackageGroup": lambda request: self._group(request).describe(),
            "ListModelPackageGroups": self._list_groups,
            "DeleteModelPackageGroup": self._delete_group,
            "CreateModelPackage": self._create,
            "DescribeModelPackage": lambda request: self._package(request["ModelPackageName"]).describe(),
            "ListModelPackages": self._list,
            "UpdateModelPackage": self._update,
            "DeleteModelPackage": self._delete,
        }

    def tagged(self, arn: str) -> Group | Package | None:
        """Returns the group or package with this ARN, for the operations on tags; `save` it afterwards."""
        return self._groups.get(arn) or self._packages.get(arn)

    def save(self, item: Group | Package) -> None:
        """Keep what has changed."""
        if self._folder is not None:
            write(self._path(item), asdict(item))

    # Groups

    def _create_group(self, request: JSON) -> JSON:
        if request.get("ManagedConfiguration"):
            raise invalid("relay local: ManagedConfiguration is not emulated")
        name = request["ModelPackageGroupName"]
        # Lower case, as SageMaker writes names in ARNs: the developer guide's AbaloneModelPackageGroupName
        # has model-package/abalonemodelpackagegroupname/1. Of a group's own ARN nobody showed it.
        arn = f"{self._arn}:model-package-group/{name.lower()}"
        if arn in self._groups:
            raise invalid("Model Package Group already exists.")
        now = self._now()
        group = Group(name, arn, now, now, request.get("ModelPackageGroupDescription"), _tags(request))
        self._groups[arn] = group
        self.save(group)
        return {"ModelPackageGroupArn": arn}

    def _list_groups(self, request: JSON) -> JSON:
        shared = request.get("CrossAccountFilterOption") == "CrossAccount"  # there is one account here
        wanted = request.get("NameContains", "")
        groups = [group for group in self._groups.values() if wanted in group.name and not shared]
        return cut("ModelPackageGroupSummaryList", groups, request, _GROUP_ORDERS, Group.summary)

    def _delete_group(self, request: JSON) -> JSON:
        group = self._group(request)
        if self._versions(group):  # the code is the model's only error of this operation; our words
            raise ServiceError(
                "ConflictException",
                f"Model Package Group {group.arn} has model versions; delete them before the group",
            )
        del self._groups[group.arn]
        self._forget(group)
        return {}

    def _group(self, request: Mapping[str, Any]) -> Group:
        arn = self._arn_of("model-package-group", request["ModelPackageGroupName"])
        try:
            return self._groups[arn]
        except KeyError:
            raise invalid(f"ModelPackageGroup {arn} does not exist.") from None

    def _versions(self, group: Group) -> list[Package]:
        return [package for package in self._packages.values() if package.group == group.name]

    # Packages

    def _create(self, request: JSON) -> JSON:
        refuse_package(request)
        known = self._known(request)
        if known is not None:
            return {"ModelPackageArn": known.arn}
        group = None
        if "ModelPackageGroupName" in request:
            group = self._groups.get(self._arn_of("model-package-group", request["ModelPackageGroupName"]))
            if group is None:  # as moto has it (getmoto/moto#7165); nobody quoted AWS
                raise invalid("Model Package Group does not exist.")
        self._look_up(request)
        package = self._package_of(request, group)
        if package.arn in self._packages:  # sagemaker-python-sdk's session.py looks for these words
            raise invalid("ModelPackage already exists")
        self._packages[package.arn] = package
        if group is not None and package.version is not None:
            group.last_version = package.version
            self.save(group)
        self._tell(package)
        return {"ModelPackageArn": package.arn}

    def _known(self, request: JSON) -> Package | None:
        """Returns the package that the same request, with the same ClientToken, made before."""
        token = request.get("ClientToken")
        if token is None:
            return None
        for package in self._packages.values():
            if package.asked == request:
                return package
            if package.asked.get("ClientToken") == token:  # a guess at what AWS does, and our words
                message = f"ClientToken {token} was used with another request"
                raise ServiceError("ConflictException", message)
        return None

    def _package_of(self, request: JSON, group: Group | None) -> Package:
        asked = copy.deepcopy(request)
        body = {name: value for name, value in request.items() if name not in ("Tags", "ClientToken")}
        now, tags = self._now(), _tags(request)
        if group is None:
            name = request["ModelPackageName"]
            arn = f"{self._arn}:model-package/{name.lower()}"
            return Package(arn, now, now, body, asked, name=name, tags=tags)
        body.setdefault("ModelApprovalStatus", PENDING)
        version = group.last_version + 1
        arn = f"{self._arn}:model-package/{group.name.lower()}/{version}"
        return Package(arn, now, now, body, asked, group=group.name, version=version, tags=tags)

    def _look_up(self, request: Mapping[str, Any]) -> None:
        """Refuse a model artifact that is not there."""
        for uri, prefix in artifacts_of(request):
            if not uri.startswith("s3://"):
                raise invalid(f"relay local: {uri!r} cannot be looked up; give an s3:// URI")
            bucket, key = s3_location(uri)
            try:
                found = self._objects.list(bucket, key)
            except ClientError:
                found = []
            if not (found if prefix else key in found):
                raise invalid(
                    f"Cannot find S3 object: {key} in bucket {bucket}. Please check if your S3 object "
                    "exists and has proper permissions for SageMaker."
                )

    def _list(self, request: JSON) -> JSON:
        group = self._group(request).name if "ModelPackageGroupName" in request else None
        kind = request.get("ModelPackageType", "Versioned" if group else "Unversioned")
        wanted = request.get("NameContains", "")
        packages = [
            package
            for package in self._packages.values()
            if group in (None, package.group)
            and (kind == "Both" or (kind == "Versioned") == (package.group is not None))
            and wanted in str(package.name or package.group)
            and request.get("ModelApprovalStatus") in (None, package.body.get("ModelApprovalStatus"))
        ]
        return cut("ModelPackageSummaryList", packages, request, _PACKAGE_ORDERS, Package.summary)

    def _update(self, request: JSON) -> JSON:
        package = self._package(request["ModelPackageArn"])
        if package.group is None:
            raise invalid("relay local: UpdateModelPackage updates versioned models only")
        refuse_update(request)
        self._look_up(request)
        package.body = _updated(package.body, request)
        package.modified, package.updated = self._now(), True
        self._tell(package)
        return {"ModelPackageArn": package.arn}

    def _delete(self, request: JSON) -> JSON:
        package = self._package(request["ModelPackageName"])
        del self._packages[package.arn]
        self._forget(package)
        return {}

    def _package(self, name: str) -> Package:
        arn = self._arn_of("model-package", name)
        try:
            return self._packages[arn]
        except KeyError:
            raise invalid(f"ModelPackage {arn} does not exist.") from None

    def _tell(self, package: Package) -> None:
        self.save(package)
        self._changed(package)

    # Names and files

    def _arn_of(self, kind: str, name: str) -> str:
        return name.lower() if name.startswith("arn:") else f"{self._arn}:{kind}/{name.lower()}"

    def _path(self, item: Group | Package) -> Path:
        assert self._folder is not None
        # Names hold letters, digits and hyphens only (service model); a dot parts them from the version.
        kind, _, name = item.arn.rpartition(":")[2].partition("/")
        return self._folder / f"{kind}s" / f"{name.replace('/', '.')}.json"

    def _forget(self, item: Group | Package) -> None:
        if self._folder is not None:
            self._path(item).unlink(missing_ok=True)


def _tags(request: Mapping[str, Any]) -> dict[str, str]:
    return {tag["Key"]: tag["Value"] for tag in request.get("Tags", [])}


def _updated(body: JSON, request: JSON) -> JSON:
    """Returns the members of a package after UpdateModelPackage."""
    removed = request.get("CustomerMetadataPropertiesToRemove", [])
    properties = body.get("CustomerMetadataProperties", {}) | request.get("CustomerMetadataProperties", {})
    more = [
        *body.get("AdditionalInferenceSpecifications", []),
        *request.get("AdditionalInferenceSpecificationsToAdd", []),
    ]
    if len(more) > 15:  # the API reference's bound; our words
        raise invalid("Total number of additional Inference Specifications can not exceed 15")
    computed: JSON = {
        "CustomerMetadataProperties": {k: v for k, v in properties.items() if k not in removed},
        "AdditionalInferenceSpecifications": more,
    }
    plain = {name: request[name] for name in UPDATED if name in request}
    kept = {name: value for name, value in body.items() if name not in computed}
    return kept | plain | {name: value for name, value in computed.items() if value}
