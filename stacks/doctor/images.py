"""Whether the images are there, and in the region from which SageMaker takes them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any

from botocore.exceptions import ClientError

from stacks.doctor.findings import FAIL, OK, UNKNOWN, Finding, is_missing

ECR = re.compile(
    r"^(?P<account>[0-9]{12})\.dkr\.ecr\.(?P<region>[a-z0-9-]+)\.amazonaws\.com(?:\.cn)?/"
    r"(?P<repository>[^:@]+)(?:@(?P<digest>sha256:[0-9a-f]+)|:(?P<tag>.+))?$"
)


def check_images(ecr: Any, images: Iterable[str], region: str, own: Iterable[str]) -> Iterator[Finding]:
    """`own`: what the pipeline names by its URI; the rest are SageMaker's framework images, which the SDK has
    looked up by framework, version and region already."""
    own = set(own)
    for image in sorted(set(images)):
        if image in own:
            yield _own(ecr, image, region)
        else:
            yield Finding(f"image {image}", OK, "SageMaker's own, known to its SDK")


def _own(ecr: Any, image: str, region: str) -> Finding:
    subject, match = f"image {image}", ECR.match(image)
    if match is None:
        return Finding(subject, UNKNOWN, "not in ECR", "make sure that the jobs' subnets reach its registry")
    if match["region"] != region:
        return Finding(
            subject, FAIL, f"in {match['region']}, and jobs run in {region}", f"push it to ECR in {region}"
        )
    one = {"imageDigest": match["digest"]} if match["digest"] else {"imageTag": match["tag"] or "latest"}
    try:
        told = ecr.describe_images(
            registryId=match["account"], repositoryName=match["repository"], imageIds=[one]
        )
    except ClientError as error:
        is_missing(error, "RepositoryNotFoundException", "ImageNotFoundException")
        what = "repository" if "Repository" in error.response["Error"]["Code"] else "image"
        return Finding(subject, FAIL, f"there is no such {what}", "push it, or correct `image`")
    size = told["imageDetails"][0].get("imageSizeInBytes", 0)
    return Finding(subject, OK, f"there, {size / 1e9:.1f} GB")
