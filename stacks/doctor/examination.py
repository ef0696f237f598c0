"""All checks of an installation, in the order in which one stands in the way of the next."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

from stacks.compiled import Compiled
from stacks.deployment.errors import DeploymentError
from stacks.deployment.place import Site
from stacks.doctor.findings import FAIL, OK, WARN, Finding, looked
from stacks.doctor.images import check_images
from stacks.doctor.installation import check_api_logs, check_stacks, check_topic
from stacks.doctor.network import check_network
from stacks.doctor.quotas import judged, quotas
from stacks.doctor.roles import check_roles
from stacks.doctor.storage import check_bucket, check_key, check_table
from stacks.names import SHARED, TOPIC, stack_name
from workflows.specification.pipeline import Pipeline


def examine(site: Site, compiled: Sequence[Compiled]) -> Iterator[Finding]:
    """Looks, and changes nothing."""
    settings, pipelines = site.settings, [each.pipeline for each in compiled]
    yield Finding("credentials", OK, f"{site.identity['Arn']}, account {site.account}")
    yield _region(site)
    yield from looked("SageMaker", partial(_sagemaker, site.client("sagemaker")))
    yield from looked("quotas", partial(_quotas, site.client("service-quotas"), pipelines))
    own = [s.image for p in pipelines for s in p.jobs if isinstance(s.image, str)]
    images = [
        uri
        for c in compiled
        for materials in c.packed.stages.values()
        for uri in materials.images.values()
        if uri
    ]
    yield from looked("images", partial(check_images, site.client("ecr"), images, site.region, own))
    roles = [stage.role for pipeline in pipelines for stage in pipeline.jobs if stage.role]
    if roles:
        yield from looked("roles", partial(check_roles, site.client("iam"), roles))
    yield from _storage(site)
    needs = subnets(pipelines)
    if needs:
        yield from looked("network", partial(check_network, site.client("ec2"), needs, site.region))
    names = [SHARED, *(stack_name(pipeline.name) for pipeline in pipelines)]
    yield from looked("stacks", partial(check_stacks, site.client("cloudformation"), names, site.region))
    topic = f"arn:{settings.partition}:sns:{site.region}:{site.account}:{TOPIC}"
    yield from looked("notifications", partial(check_topic, site.client("sns"), topic))
    yield from _api_logs(site)


def check_obstacles(site: Site) -> None:
    """Raises DeploymentError for what would make a deployment fail half way; the rest is for `examine`."""
    found = [each for each in (*_storage(site), *_api_logs(site)) if each.verdict == FAIL]
    if found:
        lines = [f"  {each.subject}: {each.seen}; {each.to_do}" for each in found]
        raise DeploymentError("the deployment would fail, so nothing was begun:\n" + "\n".join(lines))


def subnets(pipelines: Sequence[Pipeline]) -> dict[str, int]:
    """Subnet -> the most instances that one job has there; a job is put into any one of its subnets."""
    needs: dict[str, int] = {}
    for stage in (stage for pipeline in pipelines for stage in pipeline.jobs):
        most = max(rung.count for rung in stage.rungs())
        for subnet in stage.network.subnets:
            needs[subnet] = max(most, needs.get(subnet, 0))
    return needs


def _region(site: Site) -> Finding:
    other = site.session.region_name
    if other in {None, site.region}:
        return Finding("region", OK, site.region)
    to_do = f"name --region {site.region} to the aws command, or change `region` in cdk.json"
    return Finding("region", WARN, f"{site.region} in cdk.json, {other} in your AWS configuration", to_do)


def _sagemaker(client: Any) -> Iterator[Finding]:
    client.list_training_jobs(MaxResults=1)
    yield Finding("SageMaker", OK, "answers")


def _quotas(client: Any, pipelines: Sequence[Pipeline]) -> Iterator[Finding]:
    known = quotas(client)
    for pipeline in pipelines:
        yield from judged(pipeline, known)


def _api_logs(site: Site) -> Iterator[Finding]:
    if any(triggers.api for triggers in site.settings.triggers.values()):
        check = partial(check_api_logs, site.client("apigateway"), made=site.settings.api_gateway_logs)
        yield from looked("API Gateway's logs", check)


def _storage(site: Site) -> Iterator[Finding]:
    settings = site.settings
    bucket = partial(
        check_bucket, site.client("s3"), site.bucket, site.account, site.region, made=settings.bucket is None
    )
    yield from looked(f"bucket {site.bucket}", bucket)
    table = partial(check_table, site.client("dynamodb"), settings.table_name, made=settings.table is None)
    yield from looked(f"table {settings.table_name}", table)
    if settings.kms_key:
        yield from looked("key", partial(check_key, site.client("kms"), settings.kms_key, site.region))
